"""The figures of a report, as SVG text. Pure: rows and frames in, text out.

Axes carry units, time is in milliseconds, and arms keep their colour from figure to figure.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from costeer.token_record import STAGES
from experiments.report.style import GREY, PALE, RC, STAGE_COLOURS, WIDTH_IN, Look, looks
from experiments.results.grid import significant
from experiments.results.labels import Row, whole_arms
from experiments.results.tables import STAGE_TITLES

_MS = 1e3
_TICKS = (
    (4.0, (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)),
    (20.0, (1.0, 1.5, 2.0, 3.0, 5.0, 7.0)),
    (300.0, (1.0, 2.0, 5.0)),
    (math.inf, (1.0,)),
)
_CROWDED = 0.6
_ROW_IN = 0.27
_LIGHT = {"#F0E442", "#8FD6BF", "#E69F00", "#56B4E9", "#CC79A7"}


def svg(draw: Callable[[Figure], None], height_in: float) -> str:
    """Return a figure of full width as SVG text, the same for the same drawing."""
    with mpl.rc_context(RC):
        figure = Figure(figsize=(WIDTH_IN, height_in), layout="constrained")
        draw(figure)
        out = io.StringIO()
        figure.savefig(out, format="svg", metadata={"Date": None})
    return out.getvalue()


def plain_log(axes: Axes) -> None:
    """Label a log x axis in plain numbers, the more of them the shorter it is."""
    low, high = axes.get_xlim()
    subs = next(subs for span, subs in _TICKS if high / low < span)
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def _tick(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"


def line_handles(styled: Sequence[Look]) -> list[Line2D]:
    """Return what a legend shows of lines."""
    return [Line2D([], [], color=look.colour, ls=look.dash, label=look.label) for look in styled]


# --------------------------------------------------------------------------- stages


def stages_figure(rows: Sequence[Row], which: str = "itl_breakdown_s") -> str:
    """Return where the mean token's time goes: stacked bars, in milliseconds and as shares.

    Args:
        rows: summary rows; those over every link class are drawn.
        which: ``itl_breakdown_s`` (tokens after the first) or ``breakdown_s`` (all).
    """
    arms = [row for row in whole_arms(rows) if row["tokens"]]
    names = [look.label for look in looks(arms)]
    ms = {stage: np.array([(row[which][stage] or 0.0) * _MS for row in arms]) for stage in STAGES}
    shown = [stage for stage in STAGES if ms[stage].any()]
    totals = np.sum([ms[stage] for stage in STAGES], axis=0)

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=[1.25, 1])
        share = {stage: 100 * ms[stage] / np.where(totals > 0, totals, 1) for stage in shown}
        _stack(left, {stage: ms[stage] for stage in shown}, "{:.0f}", totals.max(initial=1e-9))
        _stack(right, share, "{:.0f} %", 100.0)
        for y, total in enumerate(totals):
            left.text(total, y, f"  {significant(total)} ms", va="center", fontsize=7.5)
        left.set_xlim(0, totals.max(initial=1e-9) * 1.2)
        left.set_xlabel("mean time per token after the first, ms")
        right.set_xlabel("share of it, %")
        right.set_xlim(0, 100)
        left.set_yticks(range(len(names)), names)
        left.invert_yaxis()
        for axes in (left, right):
            axes.grid(visible=False, axis="y")
        figure.legend(
            handles=[
                Patch(color=STAGE_COLOURS[stage], label=STAGE_TITLES[stage]) for stage in shown
            ],
            loc="outside lower center",
            ncols=5,
        )

    return svg(draw, 1.15 + _ROW_IN * len(arms))


def _stack(axes: Axes, parts: dict[str, Any], form: str, full: float) -> None:
    base = np.zeros(len(next(iter(parts.values()), ())))
    for stage, values in parts.items():
        colour = STAGE_COLOURS[stage]
        axes.barh(
            range(len(values)), values, left=base, height=0.68, color=colour, ec="white", lw=0.5
        )
        for y, value in enumerate(values):
            if value > 0.07 * full:
                ink = "#222222" if colour in _LIGHT else "white"
                at = base[y] + value / 2
                axes.text(
                    at, y, form.format(value), ha="center", va="center", color=ink, fontsize=7
                )
        base = base + values


# --------------------------------------------------------------------------- bytes


def bytes_figure(rows: Sequence[Row]) -> str:
    """Return bytes per token, down and up: frame and wire joined by a line, on a log scale."""
    arms = whole_arms(rows)
    styled = looks(arms)

    pairs = {
        way: [
            tuple(row[f"{kind}_bytes_{way}_per_token"] for kind in ("frame", "wire"))
            for row in arms
        ]
        for way in ("down", "up")
    }
    known = [value for way in pairs.values() for pair in way for value in pair if value]
    low, high = (min(known) / 2, max(known) * 2) if known else (1.0, 10.0)

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, 2, sharey=True, sharex=True)
        for axes, way in zip(panels, ("down", "up"), strict=True):
            axes.set_xscale("log")
            axes.set_xlim(low, high)
            for y, (pair, look) in enumerate(zip(pairs[way], styled, strict=True)):
                _dumbbell(axes, y, pair, look)
            axes.set_title(f"{way}link")
            axes.set_xlabel("bytes per token (log scale)")
            axes.grid(visible=False, axis="y")
            plain_log(axes)
        panels[0].set_yticks(range(len(arms)), [look.label for look in styled])
        panels[0].set_ylim(len(arms) - 0.4, -0.6)
        figure.legend(
            handles=[
                _dot("frame: what was encoded", GREY),
                _dot("wire: with TCP/IP, TLS and HTTP/2 overhead", "white"),
            ],
            loc="outside lower center",
            ncols=2,
        )

    return svg(draw, 1.2 + _ROW_IN * len(arms))


def _dot(label: str, face: str) -> Line2D:
    return Line2D([], [], marker="o", ls="", color=GREY, mfc=face, label=label)


def _dumbbell(axes: Axes, y: int, pair: Sequence[float | None], look: Look) -> None:
    frame, wire = pair
    if not frame or not wire:
        # Axes coordinates: nothing has no place on a log scale.
        axes.text(0.015, y, "none", transform=axes.get_yaxis_transform(), va="center", color=GREY)
        return
    axes.plot([frame, wire], [y, y], color=look.colour, lw=1.2, zorder=2)
    axes.plot([frame], [y], "o", color=look.colour, ms=5.5, zorder=3)
    axes.plot([wire], [y], "o", mfc="white", mec=look.colour, mew=1.4, ms=5.5, zorder=3)
    low, high = axes.get_xlim()
    crowded = math.log(max(frame, wire) / low) > _CROWDED * math.log(high / low)
    axes.annotate(
        f"{significant(frame)} | {significant(wire)}",
        (min(frame, wire) if crowded else max(frame, wire), y),
        (-7 if crowded else 7, 0),
        textcoords="offset points",
        va="center",
        ha="right" if crowded else "left",
        fontsize=7,
    )


# --------------------------------------------------------------------------- quality

_PANELS = (
    ("rouge_l", "ROUGE-L"),
    ("profile_recall", "profile recall"),
    ("fact_recall", "fact recall"),
)


def quality_figure(rows: Sequence[Row]) -> str:
    """Return quality per arm with 95 % intervals, beside what the cloud sees of the profile."""
    arms = whole_arms(rows)
    styled = looks(arms)
    panels = [(key, title) for key, title in _PANELS if any(key in row["quality"] for row in arms)]
    seen = any("facts_in_prompt_share" in row["quality"] for row in arms)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(panels) + seen, sharey=True, squeeze=False)[0]
        for axes, (key, title) in zip(grid, panels, strict=False):
            for y, (row, look) in enumerate(zip(arms, styled, strict=True)):
                _interval(axes, y, row["quality"].get(key), look.colour, filled=True)
            axes.set_title(title)
        if seen:
            for y, (row, look) in enumerate(zip(arms, styled, strict=True)):
                prompt = row["quality"].get("facts_in_prompt_share")
                _interval(grid[-1], y - 0.14, prompt, look.colour, filled=True)
                told = row["quality"].get("facts_in_tokens_share")
                _interval(grid[-1], y + 0.14, told, look.colour, filled=False)
            grid[-1].set_title("facts the cloud sees")
            grid[-1].set_xlabel("● prompt   ○ tokens")
        for axes in grid:
            axes.set_xlim(-0.04, 1.04)
            axes.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
            axes.grid(visible=False, axis="y")
        grid[0].set_yticks(range(len(arms)), [look.label for look in styled])
        grid[0].set_ylim(len(arms) - 0.4, -0.6)

    return svg(draw, 0.75 + _ROW_IN * len(arms))


def _interval(
    axes: Axes, y: float, item: Mapping[str, float] | None, colour: str, *, filled: bool
) -> None:
    if not item:
        return
    axes.plot([0, 1], [y, y], color=PALE, lw=0.4, zorder=1)
    axes.plot([item["low"], item["high"]], [y, y], color=colour, lw=2.0, zorder=2)
    face = colour if filled else "white"
    axes.plot([item["mean"]], [y], "o", mfc=face, mec=colour, mew=1.3, ms=5, zorder=3)
