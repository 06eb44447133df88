"""A study's figures: goodput and objectives over fleets of all sizes, reliefs, sensitivity."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from experiments.ablation.drawing import log_ticks
from experiments.capacity.changes import RESOURCES
from experiments.capacity.tables import devices_told
from experiments.report.blocks import FigureBlock
from experiments.report.plots import plain_log, svg
from experiments.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
)

Result = Mapping[str, Any]

_COLOURS = (BLUE, VERMILLION, GREEN, ORANGE, PURPLE, SKY, GREY)
_MARKERS = ("o", "s", "^", "D", "v", "P", "X")
_COLUMNS = 3
_ROW_IN = 0.26


def curves_figure(study: Result) -> FigureBlock:
    """Return goodput (above) and the worst objective (below) against devices, a column per mix."""
    mixes = list(dict.fromkeys(row["mix"] for row in study["results"]))[:_COLUMNS]
    limits_s = study["slo"]
    labels = list(dict.fromkeys(row["label"] for row in study["results"]))
    good = all(
        point["goodput_tokens_per_s"] is not None
        for row in study["results"]
        for point in row["curve"]
    )
    key = "goodput_tokens_per_s" if good else "system_tokens_per_second"

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, len(mixes), sharex="col", sharey="row", squeeze=False)
        for column, mix in enumerate(mixes):
            above, below = grid[0][column], grid[1][column]
            for row in study["results"]:
                if row["mix"] == mix:
                    index = labels.index(row["label"])
                    _line(above, row, index, lambda point: point[key])
                    _line(below, row, index, lambda point: _worst(point, limits_s))
                    _capacity(above, row, _COLOURS[index % len(_COLOURS)])
            below.axhline(1.0, color="#444444", lw=0.9, ls=(0, (4, 2)))
            above.set_title(mix)
            below.set_xscale("log")
            below.set_yscale("log")
            below.set_xlabel("devices per replica (log scale)")
            plain_log(below)
        grid[0][0].set_ylim(bottom=0)
        grid[0][0].set_ylabel("goodput, tokens/s" if good else "throughput, tokens/s")
        grid[1][0].set_ylabel("worst figure over its limit (log)")
        log_ticks(grid[1][0], "y")
        handles = [
            Line2D([], [], color=_COLOURS[i % 7], marker=_MARKERS[i % 7], ms=4, label=label)
            for i, label in enumerate(labels)
        ]
        handles += [
            Line2D([], [], color="#444444", marker="o", mfc="white", ls="", ms=4, label="broken"),
            Line2D([], [], color="#444444", ls=(0, (4, 2)), lw=0.9, label="objective"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=3)

    asked = ", ".join(f"{name} ≤ {limit_s:g} s" for name, limit_s in limits_s.items())
    what = (
        "Goodput: tokens per second of requests that keep the objectives by themselves"
        if good
        else "Throughput"
    )
    caption = (
        f"{what} (above), and the worst of {asked} over its limit (below), against the size of the "
        "fleet. Hollow: an objective is broken. Vertical lines: the capacity, its 95 % interval "
        "over seeds shaded. Dashed: the limit."
    )
    return FigureBlock("curves", svg(draw, 4.6), caption, _origins(study), _curves_csv(study))


def _worst(point: Result, limits_s: Mapping[str, float]) -> float | None:
    known = [
        point["slo"][name] / limit_s
        for name, limit_s in limits_s.items()
        if point["slo"][name] is not None
    ]
    return max(known, default=None)


def _line(axes: Axes, row: Result, index: int, value: Callable[[Result], float | None]) -> None:
    points = [point for point in row["curve"] if value(point) is not None]
    sizes = sorted({point["devices"] for point in points})
    colour, marker = _COLOURS[index % 7], _MARKERS[index % 7]
    means = [
        float(np.mean([value(point) or 0.0 for point in points if point["devices"] == size]))
        for size in sizes
    ]
    axes.plot(sizes, means, color=colour, lw=1.2, zorder=2)
    kept = [all(p["met"] for p in points if p["devices"] == size) for size in sizes]
    for met, face in ((True, colour), (False, "white")):
        chosen = [i for i, each in enumerate(kept) if each == met]
        axes.plot(
            [sizes[i] for i in chosen], [means[i] for i in chosen], marker, ms=4, mec=colour,
            mfc=face, mew=1.0, ls="", zorder=3,
        )  # fmt: skip


def _capacity(axes: Axes, row: Result, colour: str) -> None:
    if not row["devices"] or row["unbroken"]:
        return
    axes.axvline(row["devices"], color=colour, lw=0.8, zorder=1)
    if row["devices_low"] is not None:
        axes.axvspan(row["devices_low"], row["devices_high"], color=colour, alpha=0.15, lw=0)
    axes.annotate(
        devices_told(row), (row["devices"], 1.0), (2, -2), xycoords=("data", "axes fraction"),
        textcoords="offset points", fontsize=6.5, color=colour, rotation=90, va="top", ha="left",
    )  # fmt: skip


def _curves_csv(study: Result) -> str:
    names = list(study["slo"])
    shares = ("gpu_busy_share", "egress_busy_share", "kv_peak_share")
    copied = ("devices", "seed", "met", "goodput_tokens_per_s", "system_tokens_per_second", *shares)
    return _as_csv(
        ["arm", "links", *copied, *(f"{name}_s" for name in names)],
        (
            [row["label"], row["mix"], *(point[key] for key in copied)]
            + [point["slo"][name] for name in names]
            for row in study["results"]
            for point in row["curve"]
        ),
    )


def reliefs_figure(study: Result) -> FigureBlock | None:
    """Return how many times the devices each relief brings, a line per arm and mix."""
    rows = [row for row in study["results"] if row["reliefs"]]
    if not rows:
        return None
    keys = [each.key for each in RESOURCES]

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        axes.axvline(1.0, color="#444444", lw=0.9)
        for y, row in enumerate(rows):
            for place, each in enumerate(sorted(row["reliefs"], key=lambda e: e["resource"])):
                if each["gain"] is None:
                    continue
                index = keys.index(each["resource"])
                offset = (place - (len(row["reliefs"]) - 1) / 2) * 0.09
                axes.plot(
                    [each["gain"]], [y + offset], _MARKERS[index], color=_COLOURS[index], ms=5,
                    mfc="white" if each["devices"] is None else _COLOURS[index], zorder=3,
                )  # fmt: skip
        low, high = axes.get_xlim()
        axes.set_xlim(min(low, 0.9), max(high, 2.2))
        plain_log(axes)
        axes.set_yticks(range(len(rows)), [f"{row['label']}\n{row['mix']}" for row in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("devices with half the cost, over devices as it is (log scale)")
        handles = [
            Line2D([], [], color=colour, marker=marker, ls="", ms=5, label=each.title)
            for each, colour, marker in zip(RESOURCES, _COLOURS, _MARKERS, strict=True)
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=4)

    data = _as_csv(
        ["arm", "links", "resource", "devices", "gain"],
        (
            [row["label"], row["mix"], each["resource"], each["devices"], each["gain"]]
            for row in rows
            for each in row["reliefs"]
        ),
    )
    caption = (
        "What limits: the capacity with each resource at half its cost (a GPU twice as fast, half "
        "the round trip …), over the capacity as it is. 1: this resource does not matter. Hollow: "
        "still not broken at the largest fleet tried."
    )
    height = 0.9 + max(_ROW_IN * 2.4 * len(rows), 1.2)
    return FigureBlock("reliefs", svg(draw, height), caption, _origins(study), data)


def sensitivity_figure(study: Result) -> FigureBlock | None:
    """Return how far the capacity moves with each cost 20 % off; one panel per arm and mix."""
    rows = [row for row in study["results"] if row["sensitivity"]][: 2 * _COLUMNS]
    if not rows:
        return None
    across = min(_COLUMNS, len(rows))
    down = -(-len(rows) // across)
    titles = [each["title"] for each in rows[0]["sensitivity"]]

    def draw(figure: Figure) -> None:
        grid = figure.subplots(down, across, sharex=True, sharey=True, squeeze=False).ravel()
        for axes, row in zip(grid, rows, strict=False):
            _tornado(axes, row)
        for axes in grid[len(rows) :]:
            axes.set_visible(False)
        grid[0].set_yticks(range(len(titles)), titles)
        grid[0].set_ylim(len(titles) - 0.4, -0.6)
        handles = [
            Line2D([], [], color=BLUE, lw=5, label="cost 20 % lower"),
            Line2D([], [], color=VERMILLION, lw=5, label="cost 20 % higher"),
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=2)

    data = _as_csv(
        ["arm", "links", "cost", "devices_cheaper", "devices_dearer", "limit_holds"],
        (
            [row["label"], row["mix"], each["cost"], each["devices_cheaper"],
             each["devices_dearer"], each["holds"]]
            for row in study["results"]
            for each in row["sensitivity"]
        ),
    )  # fmt: skip
    caption = (
        "How far the capacity moves when one cost is 20 % lower or higher, each searched anew. "
        "*: the rules then name another limit."
    )
    height = 1.0 + down * (0.35 + 0.2 * len(titles))
    return FigureBlock("sensitivity", svg(draw, height), caption, _origins(study), data)


def _tornado(axes: Axes, row: Result) -> None:
    """One bar per cost in each direction; a star where another limit is named then."""
    for y, each in enumerate(row["sensitivity"]):
        for key, colour, offset in (
            ("change_cheaper", BLUE, -0.17),
            ("change_dearer", VERMILLION, 0.17),
        ):
            axes.barh(y + offset, (each[key] or 0.0) * 100, 0.32, color=colour)
        if not each["holds"]:
            place = axes.get_yaxis_transform()
            axes.text(0.98, y, "*", transform=place, va="center", ha="right", fontsize=11)
    axes.axvline(0, color="#444444", lw=0.9)
    axes.set_title(f"{row['label']}\n{row['mix']}", fontsize=7)
    axes.set_xlabel("change of the capacity, %")
    axes.grid(visible=False, axis="y")


def _as_csv(titles: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(titles)
    writer.writerows(rows)
    return out.getvalue()


def _origins(study: Result) -> str:
    found: dict[str, set[str]] = {}
    for row in study["results"]:
        for about, origin in (row["at_capacity"]["origins"] or {}).items():
            found.setdefault(about, set()).add(origin)
    told = "; ".join(f"{about} {', '.join(sorted(each))}" for about, each in found.items())
    return f"origins: {told}" if told else ""


def blocks(study: Result) -> Sequence[FigureBlock]:
    """Return every figure that there is something to draw for."""
    made = (curves_figure(study), reliefs_figure(study), sensitivity_figure(study))
    return [each for each in made if each is not None]
