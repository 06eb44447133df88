"""The sweep as people read it: the paper's five panels, and all of it over the strength c."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from actors.sink import write_atomically
from costeer.steering import PAPER, strength
from experiments.paper.sensitivity import SWEEPS, Point, Sensitivity
from experiments.report.plots import svg
from experiments.report.style import BLUE, GREEN, GREY, ORANGE, PURPLE, VERMILLION
from experiments.results.grid import Column, number, text_table
from experiments.results.intervals import interval_cell

_HEIGHT_IN = 4.6
_LOOKS = {
    "alpha": ("α", BLUE, "o"),
    "beta": ("β", VERMILLION, "s"),
    "eta": ("η", GREEN, "D"),
    "lam": ("λ", ORANGE, "^"),
    "T": ("T", PURPLE, "v"),
}
_DASHES = (0, (4, 1.5))
_PERCENT = 100


def figure(found: Sensitivity) -> str:
    """Return the figure as SVG."""

    def draw(figure: Figure) -> None:
        grid = figure.add_gridspec(2, 5, height_ratios=(1, 1.35))
        lowest = min(point.rouge_l.low for point in (*found.sweeps, *found.curve))
        highest = max(point.rouge_l.high for point in (*found.sweeps, *found.curve))
        room = (lowest - 0.03, highest + 0.03)
        for place, name in enumerate(_LOOKS):
            axes = figure.add_subplot(grid[0, place])
            _panel(axes, name, found.of(name))
            axes.set_ylim(*room)
            if place:
                axes.tick_params(labelleft=False)
            else:
                axes.set_ylabel("ROUGE-L")
        axes = figure.add_subplot(grid[1, :])
        _over_c(axes, found)
        axes.set_ylim(*room)

    return svg(draw, _HEIGHT_IN)


def _panel(axes: Axes, name: str, points: Sequence[Point]) -> None:
    title, colour, marker = _LOOKS[name]
    _bars(axes, [point.value for point in points], points, colour, marker, "-")
    axes.axvline(float(PAPER[name]), color=GREY, lw=0.8, ls=_DASHES)
    axes.set_xlabel(title)
    if name == "T":
        axes.set_xscale("log")


def _over_c(axes: Axes, found: Sensitivity) -> None:
    curve = sorted(found.curve, key=lambda point: point.c)
    x = [point.c for point in curve]
    axes.plot(x, [point.rouge_l.mean for point in curve], color=GREY, label="c alone (scalar form)")
    axes.fill_between(
        x,
        [point.rouge_l.low for point in curve],
        [point.rouge_l.high for point in curve],
        color=GREY,
        alpha=0.25,
        lw=0,
        label="its 95 % interval",
    )
    for name, (title, colour, marker) in _LOOKS.items():
        points = found.of(name)
        axes.plot(
            [point.c for point in points],
            [point.rouge_l.mean for point in points],
            color=colour,
            marker=marker,
            ms=4.5,
            ls="",
            label=f"{title} varied (loop)",
        )
    axes.set_xscale("log")
    axes.set_xlabel("strength c that the five parameters come to (no unit, log axis)")
    axes.set_ylabel("ROUGE-L")
    axes.plot([], [], color=GREY, lw=0.8, ls=_DASHES, label="the paper's defaults (above)")
    axes.legend(loc="lower left", ncols=2)


def _bars(
    axes: Axes, x: Sequence[float], points: Sequence[Point], colour: str, marker: str, dash: str
) -> None:
    mean = np.array([point.rouge_l.mean for point in points])
    low = np.array([point.rouge_l.low for point in points])
    high = np.array([point.rouge_l.high for point in points])
    axes.errorbar(
        x, mean, yerr=(mean - low, high - mean), color=colour, marker=marker, ms=3.5, ls=dash,
        capsize=2, elinewidth=0.8, lw=1.1,
    )  # fmt: skip


def as_text(found: Sensitivity) -> str:
    """Return every setting with its c, and what follows."""
    points = [*found.sweeps, *sorted(found.curve, key=lambda point: point.c)]
    columns = [
        Column(
            "varied", tuple(_LOOKS.get(p.parameter, ("c alone",))[0] for p in points), left=True
        ),
        Column("value", tuple(f"{point.value:g}" for point in points)),
        Column("c", tuple(f"{point.c:.4g}" for point in points)),
        Column("ROUGE-L", tuple(interval_cell(point.rouge_l) for point in points)),
        Column("tokens", tuple(number(point.tokens or None, 0) for point in points)),
        Column(
            "disagree",
            tuple(number(p.disagreements, 0) if p.tokens else "–" for p in points),
            "loop, scalar",
        ),
    ]
    return "\n".join([text_table(columns), "", *sentences(found)])


def sentences(found: Sensitivity) -> list[str]:
    """Return what was found, in words."""
    best = max(found.curve, key=lambda point: point.rouge_l.mean)
    count = sum(len(values) for values in SWEEPS.values())
    setting = (
        f"{found.pair}: {found.rows} rows a point, greedy; the paper's loop in float32, a scalar c"
        " in float64. Dashed lines are the paper's defaults."
    )
    axis = (
        f"Over {count} settings one axis, c, explains {_PERCENT * found.explained():.1f} % of the"
        " variance of ROUGE-L (R² of the grey curve, linear in log c)."
    )
    summit = (
        f"Best on the curve: c = {best.c:g}, ROUGE-L {interval_cell(best.rouge_l)}; the paper's"
        f" defaults are c = {strength(**PAPER):.4g}."
    )
    return [setting, axis, _disagreements(found), _flat_curves(), summit]


def _disagreements(found: Sensitivity) -> str:
    tokens = sum(point.tokens for point in found.sweeps)
    differ = sum(point.disagreements for point in found.sweeps)
    said = f"Loop and scalar choose differently in {differ:,} of {tokens:,} tokens"
    if not differ:
        return f"{said}."
    worst = max(found.sweeps, key=lambda point: point.disagreements / max(point.tokens, 1))
    return (
        f"{said}, most at {_LOOKS[worst.parameter][0]} = {worst.value:g} (c = {worst.c:.3g}):"
        f" {worst.disagreements:,} of {worst.tokens:,}."
    )


def _flat_curves() -> str:
    eta = _c(eta=20.0) / _c(eta=10.0) - 1
    steps = _c(T=100) / _c(T=20) - 1
    return (
        f"η from 10 to 20 moves c by {_PERCENT * eta:.1f} %, T from 20 to 100 by"
        f" {_PERCENT * steps:.0f} %, T from 1 to 20 by {_PERCENT * (_c(T=20) / _c(T=1) - 1):.0f} %:"
        " a curve that is flat over η says nothing of robustness, it is one setting drawn twice."
    )


def _c(**changed: Any) -> float:  # noqa: ANN401 - one of the five, by its name
    return strength(**(dict(PAPER) | changed))


def as_json(found: Sensitivity) -> dict[str, Any]:
    """Return the same for programs."""
    return {**asdict(found), "explained": found.explained(), "sentences": sentences(found)}


def write_page(found: Sensitivity, folder: Path) -> Path:
    """Write the figure and its data; return the figure's path."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = ["parameter,value,c,rouge_l,low95,high95,tokens,disagreements"]
    lines += [
        f"{p.parameter},{p.value:g},{p.c:.10g},{p.rouge_l.mean:.5f},{p.rouge_l.low:.5f},"
        f"{p.rouge_l.high:.5f},{p.tokens},{p.disagreements}"
        for p in (*found.sweeps, *found.curve)
    ]
    write_atomically(folder / "figure2.csv", "\n".join(lines) + "\n")
    return write_atomically(folder / "figure2.svg", figure(found))
