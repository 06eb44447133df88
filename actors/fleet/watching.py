"""What somebody wants to know of a cell beside its sums."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Watch:
    """How closely a cell is watched.

    Args:
        bin_ns: width of the bins of time to begin with; it doubles whenever they do not suffice.
        bins: how many bins there are.
        reading_speed_tokens_per_s: of the reader whose stalls are counted.
        sample_every: each so manieth device of the cell is written down in full; 0 for none, 1 for
            all.
    """

    bin_ns: int = 100_000_000
    bins: int = 1024
    reading_speed_tokens_per_s: float = 5.0
    sample_every: int = 0
