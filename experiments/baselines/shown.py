"""The comparison as a table."""

from __future__ import annotations

from experiments.baselines.study import Comparison, Crossing, Standing
from experiments.results.grid import ABSENT, Column, number, text_table
from experiments.results.intervals import interval_cell

_SURE = 0.05


def comparison_text(found: Comparison, width: int | None = None) -> str:
    """Return the table and what has to be known to read it."""
    rows = found.standings
    columns = [
        Column("method", tuple(row.title for row in rows), left=True),
        Column("context", tuple(row.context_at for row in rows), "needed at", left=True),
        Column("private", tuple("yes" if row.private else "no" for row in rows), left=True),
        Column("strength", tuple(_strength(row) for row in rows)),
        Column("ROUGE-L", tuple(interval_cell(row.rouge_l) for row in rows)),
        Column("over CoSteer", tuple(_difference(row) for row in rows), "ROUGE-L, paired"),
        Column("profile", tuple(interval_cell(row.profile_recall) for row in rows), "recall"),
        Column("fact", tuple(interval_cell(row.fact_recall) for row in rows), "recall"),
        *_crossing_columns([row.crossing for row in rows]),
    ]
    how = (
        f"{found.pair}: strengths (†) chosen by ROUGE-L on {found.dev_rows} dev rows, methods"
        f" compared on {found.test_rows} others; greedy, float32, no network."
    )
    reading = (
        "Mean [95 % interval] over rows; * p < 0.05 by sign flips. Proxy tuning's form is CoSteer"
        " at c = 1: the same scores, another weight."
    )
    if any(row.crossing for row in rows):
        reading += (
            " What crosses, and speed: of one run of all as arms over the pair's links, simulated;"
            " frames; top-64 for steered methods, the plausible tokens for those with a floor."
        )
    return "\n".join([text_table(columns, width), how, reading])


def _crossing_columns(found: list[Crossing | None]) -> list[Column]:
    if not any(found):
        return []
    return [
        Column(
            title,
            tuple(ABSENT if one is None else number(getattr(one, name), decimals) for one in found),
            unit,
            "what crosses",
        )
        for title, name, unit, decimals in (
            ("down", "bytes_down", "B/token", 1),
            ("up", "bytes_up", "B/token", 1),
            ("certified", "certified", "share", 3),
            ("speed", "tokens_per_second", "tokens/s", 2),
        )
    ]


def _strength(row: Standing) -> str:
    if row.strength is None:
        return ABSENT
    return f"{row.strength:g}" + ("†" if row.tried else "")


def _difference(row: Standing) -> str:
    if row.difference is None or row.p is None:
        return ABSENT
    return interval_cell(row.difference) + ("*" if row.p < _SURE else "")
