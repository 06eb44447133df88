"""How exact, for how many bytes: the figures of an ablation. Pure: tables in, pictures out."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

from experiments.ablation.collection import axes_of, over_links
from experiments.ablation.drawing import (
    BYTES,
    FIRST_FRAME,
    INK,
    SMALL,
    Picture,
    codec_look,
    log_ticks,
)
from experiments.report.style import BLUE, GREEN, PALE, PURPLE, VERMILLION
from experiments.results.grid import significant

_ROOM = 0.38
"""Decades of bytes that a number needs."""
_MIN_STRENGTHS = 3


# --------------------------------------------------------------------------- bytes and exactness


def pareto(bytes_n: Sequence[float], wrong_n: Sequence[float]) -> list[int]:
    """Return the indices of points that no other beats in both, by rising bytes."""
    order = sorted(range(len(bytes_n)), key=lambda i: (bytes_n[i], wrong_n[i]))
    front: list[int] = []
    for index in order:
        if not front or wrong_n[index] < wrong_n[front[-1]]:
            front.append(index)
    return front


def agreement_picture(means: pd.DataFrame) -> Picture:
    """Return bytes per token against tokens that differ from dense, and against unproved ones.

    Both scales are logarithmic; what is exactly 0 stands below, a lane per family and exactness.
    """
    rows = scored(means)
    lanes = list(dict.fromkeys(zip(rows["family"], rows["exactness"], strict=True)))
    kinds = ("agreement_share", "certified_share")
    wrongs = [100.0 * (1.0 - rows[kind].to_numpy(dtype=np.float64)) for kind in kinds]
    titles = ("token differs from the dense row's", "token not proved to be the dense row's")
    lanes_in = 0.25 + 0.17 * len(lanes)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(2, 2, sharex=True, sharey="row", height_ratios=[2.0, lanes_in])
        for upper, lower, wrong, title in zip(*grid, wrongs, titles, strict=True):
            upper.set_xscale("log")
            upper.set_yscale("log")
            upper.set_title(title)
            _exactness(upper, lower, rows, wrong, lanes)
            lower.set_xlabel("downlink bytes per token, frames (log scale)")
            lower.set_ylim(len(lanes) - 0.4, -0.75)
            lower.set_yticks([])
            lower.grid(visible=False, axis="y")
            lower.set_facecolor("#F6F7F8")
            log_ticks(lower, "x")
        known = np.concatenate([wrong[wrong > 0] for wrong in wrongs])
        low, high = (known.min() / 1.6, known.max() * 1.7) if len(known) else (0.1, 100.0)
        grid[0][0].set_ylim(low, high)
        log_ticks(grid[0][0], "y")
        grid[0][0].yaxis.set_minor_locator(NullLocator())
        grid[0][0].set_ylabel("share of tokens, % (log scale)")
        grid[1][0].set_ylabel("exactly 0", rotation=0, ha="right", va="center")
        figure.legend(handles=_family_handles(rows), loc="outside lower center", ncols=4)

    return Picture(draw, 2.95 + lanes_in)


def scored(means: pd.DataFrame) -> pd.DataFrame:
    """Return the rows over every link that a shadow has compared."""
    rows = over_links(means)
    return rows[rows["shadow_tokens"] > 0]


def _exactness(
    upper: Axes,
    lower: Axes,
    rows: pd.DataFrame,
    wrong: np.ndarray,
    lanes: Sequence[tuple[str, str]],
) -> None:
    x = rows[BYTES].to_numpy(dtype=np.float64)
    front = pareto(x.tolist(), wrong.tolist())
    some = [index for index in front if wrong[index] > 0]
    upper.step(x[some], wrong[some], where="post", color=PALE, lw=1.6, zorder=1)
    families = list(dict.fromkeys(rows["family"]))
    drawn = rows[["family", "exactness", "k"]].assign(x=x, wrong=wrong, front=False)
    drawn.iloc[front, drawn.columns.get_loc("front")] = True
    for lane, (family, exactness) in enumerate(lanes):
        look = codec_look(family, families)
        line = drawn[(drawn["family"] == family) & (drawn["exactness"] == exactness)]
        line = line.sort_values("k")
        face = "white" if exactness == FIRST_FRAME else look.colour
        for axes, part in ((upper, line[line["wrong"] > 0]), (lower, line[line["wrong"] == 0])):
            y = part["wrong"] if axes is upper else np.full(len(part), lane)
            best = part["front"].to_numpy()
            axes.plot(
                part["x"][best], np.asarray(y)[best], "o", ms=10.5, color=PALE, mec="none", zorder=2
            )
            axes.plot(part["x"], y, color=look.colour, lw=1.0, zorder=2.5)
            axes.plot(
                part["x"], y, look.marker, ms=4.8, mec=look.colour, mew=1.1, mfc=face, zorder=3
            )
            _number(axes, part, np.asarray(y), look.colour, sparsely=axes is lower)


def _number(axes: Axes, part: pd.DataFrame, y: np.ndarray, colour: str, *, sparsely: bool) -> None:
    """Write k beside points; where they stand in a row, as many as have room, small k first."""
    taken: list[float] = []
    for k, x, at in zip(part["k"], part["x"], y, strict=True):
        place = math.log10(x)
        if pd.isna(k) or (sparsely and any(abs(place - other) < _ROOM for other in taken)):
            continue
        taken.append(place)
        axes.annotate(
            f"{k}", (x, at), (0, 3.2) if sparsely else (5, 3), textcoords="offset points",
            fontsize=5.5 if sparsely else SMALL, color=colour,
            ha="center" if sparsely else "left", va="bottom",
        )  # fmt: skip


def _family_handles(rows: pd.DataFrame) -> list[Line2D]:
    families = list(dict.fromkeys(rows["family"]))
    handles = []
    for family in families:
        look = codec_look(str(family), families)
        handles.append(
            Line2D([], [], color=look.colour, marker=look.marker, ms=4.8, lw=1.0, label=family)
        )
    if FIRST_FRAME in set(rows["exactness"]):
        for label, face in (("exact (refined)", INK), ("first frame alone", "white")):
            handles.append(
                Line2D([], [], label=label, marker="o", ls="", color=INK, mfc=face, ms=4.8)
            )
    handles.append(
        Line2D([], [], color=PALE, lw=1.6, marker="o", ms=9, mec="none", label="Pareto front")
    )
    return handles


# --------------------------------------------------------------------------- strength


def strength_picture(means: pd.DataFrame) -> Picture:
    """Return what exactness needs: ranks over strength (left), bytes over c·σ of Δ (right)."""
    rows = over_links(means)
    rows = rows[rows["ranks_needed_p50"].notna()]
    groups = _by_shape(rows.sort_values("strength", kind="stable"))
    colours = (BLUE, VERMILLION, GREEN, PURPLE)
    markers = ("o", "^", "s", "D")

    def draw(figure: Figure) -> None:
        left, right = figure.subplots(1, 2)
        handles = []
        for number, (name, line) in enumerate(groups):
            colour, marker = colours[number % 4], markers[number % 4]
            x = line["strength"].astype(float)
            p50, p90, p99 = (line[f"ranks_needed_p{at}"].astype(float) for at in (50, 90, 99))
            left.fill_between(x, p50, p99, color=colour, alpha=0.13, lw=0)
            left.plot(x, p50, color=colour, marker=marker, ms=4)
            left.plot(x, p90, color=colour, ls=(0, (4, 1.5)), lw=1.1)
            left.plot(x, p99, color=colour, ls=(0, (1, 1.2)), lw=1.1)
            size = line[BYTES].astype(float)
            half = line.get(f"{BYTES}_ci95", pd.Series(dtype=float))
            spread = half.astype(float) if half.notna().any() else None
            sd = float(line["delta_sd"].mean())
            right.errorbar(
                sd * x, size, yerr=spread, color=colour, marker=marker, ms=4, lw=1.3,
                elinewidth=0.9, capsize=2,
            )  # fmt: skip
            papers = line["strength"].isin(_PAPER_STRENGTHS)
            right.plot(
                sd * x[papers], size[papers], ls="", marker="o", ms=9, mfc="none", mec=colour
            )
            handles.append(
                Line2D([], [], color=colour, marker=marker, ms=4,
                       label=f"{name} (σ of Δ {significant(sd, 2)} nats)" if name else "Δ")
            )  # fmt: skip
        for axes in (left, right):
            axes.set_xscale("log", base=2)
            axes.set_yscale("log")
            log_ticks(axes, "y")
        left.set_xlabel("strength c of Δ (log scale)")
        _strength_ticks(left, rows["strength"].astype(float))
        right.set_xlabel("c · σ of Δ, nats (log scale)")
        _strength_ticks(right, rows["strength"].astype(float) * rows["delta_sd"].astype(float))
        left.set_title("ranks needed for a proved token")
        left.set_ylabel("ranks k (log scale)")
        right.set_title("what the refinement ladder sends")
        right.set_ylabel("downlink bytes per token (log scale)")
        dashes = (("median", "-"), ("90 %", (0, (4, 1.5))), ("99 %", (0, (1, 1.2))))
        handles += [Line2D([], [], color=INK, ls=dash, lw=1.1, label=at) for at, dash in dashes]
        if rows["strength"].isin(_PAPER_STRENGTHS).any():
            handles.append(
                Line2D([], [], color=INK, ls="", marker="o", ms=9, mfc="none",
                       label="the paper's c: 0.476 and 1.783")
            )  # fmt: skip
        figure.legend(handles=handles, loc="outside lower center", ncols=3)

    return Picture(draw, 3.4)


_PAPER_STRENGTHS = (0.476, 1.783)
"""LightCoSteer (T = 1, λ = 2, η = 10) and CoSteer (T = 20)."""


def has_strengths(means: pd.DataFrame) -> bool:
    """Whether strength was varied, and ranks counted."""
    rows = over_links(means)
    rows = rows[rows["ranks_needed_p50"].notna()]
    return int(rows["strength"].nunique()) >= _MIN_STRENGTHS


def _by_shape(rows: pd.DataFrame) -> list[tuple[str, pd.DataFrame]]:
    """Rows that differ in strength alone, under the name of what they share."""
    axes = [name for name in axes_of(rows) if not name.endswith(("strength", "strength.c"))]
    if not axes:
        return [("", rows)]
    return [
        (", ".join(str(part) for part in key), same) for key, same in rows.groupby(axes, sort=False)
    ]


def _strength_ticks(axes: Axes, strengths: pd.Series) -> None:
    low, high = float(strengths.min()), float(strengths.max())
    powers = range(math.ceil(math.log2(low) - 1e-9), math.floor(math.log2(high) + 1e-9) + 1)
    axes.xaxis.set_major_locator(FixedLocator([2.0**power for power in powers]))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_locator(NullLocator())
