"""Percentile bootstrap over rows: means and paired differences with their 95 % intervals.

Pure functions of (values, seed, draws).  A paired difference resamples rows, not values: both
methods are always seen on the same rows.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

DRAWS = 10_000


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over rows and the ends of its 95 % interval, in the unit of the values."""

    mean: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        """Whether the whole interval lies on one side of zero."""
        return self.low > 0 or self.high < 0


def mean_interval(values: NDArray[np.float64], seed: int = 0, draws: int = DRAWS) -> Interval:
    """Mean of ``values`` (rows,) with its bootstrap interval; ValueError when empty."""
    rows = len(values)
    if rows == 0:
        raise ValueError("no rows to average: pass at least one value")
    rng = np.random.default_rng(seed)
    counts = rng.multinomial(rows, np.full(rows, 1 / rows), size=draws)
    means = counts @ values / rows
    low, high = np.percentile(means, [2.5, 97.5])
    return Interval(float(np.mean(values)), float(low), float(high))


def paired_difference(
    ours: NDArray[np.float64], theirs: NDArray[np.float64], seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Mean of ``ours - theirs`` row by row, with its interval; ValueError on unequal rows."""
    if ours.shape != theirs.shape:
        raise ValueError(f"paired values differ in shape: {ours.shape} and {theirs.shape}")
    return mean_interval(ours - theirs, seed, draws)
