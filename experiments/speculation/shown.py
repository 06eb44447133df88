"""The study as people read it: two figures, tables, sentences written from the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from matplotlib.figure import Figure

from actors.sink import write_atomically
from costeer.methods import method_named
from experiments.evaluation.bootstrap import Interval
from experiments.report.plots import svg
from experiments.report.style import BLUE, GREEN, GREY, ORANGE, PURPLE, SKY, VERMILLION, YELLOW
from experiments.results.grid import Column, markdown_table, number, text_table
from experiments.speculation.study import MBPS, RTT_S, WAYS, Point, SpeculationStudy

_HEIGHT_IN = 3.0
_ROW_IN, _LEGEND_IN = 1.75, 0.9
_DARK_GREEN, _BROWN, _BLACK, _VIOLET = "#00543D", "#7A4B00", "#222222", "#5B3FA0"
_COLOURS = (
    GREY, BLUE, _BLACK, _BROWN, _VIOLET, VERMILLION,
    YELLOW, ORANGE, SKY, PURPLE, GREEN, _DARK_GREEN,
)  # fmt: skip
_MARKERS = ("x", "s", "1", "2", "*", "o", "v", "^", "<", ">", "D", "P")
_LOOKS = {
    way.label: (colour, marker)
    for way, colour, marker in zip(WAYS, _COLOURS, _MARKERS, strict=True)
}
_STEERED = tuple(way.label for way in WAYS if way.steered)
_UNSTEERED = tuple(
    way.label for way in WAYS if method_named(way.method).cloud_prompt and not way.steered
)
_STREAM, _SMALL, _LEARNT = "llm_without", "slm_with", "costeer, adaptive drafts"
_NEAR = 0.95
_ALIKE = frozenset({"costeer, 1 draft", "costeer, 2 drafts", "costeer, 1+24 drafts"})
"""Not in the figure of links, which would be crowded: the last is hidden by what is learnt."""


def curve_figure(found: SpeculationStudy) -> str:
    """Return speed over acceptance as SVG: points measured, lines by arithmetic."""

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        for label in dict.fromkeys(point.way for point in found.curve):
            line = [point for point in found.curve if point.way == label]
            colour, marker = _LOOKS[label]
            if label == _STREAM:
                axes.axhline(line[0].tokens_per_s.mean, color=colour, ls="--", lw=1, label=label)
                continue
            x = [point.drawn for point in line]
            axes.plot(x, [_allowed(point) for point in line], color=colour, lw=0.8)
            axes.errorbar(
                x, [point.tokens_per_s.mean for point in line],
                yerr=_bars([point.tokens_per_s for point in line]), color=colour,
                marker=marker, ms=4, ls="none", capsize=2, elinewidth=0.8, label=label,
            )  # fmt: skip
        axes.set_xlabel("acceptance a: share of drafts that are right")
        axes.set_ylabel("tokens/s of one stream, RTT 50 ms")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside right upper")

    return svg(draw, _HEIGHT_IN)


def grid_figure(found: SpeculationStudy) -> str:
    """Return every way on every link as SVG: a row for each figure, a column for each bandwidth.

    Dashed is what writes the large model's own text, or the small one's.
    """
    rows: tuple[tuple[str, Callable[[Point], Interval], float], ...] = (
        ("tokens/s", lambda one: one.tokens_per_s, 1.0),
        ("stall, s/text", lambda one: one.stall_s, 1.0),
        ("GPU, ms/token", lambda one: one.gpu_s, 1e3),
    )

    def draw(figure: Figure) -> None:
        panels = figure.subplots(len(rows), len(MBPS), sharex=True, sharey="row")
        for (title, of, scale), across in zip(rows, panels, strict=True):
            for axes, mbps in zip(across, MBPS, strict=True):
                for label, (colour, marker) in _LOOKS.items():
                    if label in _ALIKE:
                        continue
                    line = [one for one in found.grid if (one.way, one.mbps) == (label, mbps)]
                    drawn = [of(point) for point in line]
                    axes.errorbar(
                        [1e3 * point.rtt_s for point in line],
                        [scale * one.mean for one in drawn],
                        yerr=_bars(drawn, scale), color=colour, marker=marker, ms=3.5, lw=0.9,
                        capsize=2, ls="-" if label in _STEERED else "--",
                        label=label if axes is panels[0][0] else None,
                    )  # fmt: skip
                axes.set_ylim(bottom=0)
            across[0].set_ylabel(title)
        for axes, mbps in zip(panels[0], MBPS, strict=True):
            axes.set_title(f"{mbps:g} Mbit/s")
        for axes in panels[-1]:
            axes.set_xlabel("round trip, ms")
        figure.legend(loc="outside lower center", ncols=3)

    return svg(draw, len(rows) * _ROW_IN + _LEGEND_IN)


def grid_columns(found: SpeculationStudy) -> list[Column]:
    """Return one line per link and way."""
    rows = found.grid
    return [
        Column("RTT", tuple(number(1e3 * one.rtt_s, 0) for one in rows), unit="ms"),
        Column("rate", tuple(f"{one.mbps:g}" for one in rows), unit="Mbit/s"),
        Column("method", tuple(one.way for one in rows), left=True),
        Column("tokens/s", tuple(within(one.tokens_per_s, 1) for one in rows)),
        Column("stall", tuple(within(one.stall_s, 1) for one in rows), unit="s/text"),
        Column("GPU", tuple(within(one.gpu_s, 1, 1e3) for one in rows), unit="ms/token"),
    ]


def region_columns(found: SpeculationStudy) -> list[Column]:
    """Return one line per link: who is fastest there, of the personal texts and of all others."""
    links = [(rtt_s, mbps) for rtt_s in RTT_S for mbps in MBPS]
    here = [[one for one in found.grid if (one.rtt_s, one.mbps) == link] for link in links]

    def fastest(ways: Sequence[str]) -> tuple[str, ...]:
        best = [
            max((one for one in there if one.way in ways), key=lambda one: one.tokens_per_s.mean)
            for there in here
        ]
        return tuple(f"{one.way} ({within(one.tokens_per_s, 1)})" for one in best)

    return [
        Column("RTT", tuple(number(1e3 * rtt_s, 0) for rtt_s, _ in links), unit="ms"),
        Column("rate", tuple(f"{mbps:g}" for _, mbps in links), unit="Mbit/s"),
        Column("steered by the context", fastest(_STEERED), left=True),
        Column("the large model's own text", fastest(_UNSTEERED), left=True),
        Column("the small model's", fastest((_SMALL,)), left=True),
    ]


def curve_columns(found: SpeculationStudy) -> list[Column]:
    """Return one line per way and acceptance, beside what arithmetic allows."""
    rows = [one for one in found.curve if one.way != _STREAM]
    shares = [one.tokens_per_s.mean / _allowed(one) for one in rows]
    return [
        Column("drafts", tuple(one.way.removeprefix("costeer, ") for one in rows), left=True),
        Column("a", tuple(f"{one.acceptance:g}" for one in rows)),
        Column("drawn", tuple(number(one.drawn, 3) for one in rows)),
        Column("tokens/s", tuple(within(one.tokens_per_s, 1) for one in rows)),
        Column("arithmetic", tuple(number(one.expected_per_s, 1) for one in rows)),
        Column("measured/arithmetic", tuple(number(share, 2) for share in shares)),
    ]


def sentences(found: SpeculationStudy) -> list[str]:
    """Return what was found, in words."""
    stream, adaptive = {}, {}
    fastest: dict[str, list[str]] = {}
    small_ahead = 0
    worst_share = 1.0
    beaten: dict[str, list[str]] = {}
    for rtt_s in RTT_S:
        for mbps in MBPS:
            here = {
                one.way: one.tokens_per_s.mean
                for one in found.grid
                if (one.rtt_s, one.mbps) == (rtt_s, mbps)
            }
            place = f"{1e3 * rtt_s:g} ms, {mbps:g} Mbit/s"
            fixed = max(
                speed for way, speed in here.items() if way.startswith("costeer, ")
                and "adaptive" not in way
            )  # fmt: skip
            rivals = {way: here[way] for way in _UNSTEERED}
            ahead = max(rivals, key=lambda way: rivals[way])
            if rivals[ahead] > here[_LEARNT]:
                beaten.setdefault(ahead, []).append(place)
            stream[place], adaptive[place] = here[_STREAM], here[_LEARNT]
            worst_share = min(worst_share, here[_LEARNT] / fixed)
            small_ahead += here[_SMALL] >= max(here.values())
            exact = {way: speed for way, speed in here.items() if way in _STEERED}
            fastest.setdefault(max(exact, key=lambda way: exact[way]), []).append(place)
    near = [place for place in stream if adaptive[place] >= _NEAR * stream[place]]
    behind = [place for place in stream if place not in near]
    reached = (
        f"At an acceptance of {found.acceptance:.2f}, CoSteer with learnt drafts reaches"
        f" {_NEAR:g} of the plain cloud stream on {len(near)} of {len(stream)} links"
    )
    learnt = (
        f"Learnt drafts reach {100 * worst_share:.0f} % of the best fixed choice on the link where"
        " they are furthest from it."
    )
    small = (
        f"The small model alone is the fastest on {small_ahead} of {len(stream)} links: it pays no"
        " round trip, but lacks the large model's knowledge."
    )
    winners = "; ".join(f"{way} on {len(places)}" for way, places in fastest.items())
    return [
        reached + (f"; not at {'; '.join(behind)}." if behind else "."),
        learnt,
        small,
        f"Fastest of the steered ways, of {len(stream)} links: {winners}.",
        _against_unsteered(beaten, len(stream)),
    ]


def _against_unsteered(beaten: dict[str, list[str]], links: int) -> str:
    """Say where the large model's own text, without any context, comes faster than CoSteer's."""
    if not beaten:
        return (
            f"On all {links} links CoSteer with learnt drafts is faster than every way to the large"
            " model's own text."
        )
    where = "; ".join(f"{way} at {', '.join(places)}" for way, places in beaten.items())
    count = sum(map(len, beaten.values()))
    return (
        f"The large model's own text, which knows nothing of the context, comes faster on {count}"
        f" of {links} links: {where}."
    )


def table(found: SpeculationStudy) -> str:
    """Return tables and sentences as text."""
    return "\n\n".join(
        [
            text_table(curve_columns(found)),
            text_table(grid_columns(found)),
            "Fastest, in tokens/s:",
            text_table(region_columns(found)),
            *sentences(found),
        ]
    )


def write_study(found: SpeculationStudy, folder: Path) -> Path:
    """Write figures, tables and data; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "acceptance.svg", curve_figure(found))
    write_atomically(folder / "links.svg", grid_figure(found))
    write_atomically(folder / "acceptance.md", markdown_table(curve_columns(found)) + "\n")
    write_atomically(folder / "links.md", markdown_table(grid_columns(found)) + "\n")
    write_atomically(folder / "regions.md", markdown_table(region_columns(found)) + "\n")
    write_atomically(folder / "speculation.json", json.dumps(asdict(found), indent=1))
    return folder


def within(value: Interval, decimals: int, scale: float = 1.0) -> str:
    """Return a mean and half the length of its interval."""
    half = scale * (value.high - value.low) / 2
    return f"{number(scale * value.mean, decimals)} ± {number(half, decimals)}"


def _allowed(point: Point) -> float:
    """What arithmetic allows; not a number where it says nothing."""
    return math.nan if point.expected_per_s is None else point.expected_per_s


def _bars(line: Sequence[Interval], scale: float = 1.0) -> tuple[list[float], list[float]]:
    """Lengths of the intervals' two arms."""
    below = [scale * (one.mean - one.low) for one in line]
    return below, [scale * (one.high - one.mean) for one in line]
