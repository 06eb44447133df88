"""What pages are made of: figures and tables with their data, before any HTML."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from experiments.results.grid import Column
from experiments.results.samples import Sample


@dataclass(frozen=True, slots=True)
class FigureBlock:
    """A figure.

    Args:
        name: its file's name without suffix; also its address on the page.
        svg: how it looks.
        caption: what it shows.
        origins: where that is from; empty where that goes without saying.
        csv: the numbers that are drawn.
    """

    name: str
    svg: str
    caption: str
    origins: str
    csv: str


@dataclass(frozen=True, slots=True)
class TableBlock:
    """A table.

    Args:
        name: its file's name without suffix; also its address on the page.
        columns: what stands in it.
        caption: what it shows.
        origins: where that is from; empty where that goes without saying.
    """

    name: str
    columns: Sequence[Column]
    caption: str
    origins: str


@dataclass(frozen=True, slots=True)
class SamplesBlock:
    """Sample texts and the colour of each title."""

    samples: Sequence[Sample]
    colours: Mapping[str, str]
    caption: str


Block = FigureBlock | TableBlock | SamplesBlock


@dataclass(frozen=True, slots=True)
class Section:
    """One part of a page: its address, its heading, a sentence or two, and its blocks."""

    anchor: str
    title: str
    lead: str
    blocks: Sequence[Block]
