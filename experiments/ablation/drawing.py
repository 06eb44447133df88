"""What the figures of an ablation share: how codecs look, how axes are labelled.

Families of codecs keep their colour and their marker from figure to figure; both tell them apart,
so that neither colour nor print is needed. Filled: exact (refined until certified). Hollow: the
first frame alone.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import matplotlib as mpl
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from experiments.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    RC,
    SKY,
    VERMILLION,
    WIDTH_IN,
)

INK = "#222222"
SMALL = 6.5
"""Points of what stands beside a mark."""
FIRST_FRAME = "first frame"
"""``exactness`` of configurations that accept what the first payload says."""
BYTES = "frame_bytes_down_per_token"
"""The bytes that figures and sentences are about."""

_OTHERS = ((GREEN, "P"), (PURPLE, "X"), (SKY, "v"), (ORANGE, "<"), (BLUE, ">"))
_FINE = (1.0, 1.2, 1.5, 2.0, 2.5, 3.0, 4.0, 5.0, 6.0, 8.0)


@dataclass(frozen=True, slots=True)
class Picture:
    """A figure that is ready to be drawn: how, and how high in inches."""

    draw: Callable[[Figure], None]
    height_in: float

    def render(self, form: str = "svg", dpi: int = 200) -> bytes:
        """Return the picture as a file's content."""
        with mpl.rc_context(RC):
            figure = Figure(figsize=(WIDTH_IN, self.height_in), layout="constrained")
            self.draw(figure)
            out = io.BytesIO()
            metadata = {"Date": None} if form == "svg" else None
            figure.savefig(out, format=form, metadata=metadata, dpi=dpi)
        return out.getvalue()


@dataclass(frozen=True, slots=True)
class CodecLook:
    """How a family of codecs is drawn."""

    colour: str
    """Of lines, bars and marks."""
    marker: str
    """As matplotlib names it."""


def codec_look(family: str, families: Sequence[str]) -> CodecLook:
    """A family's colour and marker: known kinds have theirs, others take what is left."""
    words = set(family.replace("-", " ").split())
    packed_by = any(word.startswith("zstd") for word in words)
    if "dense" in words:
        if packed_by:
            return CodecLook(GREY, "d" if "planar" in words else "D")
        return CodecLook(INK, "X" if "fp32" in words else "s")
    if "packed" in words:
        return CodecLook(SKY, "h") if packed_by else CodecLook(BLUE, "o")
    if "planar" in words:
        return CodecLook(GREEN, "P") if packed_by else CodecLook("#8FD6BF", "p")
    if "naive" in words:
        return CodecLook(VERMILLION, "^") if packed_by else CodecLook(ORANGE, "v")
    colour, marker = _OTHERS[list(families).index(family) % len(_OTHERS)]
    return CodecLook(colour, marker)


def short_labels(means: pd.DataFrame) -> dict[str, str]:
    """Return a name per configuration: its codec, and what else tells it from others."""
    rows = means.drop_duplicates("cell_key").set_index("cell_key")
    labels = {}
    for key, row in rows.iterrows():
        family, k = str(row["family"]), row["k"]
        name = family if pd.isna(k) else family.replace("top-k", f"top-{k}")
        if row["exactness"]:
            name += f", {row['exactness']}"
        if varied(means["overlap"]):
            name += f", overlap {row['overlap'] or 'by default'}"
        labels[str(key)] = name
    counts = pd.Series(list(labels.values())).value_counts()
    return {key: name if counts[name] == 1 else f"{name} ({key})" for key, name in labels.items()}


def varied(values: pd.Series) -> bool:
    """Whether there is more than one value."""
    return len(values.unique()) > 1


def log_ticks(axes: Axes, which: str) -> None:
    """Plain numbers on a log axis: tens where they are many, else 1, 2, 5."""
    axis, (low, high) = (
        (axes.xaxis, axes.get_xlim()) if which == "x" else (axes.yaxis, axes.get_ylim())
    )
    subs = (1.0,) if high / low > 1e3 else (1.0, 2.0, 5.0) if high / low > 4 else _FINE  # noqa: PLR2004
    axis.set_major_locator(LogLocator(base=10, subs=subs, numticks=20))
    axis.set_major_formatter(FuncFormatter(lambda value, _: _plain(value)))
    axis.set_minor_formatter(NullFormatter())


def _plain(value: float) -> str:
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g} {letter}"
    return f"{value:g}"
