"""Table 1 again, as means over requests with their 95 % intervals."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd

from experiments.evaluation.bootstrap import Interval
from experiments.results.grid import ABSENT, Column, significant
from experiments.results.labels import Row, arm_labels, arms_title, whole_arms
from experiments.results.measures import MEASURES, interval_of

INTERVALS_NOTE = (
    "Means over requests, each request counting once, with 95 % intervals (bootstrap over devices, "
    "each with all its requests). One device alone gives no interval."
)
"""What the figures of ``interval_columns`` mean."""

_SHOWN = (
    "ttft_ms",
    "itl_mean_ms",
    "e2e_ms",
    "tokens_per_second",
    "frame_bytes_down_per_token",
    "frame_bytes_up_per_token",
)


def interval_columns(requests: pd.DataFrame, rows: Sequence[Row], seed: int = 0) -> list[Column]:
    """Return speed and bytes of every arm with their intervals.

    Args:
        requests: of ``request_measures``.
        rows: summary rows, for the arms' names.
        seed: of the bootstrap.
    """
    arms = whole_arms(rows)
    columns = [Column(arms_title(arms), tuple(arm_labels(arms)), left=True)]
    for measure in MEASURES:
        if measure.key not in _SHOWN:
            continue
        found = [
            interval_of(requests[requests["arm"] == arm["arm"]], measure.key, seed) for arm in arms
        ]
        cells = tuple(ABSENT if each is None else interval_cell(each[0]) for each in found)
        columns.append(Column(measure.title, cells, measure.unit))
    counts = tuple(f"{row['requests']:,}" for row in arms)
    return [*columns, Column("requests", counts)]


def interval_cell(interval: Interval) -> str:
    """Format a mean with the ends of its interval, as precisely as the interval allows."""
    if not interval.mean and not interval.low and not interval.high:
        return "0"
    if math.isnan(interval.low):
        return f"{significant(interval.mean)} [{ABSENT}]"
    ends = (interval.mean, interval.low, interval.high)
    largest = max(abs(each) for each in ends)
    width = interval.high - interval.low
    # Two digits of the interval's width are all that it says.
    decimals = 1 - math.floor(math.log10(width)) if width > largest * 1e-6 else 2
    decimals = min(max(0, decimals), max(0, 3 - math.floor(math.log10(largest))))
    mean, low, high = (f"{each:,.{decimals}f}" for each in ends)
    return f"{mean} [{low}, {high}]"
