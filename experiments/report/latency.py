"""How long users wait: distributions of latency over the fleet, and the same per link class.

Curves are made first and drawn second, so that what can be downloaded is what is seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from experiments.report.plots import line_handles, plain_log, svg
from experiments.report.style import GREY, Look, looks
from experiments.results.frames import ID, Frames, per_request
from experiments.results.labels import Row, whole_arms
from experiments.results.summary import ALL

_NS_PER_MS = 1e6
_MS = 1e3
_LINE_POINTS = 400
_MANY_CLASSES = 4
_ROW_IN = 0.16
_FEW_ARMS = 2


@dataclass(frozen=True, slots=True)
class Curve:
    """One distribution: so much of it takes at most so long.

    Args:
        panel: which panel it is drawn in; empty where there is one.
        look: its name and colour.
        share_percent: rising from 0 to 100.
        latency_ms: of each share.
    """

    panel: str
    look: Look
    share_percent: NDArray[np.float64]
    latency_ms: NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Drawn:
    """A figure as SVG text, and the numbers that are drawn, as CSV."""

    svg: str
    csv: str


def itl_figure(tokens: pd.DataFrame, requests: pd.DataFrame, rows: Sequence[Row]) -> Drawn:
    """Return the distribution of inter-token latency: a panel per link class, a line per arm.

    Args:
        tokens: the run's tokens.
        requests: the run's requests.
        rows: summary rows, for names and colours.
    """
    arms = whole_arms(rows)
    said = tokens[tokens["position"] > 0].merge(requests[[*ID, "link_class"]], on=ID, how="left")
    classes = sorted(said["link_class"].dropna().unique())
    panels = classes if 1 < len(classes) <= _MANY_CLASSES else [""]
    curves = []
    for panel in panels:
        here = said[said["link_class"] == panel] if panel else said
        for row, look in zip(arms, looks(arms), strict=True):
            curves += _curve(panel, look, here[here["arm"] == row["arm"]]["latency_ns"])
    short = len(panels) == _MANY_CLASSES
    title = "ITL" if short else "inter-token latency"
    return panels_figure(curves, panels, looks(arms), [title] * len(panels), "share of tokens, %")


def request_figure(frames: Frames, rows: Sequence[Row]) -> Drawn:
    """Return the distributions of TTFT and E2E over requests, a panel each, a line per arm.

    Args:
        frames: the run's two tables.
        rows: summary rows, for names and colours.
    """
    arms = whole_arms(rows)
    felt = per_request(frames)
    panels = ("time to first token", "whole request")
    curves = []
    for panel, column in zip(panels, ("ttft_ns", "e2e_ns"), strict=True):
        for row, look in zip(arms, looks(arms), strict=True):
            curves += _curve(panel, look, felt[felt["arm"] == row["arm"]][column].dropna())
    titles = ["from the intended arrival"] * 2
    return panels_figure(curves, panels, looks(arms), titles, "share of requests, %", own_axes=True)


def live_figure(
    live: tuple[pd.DataFrame, Sequence[Row]], virtual: tuple[pd.DataFrame, Sequence[Row]]
) -> Drawn:
    """Return inter-token latency as it was lived and as it was predicted, one line each.

    Args:
        live: tokens and summary rows of the live run.
        virtual: the same of its prediction.
    """
    pairs = ((live, "live", "-"), (virtual, "virtual", (0, (2, 1.2))))
    curves: list[Curve] = []
    for (tokens, rows), way, dash in pairs:
        arms = whole_arms(rows)
        later = tokens[tokens["position"] > 0]
        for row, look in zip(arms, looks(arms), strict=True):
            named = Look(f"{look.label}, {way}", look.colour, dash)
            curves += _curve("", named, later[later["arm"] == row["arm"]]["latency_ns"])

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        _draw_curves(axes, curves, _floor_ms(curves))
        axes.set_xlabel("inter-token latency at the device, ms (log scale)")
        axes.set_ylabel("share of tokens, %")
        axes.legend(handles=line_handles([curve.look for curve in curves]), loc="lower right")

    return Drawn(svg(draw, 2.6), _csv(curves))


def links_figure(rows: Sequence[Row]) -> Drawn:
    """Return each arm's inter-token latency on each link class: median, and a line to p95.

    Args:
        rows: summary rows of every link class.
    """
    arms = whole_arms(rows)
    styled = {row["arm"]: look for row, look in zip(arms, looks(arms), strict=True)}
    classes = sorted({row["link_class"] for row in rows} - {ALL})
    points = [
        (link, styled[row["arm"]], row["itl_s"]["p50"] * _MS, row["itl_s"]["p95"] * _MS)
        for link in classes
        for row in rows
        if row["link_class"] == link and row["itl_s"]["p50"] is not None
    ]
    table = pd.DataFrame(
        [(link, look.label, p50, p95) for link, look, p50, p95 in points],
        columns=["link_class", "arm", "itl_p50_ms", "itl_p95_ms"],
    )
    known = [value for *_, p50, p95 in points for value in (p50, p95) if value > 0]
    # Tokens that came in one burst are 0 apart, which has no place on a log scale.
    floor_ms = max(min(known, default=1.0), max(known, default=1.0) * 1e-4) * 0.7
    step = 0.8 / max(len(arms), 1)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        order = {look.label: place for place, look in enumerate(styled.values())}
        for link, look, p50, p95 in points:
            y = classes.index(link) + (order[look.label] - (len(arms) - 1) / 2) * step
            ends = [max(value, floor_ms) for value in (p50, p95)]
            axes.plot(ends, [y, y], color=look.colour, lw=1.6)
            axes.plot(ends[:1], [y], "o", color=look.colour, ms=4.5)
            axes.plot(ends[1:], [y], "|", color=look.colour, ms=6, mew=1.6)
        axes.set_yticks(range(len(classes)), classes)
        axes.set_ylim(len(classes) - 0.5, -0.5)
        for edge in range(1, len(classes)):
            axes.axhline(edge - 0.5, color="#E6E6E6", lw=0.6)
        axes.grid(visible=False, axis="y")
        axes.set_xlabel("inter-token latency, ms (log scale): ● median, | 95th percentile")
        plain_log(axes)
        handles = [
            Line2D([], [], color=look.colour, marker="o", ms=4.5, label=look.label)
            for look in styled.values()
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=6)

    height = 1.1 + max(0.3, _ROW_IN * max(len(arms), _FEW_ARMS)) * len(classes)
    return Drawn(svg(draw, height), table.to_csv(index=False))


def _curve(panel: str, look: Look, values_ns: pd.Series) -> list[Curve]:
    if not len(values_ns):
        return []
    shares = np.linspace(0, 100, min(len(values_ns), _LINE_POINTS))
    ms = np.percentile(values_ns.to_numpy(dtype=np.float64), shares) / _NS_PER_MS
    return [Curve(panel, look, shares, ms)]


def panels_figure(
    curves: Sequence[Curve],
    panels: Sequence[str],
    styled: Sequence[Look],
    titles: Sequence[str],
    share_of: str,
    *,
    own_axes: bool = False,
) -> Drawn:
    """Return curves in panels side by side.

    Args:
        curves: what is drawn.
        panels: their names, left to right.
        styled: looks of the legend.
        titles: of each panel's latency axis.
        share_of: what the shares are of.
        own_axes: whether each panel has a range of its own.
    """

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(panels), sharey=True, sharex=not own_axes, squeeze=False)[0]
        floor_ms = _floor_ms(curves)
        for axes, panel, title in zip(grid, panels, titles, strict=True):
            _draw_curves(axes, [each for each in curves if each.panel == panel], floor_ms)
            if panel:
                axes.set_title(panel)
            # On every panel: a figure-wide label would lie under the legend.
            axes.set_xlabel(f"{title}, ms (log scale)")
        grid[0].set_ylabel(share_of)
        figure.legend(handles=line_handles(styled), loc="outside lower center", ncols=6)

    return Drawn(svg(draw, 2.75), _csv(curves))


def _draw_curves(axes: Axes, curves: Sequence[Curve], floor_ms: float) -> None:
    if not curves:
        axes.text(0.5, 0.5, "none ended", transform=axes.transAxes, ha="center", color=GREY)
    for curve in curves:
        # Dashes over whole lines: equal distributions stay visible both.
        order = 2.0 if curve.look.dash == "-" else 3.0
        axes.plot(
            np.maximum(curve.latency_ms, floor_ms),
            curve.share_percent,
            color=curve.look.colour,
            ls=curve.look.dash,
            zorder=order,
        )
    axes.set_xscale("log")
    axes.set_ylim(0, 101)
    axes.set_yticks([0, 25, 50, 75, 95], ["0", "25", "50", "75", "95"])
    plain_log(axes)


def _floor_ms(curves: Sequence[Curve]) -> float:
    """Return where the axis begins: tokens that came in one burst are 0 apart, which has no log."""
    tenths = [float(np.interp(10, each.share_percent, each.latency_ms)) for each in curves]
    return min((0.5 * value for value in tenths if value > 0), default=1e-3)


def _csv(curves: Sequence[Curve]) -> str:
    tables = [
        pd.DataFrame(
            {
                "panel": curve.panel,
                "line": curve.look.label,
                "share_percent": curve.share_percent,
                "latency_ms": curve.latency_ms,
            }
        )
        for curve in curves
    ]
    columns = ["panel", "line", "share_percent", "latency_ms"]
    table = pd.concat(tables) if tables else pd.DataFrame(columns=columns)
    return str(table.to_csv(index=False, float_format="%.6g"))
