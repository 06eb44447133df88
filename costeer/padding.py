"""Frame sizes that tell less: every frame filled up to a multiple of so many bytes.

Sizes are what is left to see of an encrypted exchange. What they tell of the private context, and
what filling them up costs, is measured by ``experiments.privacy``.
"""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class PaddingConfig(BaseModel):
    """Buckets of frame sizes, one for each way; 1 leaves sizes as they are."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    down_bytes: int = Field(default=1, ge=1, le=65_536)
    """LOGITS frames are filled up to a multiple of this."""

    up_bytes: int = Field(default=1, ge=1, le=65_536)
    """The device's frames are filled up to a multiple of this, OPEN included."""


NO_PADDING = PaddingConfig()
"""Sizes as they are."""


def fill_bytes(size_bytes: int, bucket_bytes: int) -> int:
    """Return how many bytes bring a size to the next multiple of a bucket."""
    return -size_bytes % bucket_bytes
