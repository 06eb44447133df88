"""Two samples of a distribution side by side: means, tails, and how sure their difference is.

Both sides have the same devices, with the same links and times: what these have in common is no
difference, so devices are drawn again on both sides at once. Devices that replay the same session
are drawn together, since they have its luck in common. So the interval of a difference comes from
drawing groups of devices again, one group a replayed session.

Legend: N values, G groups.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Reals = npt.NDArray[np.float64]
Integers = npt.NDArray[np.int64]

DRAWS = 500
NORMAL_95 = 1.96
MEAN_ALLOWED, P99_ALLOWED = 0.02, 0.05
"""What a mean and a 99th percentile may be off, as a share."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Values, and whose they are.

    Args:
        values_N: in the unit that is shown, in order, device after device.
        device_N: number of each value's device.
        group_N: number of its device's group.
    """

    values_N: Reals
    device_N: Integers
    group_N: Integers


@dataclass(frozen=True, slots=True)
class Difference:
    """One figure of two samples.

    Args:
        figure: what is measured, with its unit.
        statistic: ``mean`` or ``p99``.
        real: of the sample that judges.
        told: of the sample that is judged.
        allowed: what it may be off, as a share of ``real``.
        uncertain: half of the 95 % interval of the difference, in the figure's unit.
    """

    figure: str
    statistic: str
    real: float
    told: float
    allowed: float
    uncertain: float

    @property
    def share(self) -> float:
        """The difference as a share of what is real; 0 where both are 0."""
        return self.told / self.real - 1 if self.real else float(self.told != self.real)

    @property
    def within(self) -> bool:
        """Whether it is no more than what is allowed, or than the interval where that is wider."""
        return abs(self.told - self.real) <= max(self.allowed * abs(self.real), self.uncertain)


def compare(figure: str, real: Sample, told: Sample, seed: int = 0) -> tuple[Difference, ...]:
    """Return the differences of means and of 99th percentiles.

    Args:
        figure: what is measured, with its unit.
        real: the sample that judges.
        told: the sample that is judged.
        seed: of the drawing.
    """
    mean_half, p99_half = (NORMAL_95 * each for each in _deviations(real, told, seed))
    means = float(real.values_N.mean()), float(told.values_N.mean())
    tails = float(np.percentile(real.values_N, 99)), float(np.percentile(told.values_N, 99))
    return (
        Difference(figure, "mean", *means, MEAN_ALLOWED, mean_half),
        Difference(figure, "p99", *tails, P99_ALLOWED, p99_half),
    )


def _deviations(real: Sample, told: Sample, seed: int) -> tuple[float, float]:
    """Return the standard deviations of both differences over groups drawn again."""
    groups_G = np.unique(np.concatenate((real.group_N, told.group_N)))
    groups = len(groups_G)
    rng = np.random.default_rng(seed)
    sides = [_Sorted(side, groups_G) for side in (real, told)]
    found = []
    for _ in range(DRAWS):
        drawn_G = np.bincount(rng.integers(0, groups, groups), minlength=groups)
        (real_mean, real_tail), (told_mean, told_tail) = (side.of(drawn_G) for side in sides)
        found.append((told_mean - real_mean, told_tail - real_tail))
    mean_deviation, tail_deviation = np.std(np.array(found), axis=0, ddof=1)
    return float(mean_deviation), float(tail_deviation)


class _Sorted:
    """A sample in the order of its values, for weighted means and percentiles."""

    def __init__(self, sample: Sample, groups_G: Integers) -> None:
        order_N = np.argsort(sample.values_N, kind="stable")
        self._values_N = sample.values_N[order_N]
        self._group_N = np.searchsorted(groups_G, sample.group_N[order_N])

    def of(self, drawn_G: Integers) -> tuple[float, float]:
        """Return mean and 99th percentile where each group counts so often."""
        weights_N = drawn_G[self._group_N]
        reached_N = np.cumsum(weights_N)
        total = reached_N[-1]
        tail = self._values_N[np.searchsorted(reached_N, 0.99 * total)]
        return float(self._values_N @ weights_N) / total, float(tail)


def autocorrelation(values_N: Reals, session_N: Integers, lags: int) -> Reals:
    """Return the correlation of values with those so many tokens later in their session.

    Args:
        values_N: in order, session after session.
        session_N: of each.
        lags: the largest distance; the result has lags 1 to this.
    """
    centred_N = values_N - values_N.mean()
    variance = float(centred_N.var()) or 1.0
    found = []
    for lag in range(1, lags + 1):
        same_N = session_N[lag:] == session_N[:-lag]
        products_N = (centred_N[lag:] * centred_N[:-lag])[same_N]
        found.append(float(products_N.mean()) / variance if len(products_N) else 0.0)
    return np.array(found)
