"""What all sections of a scenario share."""

from __future__ import annotations

from typing import Annotated, TypeAlias

from pydantic import AfterValidator, BaseModel, ConfigDict

from netsim.hardware import hardware_named, shape_named

HardwareName: TypeAlias = Annotated[str, AfterValidator(lambda name: hardware_named(name).name)]
ShapeName: TypeAlias = Annotated[str, AfterValidator(lambda name: shape_named(name).name)]


class Section(BaseModel):
    """Unknown keys are errors, a read scenario never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)
