"""A comparison as one offline page, with a figure of all ratios."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pandas as pd
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.comparison.pairing import ArmComparison, Comparison, Difference
from experiments.comparison.tables import (
    NOTE,
    arm_columns,
    arm_sentence,
    arm_title,
    as_frame,
)
from experiments.report.blocks import FigureBlock, TableBlock
from experiments.report.pages import data_uri, environment
from experiments.report.plots import plain_log, svg
from experiments.report.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION
from experiments.results.measures import MEASURES

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, GREY)
_ROW_IN = 0.24
_LEAST = 1e-4
"""Ratios below this are drawn here."""


def render(found: Comparison) -> str:
    """Return the page's HTML."""
    drawn = ratios_figure(found)
    tables = [
        (
            arm_title(arm),
            arm_sentence(arm),
            TableBlock(f"arm-{n}", arm_columns(arm), "", ""),
            arm.differs,
        )
        for n, arm in enumerate(found.arms, 1)
    ]
    pages = environment("experiments.comparison")
    return pages.get_template("comparison.html.j2").render(
        found=found,
        figure=drawn,
        tables=tables,
        note=NOTE,
        csv=data_uri("csv", as_frame(found).to_csv(index=False)),
    )


def ratios_figure(found: Comparison) -> FigureBlock | None:
    """Return every measure's ratio of second to first, with its interval; None without any.

    A measure that is 0 on the first side has no ratio and is left to the tables.
    """
    arms = [arm for arm in found.arms if arm.differs and _with_ratio(arm)]
    if not arms:
        return None
    drawn = {each.measure.key for arm in arms for each in _with_ratio(arm)}
    shown = {each.key: each for each in MEASURES if each.key in drawn}
    keys = list(shown)
    step = 0.7 / len(arms)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.axvline(1.0, color="#444444", lw=0.9)
        for n, arm in enumerate(arms):
            colour = _COLOURS[n % len(_COLOURS)]
            for each in _with_ratio(arm):
                y = keys.index(each.measure.key) + (n - (len(arms) - 1) / 2) * step
                mean, low, high = (max(value, _LEAST) for value in _ratios(each))
                axes.plot([low, high], [y, y], color=colour, lw=1.8)
                face = colour if each.difference.excludes_zero else "white"
                axes.plot([mean], [y], "o", mfc=face, mec=colour, mew=1.2, ms=4.5)
        # An axis shorter than this would blow up differences that do not matter.
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.8), max(high, 1.25))
        axes.set_yticks(range(len(keys)), [shown[key].title for key in keys])
        axes.set_ylim(len(keys) - 0.4, -0.6)
        axes.grid(visible=False, axis="y")
        for edge in range(1, len(keys)):
            axes.axhline(edge - 0.5, color="#EEEEEE", lw=0.5)
        axes.set_xlabel("second over first (log scale); 1: no difference")
        plain_log(axes)
        handles = [
            Line2D([], [], color=_COLOURS[n % len(_COLOURS)], marker="o", ms=4.5, label=label)
            for n, label in enumerate(arm_title(arm) for arm in arms)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=1)

    rows = max(len(keys), 4) * max(_ROW_IN, 0.12 * len(arms))
    return FigureBlock(
        "ratios",
        svg(draw, 0.8 + rows + 0.18 * len(arms)),
        "Second over first, with 95 % intervals of the difference over the first's mean. Filled: "
        "the interval excludes 1.",
        "",
        _csv(arms),
    )


def _with_ratio(arm: ArmComparison) -> list[Difference]:
    return [each for each in arm.differences if each.ratio is not None]


def _ratios(each: Difference) -> tuple[float, float, float]:
    base, found = each.theirs, each.difference
    low, high = (found.low, found.high) if not math.isnan(found.low) else (found.mean, found.mean)
    return (base + found.mean) / base, (base + low) / base, (base + high) / base


def _csv(arms: Sequence[ArmComparison]) -> str:
    rows = [
        (arm_title(arm), each.measure.key, *_ratios(each))
        for arm in arms
        for each in _with_ratio(arm)
    ]
    table = pd.DataFrame(rows, columns=["arm", "figure", "ratio", "low95", "high95"])
    return str(table.to_csv(index=False, float_format="%.6g"))
