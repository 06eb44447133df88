"""How fast, on which link: the figures of an ablation. Pure: tables in, pictures out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.ablation.drawing import (
    FIRST_FRAME,
    SMALL,
    Picture,
    codec_look,
    short_labels,
    varied,
)
from experiments.ablation.tables import link_name, links_of
from experiments.report.style import Dash
from experiments.results.grid import significant

_GAIN = 1.02
_CAUGHT_UP = 0.95
_DOTS = (0, (1.0, 1.5))
_DASHES: tuple[Dash, ...] = ("-", (0, (3.0, 1.2)), (0, (1.0, 1.0)))


def representatives(means: pd.DataFrame) -> list[str]:
    """Return the ``cell_key`` of what speed figures show: of each family of codecs the fastest.

    Only exact configurations compete where a family has any. The fastest is the one with the
    highest geometric mean over links; another one of its family joins it where it is more than 2 %
    faster on some link.
    """
    links = list(links_of(means)["link_class"])
    exact = means[means["exactness"] != FIRST_FRAME]
    chosen: list[str] = []
    for family, every in means.groupby("family", sort=False):
        mine = exact[exact["family"] == family]
        mine = mine if len(mine) else every
        speeds = mine[mine["link_class"].isin(links)].pivot_table(
            index="cell_key", columns="link_class", values="tokens_per_second", sort=False
        )
        speeds = speeds.dropna()
        if speeds.empty:
            continue
        best = str(np.log(speeds).mean(axis=1).idxmax())
        gains = speeds / speeds.loc[best]
        chosen += [
            best,
            *(str(gains[link].idxmax()) for link in gains if gains[link].max() > _GAIN),
        ]
    return list(dict.fromkeys(chosen))


def catches_up(
    rates: Sequence[float], line: Sequence[float], best: Sequence[float], share: float
) -> float | None:
    """Return the rate from which on a line stays within a share of the best; None if it never does.

    Args:
        rates: rising, positive.
        line: one positive value per rate.
        best: the best value of any line, per rate.
        share: of the best, 0 to 1.
    """
    lead = np.log(np.asarray(line, dtype=np.float64) / np.asarray(best)) - math.log(share)
    behind = np.flatnonzero(lead < 0)
    if not len(behind):
        return float(rates[0])
    last = int(behind[-1])
    if last == len(rates) - 1:
        return None
    part = float(-lead[last] / (lead[last + 1] - lead[last]))
    return float(rates[last] * (rates[last + 1] / rates[last]) ** part)


def crossovers(
    rates: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> list[tuple[float, str, str]]:
    """Return where the best line changes: (rate, best below, best above), on log-log segments.

    Args:
        rates: rising, positive.
        lines: name -> one positive value per rate.
    """
    found: list[tuple[float, str, str]] = []
    names = list(lines)
    logs = {name: np.log(np.asarray(lines[name], dtype=np.float64)) for name in names}
    log_rates = np.log(np.asarray(rates, dtype=np.float64))
    # Of equals the one that rises fastest leads: it is the best from there on.
    best = max(names, key=lambda name: (logs[name][0], *np.diff(logs[name])))
    for at in range(len(rates) - 1):
        here = 0.0
        while (crossing := _next_crossing(logs, best, at, here)) is not None:
            here, above = crossing
            rate = math.exp(log_rates[at] + here * (log_rates[at + 1] - log_rates[at]))
            found.append((rate, best, above))
            best = above
    return found


def _next_crossing(
    logs: Mapping[str, np.ndarray], best: str, at: int, here: float
) -> tuple[float, str] | None:
    """The first line that overtakes the best one in a segment, from a share of it on."""
    nearest: tuple[float, float, str] | None = None
    for name, line in logs.items():
        start, end = line[at] - logs[best][at], line[at + 1] - logs[best][at + 1]
        if end <= 0 or end <= start:
            continue
        share = max(-start / (end - start), here)
        # Of several that overtake at one place the steepest is the best beyond it.
        candidate = (share, -(end - start), name)
        nearest = candidate if nearest is None else min(nearest, candidate)
    return None if nearest is None else (nearest[0], nearest[2])


def one_round_trip(means: pd.DataFrame) -> bool:
    """Whether links differ in bandwidth alone, so that speed is a function of it."""
    links = links_of(means)
    return len(links) > 1 and not varied(links["rtt_s"]) and bool((links["down_mbps"] > 0).all())


def links_picture(means: pd.DataFrame) -> Picture:
    """Return tokens per second of each codec on each link: a panel per link, a bar per codec."""
    links = links_of(means)
    shown = representatives(means)
    labels = short_labels(means)
    families = dict(_families(means))

    def draw(figure: Figure) -> None:
        panels = figure.subplots(1, len(links), sharey=True, squeeze=False)[0]
        for axes, (_, link) in zip(panels, links.iterrows(), strict=True):
            here = means[means["link_class"] == link["link_class"]].set_index("cell_key")
            speeds = here["tokens_per_second"].reindex(shown).astype(float)
            looks = [codec_look(families[key], list(families.values())) for key in shown]
            axes.barh(range(len(shown)), speeds, height=0.66, color=[look.colour for look in looks])
            for y, speed in enumerate(speeds):
                axes.annotate(
                    significant(speed), (np.nan_to_num(speed), y), (3, 0),
                    textcoords="offset points", va="center", fontsize=SMALL,
                )  # fmt: skip
            axes.set_title(link_name(link))
            axes.set_xlim(0, 1.22 * float(speeds.max()))
            axes.set_xlabel(
                f"tokens/s of one stream\n"
                f"{link['down_mbps']:g} Mbit/s, {link['rtt_s'] * 1e3:.0f} ms"
            )
            axes.grid(visible=False, axis="y")
        panels[0].set_yticks(range(len(shown)), [labels[key] for key in shown])
        panels[0].set_ylim(len(shown) - 0.4, -0.6)

    return Picture(draw, 0.95 + 0.23 * len(shown))


def speed_picture(means: pd.DataFrame) -> Picture:
    """Return tokens per second against downlink bandwidth, per codec, with the crossovers."""
    links = links_of(means)
    links = links[links["down_mbps"] > 0]
    shown = representatives(means)
    rates = links["down_mbps"].to_numpy(dtype=np.float64)
    labels = short_labels(means)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.set_xscale("log")
        families = list(dict.fromkeys(means["family"]))
        lines: dict[str, list[float]] = {}
        handles = []
        again: dict[str, int] = {}
        for key in shown:
            mine = means[means["cell_key"] == key].set_index("link_class")
            speeds = mine["tokens_per_second"].reindex(links["link_class"]).astype(float)
            family = str(mine["family"].iloc[0])
            look = codec_look(family, families)
            dash = _DASHES[again.get(family, 0) % len(_DASHES)]
            again[family] = again.get(family, 0) + 1
            axes.plot(rates, speeds, color=look.colour, ls=dash, marker=look.marker, ms=4.8, lw=1.3)
            half = mine.get("tokens_per_second_ci95")
            if half is not None and half.notna().any():
                spread = half.reindex(links["link_class"]).astype(float)
                axes.errorbar(
                    rates, speeds, yerr=spread, fmt="none", ecolor=look.colour, elinewidth=0.8
                )
            if speeds.notna().all() and (speeds > 0).all():
                lines[key] = speeds.tolist()
            handles.append(
                Line2D([], [], color=look.colour, ls=dash, marker=look.marker, ms=4.8,
                       label=labels[key])
            )  # fmt: skip
        axes.set_ylim(bottom=0)
        colours = {
            key: codec_look(str(family), families).colour for key, family in _families(means)
        }
        for rate, key, told in _marks(rates.tolist(), lines):
            label = f"{told} {significant(rate, 2)} Mbit/s on:\n{labels[key]}"
            axes.axvline(rate, zorder=1, color=colours[key], lw=1.0, ls=_DOTS)
            handles.append(Line2D([], [], color=colours[key], lw=1.0, ls=_DOTS, label=label))
        _link_axis(axes, links)
        axes.set_ylabel("tokens/s of one stream")
        figure.legend(handles=handles, loc="outside right center", ncols=1)

    return Picture(draw, 3.0)


def _families(means: pd.DataFrame) -> list[tuple[str, str]]:
    rows = means.drop_duplicates("cell_key")
    return list(zip(rows["cell_key"], rows["family"], strict=True))


def _marks(
    rates: Sequence[float], lines: Mapping[str, Sequence[float]]
) -> list[tuple[float, str, str]]:
    """Rates that mean something: (rate, ``cell_key``, what happens there), rising."""
    if not lines:
        return []
    marks: list[tuple[float, str, str]] = []
    leader = ""
    for rate, below, above in crossovers(rates, lines):
        leader = leader or below
        # A line that leads by less than what counts is as good as the one before it.
        leads = np.asarray(lines[above]) / np.asarray(lines[leader])
        if leads[np.asarray(rates) >= rate].max() > _GAIN:
            marks.append((rate, above, "fastest from"))
            leader = above
    best = np.max(list(lines.values()), axis=0).tolist()
    for key, line in lines.items():
        from_rate = catches_up(rates, line, best, _CAUGHT_UP) if key.startswith("dense") else None
        if from_rate is not None and from_rate > rates[0]:
            marks.append((from_rate, key, "within 5 % of the best from"))
    return sorted(marks)


def _link_axis(axes: Axes, links: pd.DataFrame) -> None:
    """Ticks at the links' rates."""
    axes.set_xlabel("downlink bandwidth, Mbit/s (log scale)")
    rates = links["down_mbps"].to_numpy(dtype=np.float64)
    axes.set_xlim(rates.min() / 1.35, rates.max() * 1.35)
    axes.xaxis.set_major_locator(FixedLocator(rates.tolist()))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
