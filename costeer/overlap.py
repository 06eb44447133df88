"""What a device does while it waits for the cloud, step by step decoding: three switches.

=========  =============================================================================
``forward``  both branches of the small model run as soon as a token is chosen; otherwise
             only once the cloud's logits are there
``delta``    Δ is worked out, and its greatest entries sorted out, behind that forward;
             otherwise with the steering of the logits
``sparse``   only sent tokens are steered, and the best unsent one is looked up in what was
             sorted out; otherwise steering passes over the vocabulary
=========  =============================================================================

Each needs the one above it. Which tokens are chosen depends on none of them.
"""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator


class OverlapConfig(BaseModel):
    """What a device does before the cloud's logits are there."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    forward: bool = Field(default=True)
    """Run the small model on a chosen token at once, while the cloud runs it; otherwise wait for
    the cloud's logits first."""
    delta: bool = Field(default=False)
    """Work out Δ behind that forward, instead of with the steering. Needs `forward`."""
    sparse: bool = Field(default=False)
    """Steer the tokens that were sent, and no pass over the vocabulary once they are there. Needs
    `delta`; greedy decoding alone, since noise has to be looked at token by token."""

    @model_validator(mode="after")
    def _one_after_the_other(self) -> Self:
        if self.delta and not self.forward:
            raise ValueError("delta: true needs forward: true, Δ follows from the forward")
        if self.sparse and not self.delta:
            raise ValueError("sparse: true needs delta: true, which sorts Δ beforehand")
        return self

    @property
    def label(self) -> str:
        """Short name in tables."""
        told = [name for name in ("forward", "delta", "sparse") if getattr(self, name)]
        return "+".join(told) or "none"
