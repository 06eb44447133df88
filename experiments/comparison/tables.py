"""A comparison in tables and in numbers."""

from __future__ import annotations

import math
import textwrap
from typing import Any

import pandas as pd

from experiments.comparison.pairing import ArmComparison, Comparison, Difference
from experiments.results.formats import table_as
from experiments.results.grid import ABSENT, Column, number, significant, text_table

NOTE = (
    "Means over requests that both have (same device, number and prompt). Difference: the second "
    "minus the first, with its 95 % interval (bootstrap over devices, each with all its pairs). "
    "better, worse: the interval lies on one side of 0; a dash does not say that they are "
    "equal."
)
"""How the tables are read."""


def arm_title(arm: ArmComparison) -> str:
    """Return what an arm's table is called."""
    where = ", ".join(part for part in (arm.part, arm.arm) if part)
    return f"{where}{': ' if where else ''}{arm.label} against {arm.baseline}"


def arm_columns(arm: ArmComparison) -> list[Column]:
    """Return an arm beside its partner, a measure a row."""
    found = arm.differences
    return [
        Column("figure", tuple(each.measure.title for each in found), left=True),
        Column("unit", tuple(each.measure.unit for each in found), left=True),
        Column("first", tuple(significant(each.theirs) for each in found)),
        Column("second", tuple(significant(each.ours) for each in found)),
        Column("difference", tuple(_signed(each.difference.mean, each) for each in found)),
        Column("95 % interval", tuple(_ends(each) for each in found)),
        Column("ratio", tuple(number(each.ratio, 3) for each in found)),
        Column("pairs", tuple(f"{each.pairs:,}" for each in found)),
        Column("second is", tuple(verdict(each) for each in found)),
    ]


def verdict(difference: Difference) -> str:
    """Say whether the second is better, where the interval allows it to be said."""
    interval, better = difference.difference, difference.measure.better
    if not interval.excludes_zero:
        return ABSENT
    if not better:
        return "differs"
    return "better" if (interval.mean > 0) == (better == "more") else "worse"


def arm_sentence(arm: ArmComparison) -> str:
    """Return what the pairs are, and how many texts are the same."""
    if not arm.pairs:
        return "No request of the one has a partner in the other: nothing can be said."
    devices = f"{arm.devices} {'device' if arm.devices == 1 else 'devices'}"
    left_out = f"; {arm.unpaired} requests without a partner are left out" if arm.unpaired else ""
    return (
        f"{arm.pairs:,} pairs of requests on {devices}{left_out}. In "
        f"{100 * arm.same_tokens:.0f} % of them both say the same, token by token."
        f"{' Every figure is the same.' if arm.identical else ''}"
    )


def as_text(found: Comparison, width: int | None = None) -> str:
    """Return all tables for a terminal."""
    wide = width or 110
    blocks = []
    for arm in found.arms:
        title = arm_title(arm)
        body = text_table(arm_columns(arm), width) if arm.differs else ""
        blocks.append("\n".join([title, "═" * len(title), arm_sentence(arm), "", body]).rstrip())
    told = [f"warning: {each}" for each in found.warnings]
    told += [f"also different: {each}" for each in found.remarks]
    told += [f"no partner: {each}" for each in found.lonely]
    wrapped = "\n".join(textwrap.fill(each, wide, subsequent_indent="  ") for each in told)
    return "\n\n".join(part for part in (wrapped, *blocks, textwrap.fill(NOTE, wide)) if part)


def as_markdown(found: Comparison) -> str:
    """Return all tables as Markdown."""
    lines = [f"- **Warning:** {each}" for each in found.warnings]
    lines += [f"- Also different: {each}" for each in found.remarks]
    lines += [f"- No partner: {each}" for each in found.lonely]
    blocks = ["\n".join(lines)] if lines else []
    for arm in found.arms:
        table = table_as("md", arm_columns(arm), "", "") if arm.differs else ""
        blocks.append(f"## {arm_title(arm)}\n\n{arm_sentence(arm)}\n\n{table}".rstrip())
    return "\n\n".join([*blocks, NOTE]) + "\n"


def as_latex(found: Comparison) -> str:
    """Return all tables as LaTeX; warnings stand above them as comments."""
    lines = [f"% warning: {each}" for each in found.warnings]
    tables = [
        table_as("tex", arm_columns(arm), f"{arm_title(arm)}. {NOTE}", f"compare-{number}")
        for number, arm in enumerate(found.arms, 1)
        if arm.differs
    ]
    return "\n".join([*lines, *tables])


def as_frame(found: Comparison) -> pd.DataFrame:
    """Return all differences as a tidy table: a row per arm and measure, numbers unrounded."""
    return pd.DataFrame(
        [
            {
                "part": arm.part,
                "arm": arm.arm,
                "first": arm.baseline,
                "second": arm.label,
                "figure": each.measure.key,
                "first_mean": each.theirs,
                "second_mean": each.ours,
                "difference": each.difference.mean,
                "low95": each.difference.low,
                "high95": each.difference.high,
                "ratio": each.ratio,
                "pairs": each.pairs,
                "devices": arm.devices,
                "verdict": "" if (said := verdict(each)) == ABSENT else said,
            }
            for arm in found.arms
            for each in arm.differences
        ]
    )


def as_json(found: Comparison) -> dict[str, Any]:
    """Return everything as plain data."""
    frame = as_frame(found)
    rows = frame.astype(object).where(frame.notna(), None).to_dict(orient="records")
    return {
        "baseline": found.baseline,
        "others": list(found.others),
        "warnings": found.warnings,
        "remarks": found.remarks,
        "without_partner": list(found.lonely),
        "pairs": [
            {
                "part": arm.part,
                "arm": arm.arm,
                "second": arm.label,
                "pairs": arm.pairs,
                "unpaired": arm.unpaired,
                "devices": arm.devices,
                "same_tokens_share": arm.same_tokens if arm.pairs else None,
            }
            for arm in found.arms
        ],
        "differences": rows,
    }


def _ends(each: Difference) -> str:
    low, high = each.difference.low, each.difference.high
    if math.isnan(low):
        return ABSENT
    return f"{_signed(low, each)} to {_signed(high, each)}"


def _signed(value: float, each: Difference) -> str:
    """Format a difference as finely as its interval's larger end deserves."""
    interval = each.difference
    all_ends = (interval.mean, interval.low, interval.high)
    ends = [abs(end) for end in all_ends if not math.isnan(end)]
    largest = max(ends, default=0.0)
    if not largest:
        return "0"
    decimals = max(0, 2 - math.floor(math.log10(largest)))
    shown = f"{value:+,.{decimals}f}"
    return "0" if not float(shown.replace(",", "")) else shown.replace("-", "−")
