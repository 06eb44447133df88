"""The study as a table."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.precision.study import Precision
from experiments.results.grid import Column, number, significant, text_table


def precision_text(found: Sequence[Precision], width: int | None = None) -> str:
    """Return the table, and how it is read."""
    columns = [
        Column("model", tuple(row.model for row in found), left=True),
        Column("numerics", tuple(row.numerics for row in found), left=True),
        Column("tokens", tuple(number(row.tokens, 0) for row in found)),
        *_pair("alone against in the batch", found, "batch_flips", "batch_nats"),
        *_pair("against the reference", found, "reference_flips", "reference_nats"),
        Column("p1", tuple(significant(row.margin_p1) for row in found), "nats", "margin"),
        Column("p10", tuple(significant(row.margin_p10) for row in found), "nats", "margin"),
        Column("ties", tuple(number(row.ties, 0) for row in found)),
    ]
    reading = (
        "flips: other tokens chosen on the same prefix; largest: difference of a logit. A model's"
        f" first line ({found[0].numerics}) is its reference."
    )
    return "\n".join([text_table(columns, width), reading])


def _pair(group: str, found: Sequence[Precision], flips: str, nats: str) -> list[Column]:
    return [
        Column("flips", tuple(number(getattr(row, flips), 0) for row in found), "", group),
        Column("largest", tuple(_nats(getattr(row, nats)) for row in found), "nats", group),
    ]


def _nats(value: float) -> str:
    return f"{value:.1e}" if value else "0"
