"""What a calibration says, for people: how good it is, on points that it was not made from."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from statistics import median

from experiments.calibration_check import CheckedForward
from experiments.results.grid import Column, number, numbers, text_table

_MS = 1e6
_WIDTH = 110


def check_columns(points: Sequence[CheckedForward]) -> list[Column]:
    """Return the check as a table."""
    return [
        Column("side", tuple(point.side for point in points), left=True),
        Column("rows", tuple(str(point.rows) for point in points)),
        Column("new", tuple(str(point.new_tokens) for point in points), "tokens"),
        Column("held", tuple(str(point.context) for point in points), "tokens"),
        Column("measured", numbers([point.measured_ns / _MS for point in points]), "ms"),
        Column("time", numbers([p.calibrated_ns / _MS for p in points]), "ms", "calibrated"),
        Column("error", tuple(_percent(p.error) for p in points), "%", "calibrated"),
        Column(
            "time",
            numbers([None if p.roofline_ns is None else p.roofline_ns / _MS for p in points]),
            "ms",
            "roofline",
        ),
        Column("error", tuple(_percent(p.roofline_error) for p in points), "%", "roofline"),
    ]


def check_text(points: Sequence[CheckedForward], hardware: str) -> str:
    """Return the check printed, with what the errors come to."""
    ours = [abs(point.error) for point in points]
    theirs = [abs(error) for point in points if (error := point.roofline_error) is not None]
    told = (
        f"Forwards that the calibration was not made from: median error {median(ours):.0%}, "
        f"largest {max(ours):.0%}."
    )
    if theirs:
        told += (
            f" The roofline of {hardware} is off by {median(theirs):.0%} in the median, by "
            f"{max(theirs):.0%} at most."
        )
    return f"{text_table(check_columns(points))}\n{textwrap.fill(told, _WIDTH)}"


def variation_text(permille: Sequence[int]) -> str:
    """Return in a sentence how much forwards of one shape differ; empty if that is not known."""
    if not permille:
        return ""
    low, middle, high = (permille[int(share * len(permille))] for share in (0.05, 0.5, 0.95))
    return textwrap.fill(
        "Of the large model's forwards of one shape, against their median: 5th percentile"
        f" {low / 1000:.2f}, middle {middle / 1000:.2f}, 95th {high / 1000:.2f}. Simulated forwards"
        " draw from this.",
        _WIDTH,
    )


def _percent(error: float | None) -> str:
    return number(None if error is None else error * 100, 0)
