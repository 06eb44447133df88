"""What a run with failures did over time: tokens of each replica, and what happened."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from experiments.report.latency import Drawn
from experiments.report.plots import svg
from experiments.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PALE,
    PURPLE,
    SKY,
    VERMILLION,
    Dash,
)
from experiments.results.incident_table import told
from experiments.results.labels import Row, arm_labels, whole_arms

_NS = 1e9
_BINS = 60
_PANEL_IN = 1.5
_COLOURS = (BLUE, ORANGE, GREEN, VERMILLION, PURPLE, SKY, GREY)
_DASHES: tuple[Dash, ...] = ("-", (0, (4.0, 1.5)), (0, (1.0, 1.0)))


@dataclass(frozen=True, slots=True)
class _Panel:
    """One arm: tokens a second of each replica, by the middles of its bins."""

    arm: int
    label: str
    at_s: NDArray[np.float64]
    tokens_per_s: dict[int, NDArray[np.float64]]


def timeline_figure(tokens: pd.DataFrame, rows: Sequence[Row], events: Sequence[Row]) -> Drawn:
    """Return how fast each replica's devices got tokens, and what happened when: a panel per arm.

    Args:
        tokens: the run's tokens.
        rows: summary rows, for names.
        events: of the summary.
    """
    arms = whole_arms(rows)
    shown = {row["arm"] for row in events if row["kind"] != "device_leaves"}
    named = zip(arms, arm_labels(arms), strict=True)
    said = tokens[tokens["arm"].isin(shown)]
    edges = np.linspace(0.0, float(said["chosen_at_ns"].max()) / _NS, _BINS + 1)
    panels = [
        _panel(said[said["arm"] == row["arm"]], row["arm"], label, edges)
        for row, label in named
        if row["arm"] in shown
    ]
    replicas = sorted({replica for panel in panels for replica in panel.tokens_per_s})

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(panels), 1, sharex=True, squeeze=False)[:, 0]
        for axes, panel in zip(grid, panels, strict=True):
            _draw(axes, panel, [row for row in events if row["arm"] == panel.arm])
        clock = "time" if any(row["way"] == "live" for row in arms) else "simulated time"
        grid[-1].set_xlabel(f"{clock}, s")
        handles = [
            Line2D([], [], color=_colour(each), ls=_dash(each), label=f"replica {each}")
            for each in replicas
        ]
        figure.legend(handles=handles, loc="outside lower center", ncols=6)

    return Drawn(svg(draw, _PANEL_IN * len(panels) + 0.7), _csv(panels))


def _panel(said: pd.DataFrame, arm: int, label: str, edges: NDArray[np.float64]) -> _Panel:
    width_s = edges[1]
    found = {
        int(replica): np.histogram(group["chosen_at_ns"] / _NS, edges)[0] / width_s
        for replica, group in said.groupby("replica")
    }
    return _Panel(arm, label, (edges[:-1] + edges[1:]) / 2, found)


def _draw(axes: Axes, panel: _Panel, events: Sequence[Row]) -> None:
    for replica, rate in panel.tokens_per_s.items():
        axes.plot(
            panel.at_s,
            rate,
            color=_colour(replica),
            ls=_dash(replica),
            lw=1.2,
            drawstyle="steps-mid",
        )
    for row in events:
        axes.axvline(row["at_s"], color=GREY, lw=0.8, ls=(0, (2.0, 2.0)))
    for begin_s, end_s in _absences(events, float(panel.at_s[-1])):
        axes.axvspan(begin_s, end_s, color=PALE, alpha=0.5, lw=0)
    said: dict[float, list[str]] = {}
    for row in events:
        said.setdefault(row["at_s"], []).append(told(row))
    for at_s, texts in said.items():
        axes.annotate(
            "\n".join(texts),
            (at_s, 1.0),
            xycoords=("data", "axes fraction"),
            xytext=(3, -2),
            textcoords="offset points",
            va="top",
            fontsize=6.5,
        )
    axes.set_title(panel.label)
    axes.set_ylabel("tokens/s")
    axes.set_ylim(bottom=0)
    axes.margins(x=0.01, y=0.35)


def _absences(events: Sequence[Row], until_s: float) -> list[tuple[float, float]]:
    """Return when a replica was away; one that stays away is away to the end."""
    found, began_s = [], dict[int, float]()
    for row in events:
        if row["kind"] == "replica_fails":
            began_s[row["replica"]] = row["at_s"]
        elif row["kind"] == "replica_is_back" and row["replica"] in began_s:
            found.append((began_s.pop(row["replica"]), row["at_s"]))
    return found + [(at_s, max(at_s, until_s)) for at_s in began_s.values()]


def _colour(replica: int) -> str:
    return _COLOURS[replica % len(_COLOURS)]


def _dash(replica: int) -> Dash:
    return _DASHES[replica // len(_COLOURS) % len(_DASHES)]


def _csv(panels: Sequence[_Panel]) -> str:
    tables = [
        pd.DataFrame(
            {"arm": panel.label, "replica": replica, "time_s": panel.at_s, "tokens_per_s": rate}
        )
        for panel in panels
        for replica, rate in panel.tokens_per_s.items()
    ]
    return str(pd.concat(tables).to_csv(index=False, float_format="%.6g"))
