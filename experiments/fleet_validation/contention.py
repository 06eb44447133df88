"""Constant costs out of a live run: what operations took while the others were at work.

The cloud's forwards and selects are lines through what its host remembered, with the engine's own
work between two of them, and how far single forwards lay from their line. A device's are what its
tokens say that they waited for, in the shard's queue or not: decode, steer with what the run spent
between its stages, and a forward that is as long as makes the mean wait for it what it was.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from itertools import pairwise
from statistics import mean

import numpy as np
import numpy.typing as npt
import pandas as pd

from experiments.fleet_validation.timed import Timed
from netsim.hardware import Fixed
from netsim.hardware.variation import variation_of

Reals = npt.NDArray[np.float64]

_BEFORE = ("uplink", "cloud_queue", "cloud_compute", "select_encode", "downlink", "decode")
_LONGEST_NS = 10_000_000_000
_PRECISE_NS = 1_000
_SHORT_PERCENTILE = 10
"""Where the cloud often has nothing to do, only its shorter pauses are its own work. With 4 steered
devices the 10th percentile was 0.16 ms and the 25th 1.63 ms, already a wait for a device."""


@dataclass(frozen=True, slots=True)
class Contended:
    """Costs under contention.

    Args:
        cloud: the replica's.
        edge: a device's.
    """

    cloud: Fixed
    edge: Fixed


def cloud_costs(timed: Sequence[Timed], *, streamed: bool, saturated: bool) -> Fixed:
    """Return what the cloud's operations took.

    Args:
        timed: in the order in which they were done.
        streamed: whether the cloud chose the tokens itself.
        saturated: whether it had work at all times; one that waits for its devices' tokens has not,
            however many they are.
    """
    forwards = [each for each in timed if each.kind == "forward"]
    selects = [each for each in timed if each.kind == "select"]
    base_ns, per_row_ns, per_token_ns = line_through(
        np.array([[1, each.rows, each.tokens] for each in forwards], np.float64),
        np.array([each.took_ns for each in forwards], np.float64),
    )
    select_ns, select_per_row_ns = line_through(
        np.array([[1, each.rows] for each in selects], np.float64),
        np.array([each.took_ns for each in selects], np.float64),
    )
    own_ns = engine_ns(timed, saturated=saturated)
    said_ns = [base_ns + per_row_ns * each.rows + per_token_ns * each.tokens for each in forwards]
    ratios = [each.took_ns / said for each, said in zip(forwards, said_ns, strict=True)]
    # The lines are means, and stay what forwards take on average. What is added to a forward below
    # (the engine's own work, a select's rows) is varied with it, as if it were slow when it is.
    usual = mean(ratios)
    variation = variation_of([each / usual for each in ratios])
    if streamed:
        return Fixed(
            forward_variation=variation,
            forward=round(base_ns + select_ns + own_ns),
            forward_per_row=round(per_row_ns),
            forward_per_token=round(per_token_ns),
            choose=round(select_per_row_ns),
        )
    return Fixed(
        forward_variation=variation,
        forward=round(base_ns),
        forward_per_row=round(per_row_ns + select_per_row_ns),
        forward_per_token=round(per_token_ns),
        select=round(select_ns + own_ns),
    )


def engine_ns(timed: Sequence[Timed], *, saturated: bool) -> float:
    """Return what the engine itself takes in a step: between forward and select, and after it.

    Args:
        timed: in the order in which they were done.
        saturated: whether it had work at all times, so that every pause is its own work; but for
            the end of a run, when its batches are no longer full.
    """
    total_ns = 0.0
    most = max((each.rows for each in timed if each.kind == "forward"), default=0)
    for first, second in (("select", "forward"), ("forward", "select")):
        pauses = [
            later.began_ns - earlier.ended_ns
            for earlier, later in pairwise(timed)
            if (earlier.kind, later.kind) == (first, second)
            and not (saturated and _forward_of(earlier, later).rows < most)
        ]
        if pauses:
            short = np.percentile(pauses, _SHORT_PERCENTILE)
            total_ns += float(np.mean(pauses) if saturated else short)
    return total_ns


def _forward_of(earlier: Timed, later: Timed) -> Timed:
    return earlier if earlier.kind == "forward" else later


def edge_costs(tokens: pd.DataFrame, timed: Sequence[Timed]) -> Fixed:
    """Return what a device's operations took, the wait for its shard included.

    Args:
        tokens: rows of a steered arm of a live run.
        timed: the shards' forwards.
    """
    later = tokens[tokens["position"] > 0]

    def stage(name: str) -> Reals:
        values: Reals = later[f"stage_{name}_ns"].to_numpy(np.float64)
        return values

    decided_ns = sum((stage(name) for name in _BEFORE), start=np.zeros(len(later)))
    forward_ns = forward_that_waits(decided_ns, float(stage("edge_wait").mean()))
    *_, per_token_ns = line_through(
        np.array([[1, each.rows, each.tokens] for each in timed], np.float64),
        np.array([each.took_ns for each in timed], np.float64),
    )
    branches = 2
    return Fixed(
        forward=max(0, round(forward_ns - branches * per_token_ns)),
        forward_per_token=round(per_token_ns),
        decode=round(stage("decode").mean()),
        steer=round(stage("steer").mean() + stage("overhead").mean()),
    )


def forward_that_waits(decided_ns: Reals, wait_ns: float) -> float:
    """Return how long a forward is that is waited for so long on average, ns.

    Args:
        decided_ns: when, after the token before, everything else was there.
        wait_ns: mean wait for the forward after that.
    """
    low_ns, high_ns = 0.0, float(_LONGEST_NS)
    while high_ns - low_ns > _PRECISE_NS:
        middle_ns = (low_ns + high_ns) / 2
        if np.maximum(0.0, middle_ns - decided_ns).mean() < wait_ns:
            low_ns = middle_ns
        else:
            high_ns = middle_ns
    return low_ns


def mean_of(costs: Sequence[Contended]) -> Contended:
    """Return the mean of what several runs cost."""
    return Contended(
        _mean_of([each.cloud for each in costs]), _mean_of([each.edge for each in costs])
    )


def _mean_of(costs: Sequence[Fixed]) -> Fixed:
    names = [item.name for item in fields(Fixed) if item.type is int and "kv" not in item.name]
    means = {name: round(mean(getattr(each, name) for each in costs)) for name in names}
    variations = zip(*(each.forward_variation for each in costs), strict=True)
    return Fixed(**means, forward_variation=tuple(round(mean(each)) for each in variations))


def line_through(given: Reals, took: Reals) -> list[float]:
    """Return least-squares factors of columns, none below 0.

    A column that says nothing new beside the ones before it is left out, then one whose factor
    would be below 0.
    """
    kept: list[int] = []
    for column in range(given.shape[1]):
        if np.linalg.matrix_rank(given[:, [*kept, column]]) > len(kept):
            kept.append(column)
    while kept:
        found, *_ = np.linalg.lstsq(given[:, kept], took, rcond=None)
        worst = int(np.argmin(found))
        if found[worst] >= 0:
            break
        kept.pop(worst)
        found = np.zeros(0)
    factors = [0.0] * given.shape[1]
    for column, factor in zip(kept, found if kept else (), strict=True):
        factors[column] = float(factor)
    return factors
