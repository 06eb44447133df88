"""The study as people read it: two figures, tables, sentences written from the numbers."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
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
_LEGEND_IN = 0.9
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
            x = [point.acceptance for point in line]
            axes.plot(x, [_allowed(point) for point in line], color=colour, lw=0.8)
            axes.errorbar(
                x, [point.tokens_per_s.mean for point in line], yerr=_bars(line), color=colour,
                marker=marker, ms=4, ls="none", capsize=2, elinewidth=0.8, label=label,
            )  # fmt: skip
        axes.set_xlabel("acceptance a: share of drafts that are right")
        axes.set_ylabel("tokens/s of one stream, RTT 50 ms")
        axes.set_ylim(bottom=0)
        figure.legend(loc="outside right upper")

    return svg(draw, _HEIGHT_IN)


def grid_figure(found: SpeculationStudy) -> str:
    """Return speed over the round trip as SVG, one panel per bandwidth; dashed: unsteered text."""

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(MBPS), sharey=True)
        for axes, mbps in zip(panels, MBPS, strict=True):
            for label, (colour, marker) in _LOOKS.items():
                line = [one for one in found.grid if (one.way, one.mbps) == (label, mbps)]
                axes.errorbar(
                    [1e3 * point.rtt_s for point in line],
                    [point.tokens_per_s.mean for point in line],
                    yerr=_bars(line), color=colour, marker=marker, ms=3.5, lw=0.9, capsize=2,
                    ls="-" if label in _STEERED else "--",
                    label=label if mbps == MBPS[0] else None,
                )  # fmt: skip
            axes.set_title(f"{mbps:g} Mbit/s")
            axes.set_xlabel("round trip, ms")
            axes.set_ylim(bottom=0)
        panels[0].set_ylabel("tokens/s of one stream")
        figure.legend(loc="outside lower center", ncols=3)

    return svg(draw, _HEIGHT_IN + _LEGEND_IN)


def grid_columns(found: SpeculationStudy) -> list[Column]:
    """Return one line per link and way."""
    rows = found.grid
    return [
        Column("RTT", tuple(number(1e3 * one.rtt_s, 0) for one in rows), unit="ms"),
        Column("rate", tuple(f"{one.mbps:g}" for one in rows), unit="Mbit/s"),
        Column("method", tuple(one.way for one in rows), left=True),
        Column("tokens/s", tuple(_interval(one.tokens_per_s, 1) for one in rows)),
        Column("stall", tuple(_interval(one.stall_s, 1) for one in rows), unit="s/text"),
        Column(
            "GPU",
            tuple(number(1e3 * one.gpu_s.mean, 1) for one in rows),
            unit="ms/token",
        ),
    ]


def curve_columns(found: SpeculationStudy) -> list[Column]:
    """Return one line per way and acceptance, beside what arithmetic allows."""
    rows = [one for one in found.curve if one.way != _STREAM]
    shares = [one.tokens_per_s.mean / _allowed(one) for one in rows]
    return [
        Column("drafts", tuple(one.way.removeprefix("costeer, ") for one in rows), left=True),
        Column("a", tuple(f"{one.acceptance:g}" for one in rows)),
        Column("tokens/s", tuple(_interval(one.tokens_per_s, 1) for one in rows)),
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
        [text_table(curve_columns(found)), text_table(grid_columns(found)), *sentences(found)]
    )


def write_study(found: SpeculationStudy, folder: Path) -> Path:
    """Write figures, tables and data; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / "acceptance.svg", curve_figure(found))
    write_atomically(folder / "links.svg", grid_figure(found))
    write_atomically(folder / "acceptance.md", markdown_table(curve_columns(found)) + "\n")
    write_atomically(folder / "links.md", markdown_table(grid_columns(found)) + "\n")
    write_atomically(folder / "speculation.json", json.dumps(asdict(found), indent=1))
    return folder


def _allowed(point: Point) -> float:
    """What arithmetic allows; not a number where it says nothing."""
    return math.nan if point.expected_per_s is None else point.expected_per_s


def _bars(line: Sequence[Point]) -> tuple[list[float], list[float]]:
    """Lengths of the intervals' two arms."""
    speeds = [point.tokens_per_s for point in line]
    return [one.mean - one.low for one in speeds], [one.high - one.mean for one in speeds]


def _interval(value: Interval, decimals: int) -> str:
    half = (value.high - value.low) / 2
    return f"{number(value.mean, decimals)} ± {number(half, decimals)}"
