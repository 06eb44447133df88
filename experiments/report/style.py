"""How figures look: one palette that colour-blind readers can tell apart, one colour per method.

The palette is Okabe and Ito's (2008). Within a pair of methods the lighter, dashed one is the one
without the private context, or with the lighter steering.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from experiments.results.labels import Row, arm_labels

ORANGE, SKY, GREEN, YELLOW = "#E69F00", "#56B4E9", "#009E73", "#F0E442"
BLUE, VERMILLION, PURPLE = "#0072B2", "#D55E00", "#CC79A7"
GREY, PALE = "#8A8A8A", "#D9D9D9"

METHOD_COLOURS = {
    "slm_without": SKY,
    "slm_with": BLUE,
    "llm_without": ORANGE,
    "llm_with": VERMILLION,
    "light_costeer": PURPLE,
    "costeer": GREEN,
}
_FADED = {"slm_without", "llm_without", "light_costeer"}
_SHADES = (0.0, -0.6, 0.5, -0.35, 0.7)

STAGE_COLOURS = {
    "device_queue": "#CFCFCF",
    "draft": "#B5D33D",
    "uplink": SKY,
    "cloud_queue": YELLOW,
    "cloud_compute": ORANGE,
    "select_encode": VERMILLION,
    "downlink": BLUE,
    "decode": "#8FD6BF",
    "edge_wait": GREEN,
    "steer": "#00543D",
    "refinement": PURPLE,
    "overhead": GREY,
}
"""The network in blues, the cloud in warm colours, the device in greens, waits in greys."""

WIDTH_IN = 7.0
"""Width of a figure: the text width of a two-column page."""

RC: dict[Any, Any] = {
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],
    "font.size": 8,
    "axes.titlesize": 8.5,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.labelsize": 8,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": "#444444",
    "axes.linewidth": 0.7,
    "axes.grid": True,
    "axes.axisbelow": True,
    "grid.color": "#E6E6E6",
    "grid.linewidth": 0.6,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.color": "#444444",
    "ytick.color": "#222222",
    "xtick.major.size": 3,
    "ytick.major.size": 0,
    "xtick.minor.size": 0,
    "legend.frameon": False,
    "legend.fontsize": 7.5,
    "legend.handlelength": 1.6,
    "legend.columnspacing": 1.4,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.6,
    # Glyphs as outlines: the same picture in every browser, editor and paper.
    "svg.fonttype": "path",
    "svg.hashsalt": "costeer",
}
"""Settings of every figure, used as a context: nothing is set for the process."""


Dash = str | tuple[int, tuple[float, ...]]
"""A line style as matplotlib takes it."""


@dataclass(frozen=True, slots=True)
class Look:
    """How one arm is drawn."""

    label: str
    """Its short name."""
    colour: str
    """Of lines, bars and dots."""
    dash: Dash
    """Line style."""


def looks(rows: Sequence[Row]) -> list[Look]:
    """Return a look per arm: its method's colour, in further shades where a method comes again."""
    methods = [str(row.get("method", "")) for row in rows]
    out: list[Look] = []
    for i, (method, label) in enumerate(zip(methods, arm_labels(rows), strict=True)):
        again = methods[:i].count(method)
        colour = METHOD_COLOURS.get(method, GREY)
        if again:
            dash: Dash = (0, (1.0 + again, 1.0))
        else:
            dash = (0, (4.0, 1.5)) if method in _FADED else "-"
        out.append(Look(label, _shade(colour, _SHADES[again % len(_SHADES)]), dash))
    return out


def _shade(colour: str, amount: float) -> str:
    """Return a colour mixed with black (below 0) or white (above)."""
    towards = 255 if amount > 0 else 0
    parts = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
    mixed = [round(part + abs(amount) * (towards - part)) for part in parts]
    return "#" + "".join(f"{part:02X}" for part in mixed)
