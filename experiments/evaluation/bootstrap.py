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


_MANY_CLUSTERS = 2_000
"""From here on the normal interval."""
_DRAWS_AT_ONCE = 500


def clustered_interval(
    values: NDArray[np.float64], clusters: NDArray[np.int64], seed: int = 0, draws: int = DRAWS
) -> Interval:
    """Mean of ``values`` with an interval that resamples whole clusters.

    Rows of one cluster (the requests of one device, say) share its luck: resampling them one by
    one would call the interval narrower than it is. Beyond 2,000 clusters the interval is that of
    the normal distribution, which the bootstrap's has become by then.

    Args:
        values: one per row, shape (rows,).
        clusters: which cluster each row is of, shape (rows,).
        seed: of the draws.
        draws: how many.

    Raises:
        ValueError: there are no rows.

    Returns:
        Of a single cluster, an interval whose ends are not a number: nothing is known of others.
    """
    if not len(values):
        raise ValueError("no rows to average: pass at least one value")
    mean = float(np.mean(values))
    _, index = np.unique(clusters, return_inverse=True)
    sizes = np.bincount(index).astype(np.float64)
    sums = np.bincount(index, weights=values)
    n = len(sizes)
    if n == 1:
        return Interval(mean, float("nan"), float("nan"))
    if n > _MANY_CLUSTERS:
        off = (sums - mean * sizes) / sizes.mean()
        half = 1.959964 * float(np.sqrt(np.sum(off**2) / (n - 1) / n))
        return Interval(mean, mean - half, mean + half)
    rng = np.random.default_rng(seed)
    means = []
    for start in range(0, draws, _DRAWS_AT_ONCE):
        now = min(_DRAWS_AT_ONCE, draws - start)
        counts = rng.multinomial(n, np.full(n, 1 / n), size=now)
        means.append((counts @ sums) / (counts @ sizes))
    low, high = np.percentile(np.concatenate(means), [2.5, 97.5])
    return Interval(mean, float(low), float(high))


def sign_flip_p(differences: NDArray[np.float64], seed: int = 0, draws: int = DRAWS) -> float:
    """Two-sided p-value of a mean difference of 0, by flipping the signs of paired differences.

    Under the hypothesis that either of two paired values could have been the other's, each sign is
    as likely as the other. ValueError when empty.
    """
    if len(differences) == 0:
        raise ValueError("no differences to test: pass at least one")
    rng = np.random.default_rng(seed)
    signs = rng.integers(0, 2, size=(draws, len(differences)), dtype=np.int8) * 2.0 - 1.0
    flipped = np.abs(signs @ differences)
    # The rounding of sums must not make the observed value beat itself.
    observed = abs(float(differences.sum())) * (1 - 1e-12)
    return float((1 + np.count_nonzero(flipped >= observed)) / (1 + draws))
