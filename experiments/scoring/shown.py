"""Scores as tables: means with intervals, and paired differences to a baseline."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from experiments.evaluation.bootstrap import Interval
from experiments.results.grid import ABSENT, Column, text_table
from experiments.results.intervals import interval_cell
from experiments.results.labels import Row, arm_labels, arms_title, whole_arms
from experiments.scoring.measure import Scores
from experiments.scoring.metrics import Metric

_SURE = 0.05
_SMALLEST_P = 0.001


def as_text(
    scores: Scores, rows: Sequence[Row], baseline: int | None, width: int | None = None
) -> str:
    """Return both tables and their notes.

    Args:
        scores: of a run.
        rows: its summary, for the arms' names.
        baseline: number of the arm that others are compared with; no comparison if None.
        width: of the terminal.
    """
    arms = whole_arms(rows)
    labels = arm_labels(arms)
    numbers = [int(arm["arm"]) for arm in arms]
    first = Column(arms_title(arms), tuple(labels), left=True)
    columns = [first]
    columns += [
        Column(
            metric.title,
            tuple(_mean(scores.interval(arm, metric), metric) for arm in numbers),
            metric.unit,
        )
        for metric in scores.metrics
    ]
    prompts = [scores.frame[scores.frame["arm"] == arm]["prompt_id"].nunique() for arm in numbers]
    columns.append(Column("prompts", tuple(f"{count:,}" for count in prompts)))
    parts = [text_table(columns, width), _legend(scores)]
    if baseline is not None:
        others = [
            (arm, label) for arm, label in zip(numbers, labels, strict=True) if arm != baseline
        ]
        columns = [Column("difference", tuple(label for _, label in others), left=True)]
        columns += [
            Column(
                metric.title,
                tuple(_difference(scores, arm, baseline, metric) for arm, _ in others),
                "nats" if metric.exponential else metric.unit,
            )
            for metric in scores.metrics
        ]
        name = labels[numbers.index(baseline)]
        parts += [
            "",
            f"Paired differences to {name}: mean [95 % interval], * p < 0.05 by sign flips",
            text_table(columns, width),
        ]
    return "\n".join(parts)


def as_json(scores: Scores, rows: Sequence[Row], baseline: int | None) -> dict[str, Any]:
    """Return the same figures for programs."""
    arms = whole_arms(rows)
    found = []
    for arm, label in zip(arms, arm_labels(arms), strict=True):
        number = int(arm["arm"])
        metrics: dict[str, Any] = {}
        for metric in scores.metrics:
            interval = scores.interval(number, metric)
            entry: dict[str, Any] = {"mean": asdict(interval) if interval else None}
            if baseline is not None and number != baseline:
                difference = scores.difference(number, baseline, metric)
                if difference is not None:
                    entry |= {"difference": asdict(difference[0]), "p": difference[1]}
            metrics[metric.key] = entry
        found.append({"arm": number, "label": label, "metrics": metrics})
    return {"arms": found, "baseline": baseline, "notes": list(scores.notes)}


def _legend(scores: Scores) -> str:
    lines = ["mean [95 % interval], bootstrap over prompts"]
    return "\n".join([*lines, *scores.notes])


def _mean(interval: Interval | None, metric: Metric) -> str:
    if interval is None:
        return ABSENT
    if metric.exponential:
        ends = (math.exp(each) for each in (interval.mean, interval.low, interval.high))
        return interval_cell(Interval(*ends))
    return interval_cell(interval)


def _difference(scores: Scores, arm: int, baseline: int, metric: Metric) -> str:
    found = scores.difference(arm, baseline, metric)
    if found is None:
        return ABSENT
    interval, p = found
    return interval_cell(interval) + ("*" if p < _SURE else "")
