"""Which models compute the values."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field

from actors.models.numerics import Numerics
from experiments.scenario.section import Section

SHIPPED_MODELS = Path(__file__).parent.parent / "pair" / "models"
"""The folders of the shipped models."""


class HfModel(Section):
    """A causal language model in Hugging Face format."""

    kind: Literal["hf"] = "hf"
    """`hf`."""
    path: str = Field(min_length=1)
    """`pair/llm` or `pair/slm` (the shipped pair), a local folder, or a hub name."""

    @property
    def location(self) -> str:
        """The folder or hub name; the shipped pair's folder, wherever the project is installed."""
        family, _, name = self.path.partition("/")
        shipped = SHIPPED_MODELS / name
        return str(shipped) if family == "pair" and shipped.is_dir() else self.path


class ModelsConfig(Section):
    """The two models; they have to share their tokens."""

    cloud: HfModel = HfModel(path="pair/llm")
    """The large model, in the cloud."""
    edge: HfModel = HfModel(path="pair/slm")
    """The small model, on every device."""
    numerics: Numerics = Numerics.BATCH_INVARIANT
    """`batch-invariant` (same bits whoever shares the batch), `fp32` or `bf16`."""
