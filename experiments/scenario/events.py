"""What happens in the model while a run goes on: events that a scenario has at stated times.

They change what is measured. A death in the laboratory itself, an actor's or a node's, does not.
"""

from __future__ import annotations

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from experiments.scenario.section import Section


class CloudStalls(Section):
    """For a while a replica takes nothing and says nothing; then it goes on where it was."""

    kind: Literal["cloud_stalls"] = "cloud_stalls"
    """`cloud_stalls`."""
    at_s: float = Field(ge=0, le=1e9)
    """When it begins, seconds."""
    for_s: float = Field(gt=0, le=1e9)
    """How long it lasts, seconds."""
    replica: int | None = Field(default=None, ge=0)
    """Number of the replica that stalls; all of them if not given."""
    frames: Literal["held", "lost"] = "held"
    """What becomes of frames that come meanwhile: they are taken at its end (`held`), or never
    (`lost`: only `cloud.retry` helps)."""


Event: TypeAlias = Annotated[CloudStalls, Field(discriminator="kind")]
