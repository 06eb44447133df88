"""What a recording's rows are like, and the generator's parameters that come nearest.

Pure: rows in, numbers out. Standard deviations and quantiles of Δ are over the vocabulary, after
the row's median is taken off: a constant added to Δ moves no choice.

Legend: V vocabulary, N steps.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import numpy.typing as npt

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]

HEAD_RANKS = 64
"""Ranks that a row's slope is fitted over, and that raised tokens are looked for in."""
QUANTILES = (0.5, 0.9, 0.99, 0.999)
_MAD_TO_SD = 1.4826
_RAISED_SD = 4.0
"""Above so many standard deviations of the body a token counts as raised."""
_CURVE_POINTS = 200


class Steps(Protocol):
    """Rows by session and position; a recording and the generator both are."""

    def logits(self, session: int, position: int) -> F32:
        """Return the cloud's row, shape (V,)."""

    def delta(self, session: int, position: int) -> F32:
        """Return Δ, shape (V,), nats."""


@dataclass(frozen=True, slots=True)
class LogitStatistics:
    """Means over steps.

    Args:
        steps: rows looked at.
        vocab_size: V.
        entropy_nats: of the cloud's distribution.
        highest: largest logit, at the 10th and the 90th percentile of steps.
        slope: median over steps of the head's slope, nats per e-fold of rank.
        slope_spread: standard deviation of its logarithm.
        noise_nats: standard deviation of the head about that line.
        delta_sd_nats: standard deviation of Δ over the vocabulary.
        delta_body_nats: the same from the median absolute deviation, which raised tokens do not
            move.
        delta_quantiles: of |Δ| / delta_sd, at ``QUANTILES``.
        delta_kurtosis: excess; 0 for a normal Δ, 3 for a Laplace one.
        delta_max_sd: mean of the largest Δ of a row, in its standard deviations.
        raised: tokens among the cloud's best 64 whose Δ exceeds four body standard deviations.
        raised_nats: their Δ at the 10th and the 90th percentile.
        correlation: of Δ between one position of a text and the next.
    """

    steps: int
    vocab_size: int
    entropy_nats: float
    highest: tuple[float, float]
    slope: float
    slope_spread: float
    noise_nats: float
    delta_sd_nats: float
    delta_body_nats: float
    delta_quantiles: tuple[float, ...]
    delta_kurtosis: float
    delta_max_sd: float
    raised: float
    raised_nats: tuple[float, float]
    correlation: float


def measure(rows: Steps, steps: Sequence[tuple[int, int]]) -> LogitStatistics:
    """Measure the rows of (session, position) pairs; ValueError for none."""
    if not steps:
        raise ValueError("no steps to measure: name at least one")
    found = [_Step(rows.logits(*step), centred(rows.delta(*step))) for step in steps]
    follows = [
        (before, after)
        for before, after, (session, position), (later, at) in zip(
            found, found[1:], steps, steps[1:], strict=False
        )
        if (later, at) == (session, position + 1)
    ]
    slopes_N = np.array([step.slope for step in found])
    usable_N = slopes_N[slopes_N > 0]
    raised = np.concatenate([step.raised_nats for step in found])
    return LogitStatistics(
        steps=len(found),
        vocab_size=found[0].vocab_size,
        entropy_nats=_mean([step.entropy_nats for step in found]),
        highest=_ends([step.highest for step in found]),
        slope=float(np.median(usable_N)) if len(usable_N) else 0.0,
        slope_spread=float(np.log(usable_N).std()) if len(usable_N) else 0.0,
        noise_nats=_mean([step.noise_nats for step in found]),
        delta_sd_nats=_mean([step.sd for step in found]),
        delta_body_nats=_mean([step.body for step in found]),
        delta_quantiles=tuple(
            float(value) for value in np.mean([step.quantiles for step in found], axis=0)
        ),
        delta_kurtosis=_mean([step.kurtosis for step in found]),
        delta_max_sd=_mean([step.max_sd for step in found]),
        raised=len(raised) / len(found),
        raised_nats=_ends(raised) if len(raised) else (0.0, 0.0),
        correlation=_mean([_correlation(one.delta_V, two.delta_V) for one, two in follows]),
    )


def exceedance(rows: Steps, steps: Sequence[tuple[int, int]]) -> tuple[F64, F64]:
    """Return (x, share of tokens with |Δ| > x standard deviations), averaged over steps."""
    x_P = np.linspace(0.0, 12.0, _CURVE_POINTS)
    total_P = np.zeros(_CURVE_POINTS)
    for step in steps:
        delta_V = centred(rows.delta(*step))
        scaled_V = np.sort(np.abs(delta_V) / max(float(delta_V.std()), 1e-12))
        total_P += 1.0 - np.searchsorted(scaled_V, x_P, side="right") / len(scaled_V)
    return x_P, total_P / len(steps)


def centred(delta_V: F32) -> F64:
    """Δ less its median, float64."""
    wide_V = delta_V.astype(np.float64)
    moved_V: F64 = wide_V - np.median(wide_V)
    return moved_V


class _Step:
    """The figures of one step."""

    def __init__(self, logits_V: F32, delta_V: F64) -> None:
        row_V = logits_V.astype(np.float64)
        log_p_V = row_V - (row_V.max() + math.log(float(np.exp(row_V - row_V.max()).sum())))
        head = min(HEAD_RANKS, len(row_V))
        best = np.argsort(-row_V, kind="stable")[:head]
        ln_rank = np.log(np.arange(1, head + 1))
        fit = np.polyfit(ln_rank, row_V[best], 1)
        self.vocab_size = len(row_V)
        self.delta_V = delta_V
        self.entropy_nats = float(-(np.exp(log_p_V) * log_p_V).sum())
        self.highest = float(row_V.max())
        self.slope = float(-fit[0])
        self.noise_nats = float((row_V[best] - np.polyval(fit, ln_rank)).std())
        self.sd = float(delta_V.std())
        self.body = _MAD_TO_SD * float(np.median(np.abs(delta_V)))
        scaled_V = delta_V / max(self.sd, 1e-12)
        self.quantiles = np.quantile(np.abs(scaled_V), QUANTILES)
        self.kurtosis = float((scaled_V**4).mean()) - 3.0
        self.max_sd = float(scaled_V.max())
        self.raised_nats = delta_V[best][delta_V[best] > _RAISED_SD * self.body]


def _correlation(one_V: F64, two_V: F64) -> float:
    spread = float(one_V.std() * two_V.std())
    return float((one_V * two_V).mean() - one_V.mean() * two_V.mean()) / max(spread, 1e-12)


def _mean(values: Sequence[float]) -> float:
    return float(np.mean(values)) if len(values) else 0.0


def _ends(values: Sequence[float] | F64) -> tuple[float, float]:
    low, high = np.quantile(np.asarray(values, dtype=np.float64), (0.1, 0.9))
    return float(low), float(high)
