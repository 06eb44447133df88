"""What a report shows of a fleet, from histograms and series: no token has a row.

The curves and bars are those of every other run; what is new is what happened when, and where the
time of each class of devices goes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from numpy.typing import NDArray

from costeer.token_record import STAGES
from experiments.report.latency import Curve, Drawn, panels_figure
from experiments.report.plots import line_handles, svg
from experiments.report.style import STAGE_COLOURS, looks
from experiments.results.grid import Column, number, numbers
from experiments.results.labels import Row, arm_labels, arms_title, whole_arms
from experiments.results.tables import STAGE_TITLES

_NS_PER_MS = 1e6
_MS = 1e3
_NS = 1e9
_LINE_POINTS = 400
_MANY_CLASSES = 4
_MOST_BINS = 300
_ROW_IN = 0.21
_MINUTE_S = 60.0
_LONG_S = 600.0


# --------------------------------------------------------------------------- latency


def itl_figure(histograms: pd.DataFrame, rows: Sequence[Row]) -> Drawn:
    """Return the distribution of inter-token latency: a panel per link class, a line per arm.

    Args:
        histograms: the run's.
        rows: summary rows, for names and colours.
    """
    classes = sorted(histograms["link_class"].unique())
    panels = classes if 1 < len(classes) <= _MANY_CLASSES else [""]
    curves = []
    for panel in panels:
        here = histograms[histograms["link_class"] == panel] if panel else histograms
        curves += _curves(here, "itl", panel, rows)
    title = "ITL" if len(panels) == _MANY_CLASSES else "inter-token latency"
    styled = looks(whole_arms(rows))
    return panels_figure(curves, panels, styled, [title] * len(panels), "share of tokens, %")


def request_figure(histograms: pd.DataFrame, rows: Sequence[Row]) -> Drawn:
    """Return the distributions of TTFT and E2E over requests, a panel each, a line per arm."""
    panels = ("time to first token", "whole request")
    curves = [
        curve
        for panel, figure in zip(panels, ("ttft", "e2e"), strict=True)
        for curve in _curves(histograms, figure, panel, rows)
    ]
    titles = ["from the intended arrival"] * 2
    styled = looks(whole_arms(rows))
    return panels_figure(curves, panels, styled, titles, "share of requests, %", own_axes=True)


def _curves(histograms: pd.DataFrame, figure: str, panel: str, rows: Sequence[Row]) -> list[Curve]:
    arms = whole_arms(rows)
    mine = histograms[histograms["figure"] == figure]
    curves = []
    for row, look in zip(arms, looks(arms), strict=True):
        counts = mine[mine["arm"] == row["arm"]].groupby("middle_ns")["count"].sum()
        if not len(counts):
            continue
        share = 100.0 * np.cumsum(counts.to_numpy()) / counts.sum()
        ms = counts.index.to_numpy(dtype=np.float64) / _NS_PER_MS
        if len(ms) > _LINE_POINTS:
            shares = np.linspace(0, 100, _LINE_POINTS)
            ms, share = np.interp(shares, share, ms), shares
        # A step at the first value, so that the line begins at the axis.
        curves.append(Curve(panel, look, np.insert(share, 0, 0.0), np.insert(ms, 0, ms[0])))
    return curves


# --------------------------------------------------------------------------- over time


@dataclass(frozen=True, slots=True)
class _Panel:
    """One figure over time: its axis, and how it comes of the sums of a bin."""

    title: str
    of: Callable[[pd.DataFrame, Row, int], pd.Series]


def _mean(name: str) -> Callable[[pd.DataFrame, Row, int], pd.Series]:
    return lambda bins, _row, _kv: bins[name] / bins["forwards"].where(bins["forwards"] > 0)


def _rate(name: str) -> Callable[[pd.DataFrame, Row, int], pd.Series]:
    return lambda bins, _row, _kv: bins[name] / (bins["bin_ns"] / _NS)


def _share(name: str) -> Callable[[pd.DataFrame, Row, int], pd.Series]:
    return lambda bins, row, _kv: 100.0 * bins[name] / (bins["bin_ns"] * row["replicas"])


def _kv(bins: pd.DataFrame, _row: Row, kv_tokens: int) -> pd.Series:
    mean = bins["kv_tokens"] / bins["forwards"].where(bins["forwards"] > 0)
    return 100.0 * mean / kv_tokens


_PANELS = (
    _Panel("requests/s", _rate("arrived")),
    _Panel("tokens/s", _rate("tokens")),
    _Panel("rows of a\nforward", _mean("rows")),
    _Panel("sessions\nwaiting", _mean("waiting")),
    _Panel("KV memory, %", _kv),
    _Panel("GPU busy, %", _share("forward_ns")),
    _Panel("egress\nbusy, %", _share("egress_busy_ns")),
)


def series_figure(series: pd.DataFrame, rows: Sequence[Row]) -> Drawn:
    """Return what happened over simulated time: load, batches, queue, memory, GPU, egress.

    Args:
        series: the run's.
        rows: summary rows, for names, colours and replicas.
    """
    arms = whole_arms(rows)
    styled = looks(arms)
    lines = []
    for row, look in zip(arms, styled, strict=True):
        bins = _binned(series[series["arm"] == row["arm"]])
        at_s = bins["start_ns"].to_numpy(dtype=np.float64) / _NS
        for panel in _PANELS:
            values = panel.of(bins, row, row["kv_tokens"]).to_numpy(dtype=np.float64)
            lines.append((panel.title, look, at_s, values))
    until_s = max((float(at_s[-1]) for *_, at_s, _ in lines if len(at_s)), default=0.0)
    unit, per = ("minutes", _MINUTE_S) if until_s > _LONG_S else ("seconds", 1.0)

    def draw(figure: Figure) -> None:
        grid = figure.subplots(len(_PANELS), 1, sharex=True)
        for axes, panel in zip(grid, _PANELS, strict=True):
            for title, look, at_s, values in lines:
                if title == panel.title:
                    axes.plot(at_s / per, values, color=look.colour, ls=look.dash, lw=1.2)
            axes.set_ylabel(panel.title, rotation=0, ha="right", va="center")
            axes.set_ylim(bottom=0)
            axes.margins(x=0.01)
        grid[-1].set_xlabel(f"simulated time, {unit}")
        figure.legend(handles=line_handles(styled), loc="outside lower center", ncols=6)

    return Drawn(svg(draw, 0.62 * len(_PANELS) + 0.9), _series_csv(lines))


def _binned(bins: pd.DataFrame) -> pd.DataFrame:
    """Return a few hundred bins at most, sums of those that there are."""
    each = -(-len(bins) // _MOST_BINS)
    if each <= 1:
        return bins
    group = np.arange(len(bins)) // each
    sums = bins.drop(columns=["arm", "start_ns"]).groupby(group).sum()
    sums["start_ns"] = bins["start_ns"].groupby(group).min().to_numpy()
    return sums


def _series_csv(lines: Sequence[tuple[str, object, NDArray[np.float64], object]]) -> str:
    tables = [
        pd.DataFrame(
            {
                "panel": title.replace("\n", " "),
                "line": getattr(look, "label", ""),
                "time_s": at_s,
                "value": values,
            }
        )
        for title, look, at_s, values in lines
    ]
    return str(pd.concat(tables).to_csv(index=False, float_format="%.6g"))


# --------------------------------------------------------------------------- classes


def classes_figure(classes: Sequence[Row]) -> Drawn:
    """Return where the mean token's time goes for each class of devices, a panel per arm.

    Args:
        classes: the summary's ``classes``.
    """
    arms = sorted({row["arm"] for row in classes})
    by_arm = {arm: [row for row in classes if row["arm"] == arm] for arm in arms}
    labels = dict(zip(arms, arm_labels([by_arm[arm][0] for arm in arms]), strict=True))
    shown = [stage for stage in STAGES if any(row["itl_breakdown_s"][stage] for row in classes)]
    table = pd.DataFrame(
        [
            (
                labels[row["arm"]],
                class_label(row),
                stage,
                (row["itl_breakdown_s"][stage] or 0) * _MS,
            )
            for row in classes
            for stage in shown
        ],
        columns=["arm", "class", "stage", "mean_ms"],
    )

    def draw(figure: Figure) -> None:
        grid = figure.subplots(1, len(arms), sharey=True, squeeze=False)[0]
        for axes, arm in zip(grid, arms, strict=True):
            _bars(axes, by_arm[arm], shown)
            axes.set_title(labels[arm])
            axes.set_xlabel("mean per token, ms")
            axes.grid(visible=False, axis="y")
        names = [class_label(row) for row in by_arm[arms[0]]]
        grid[0].set_yticks(range(len(names)), names)
        grid[0].invert_yaxis()
        figure.legend(
            handles=[Patch(color=STAGE_COLOURS[each], label=STAGE_TITLES[each]) for each in shown],
            loc="outside lower center",
            ncols=5,
        )

    rows = max((len(each) for each in by_arm.values()), default=1)
    return Drawn(svg(draw, 1.3 + _ROW_IN * max(rows, 2)), table.to_csv(index=False))


def _bars(axes: Axes, rows: Sequence[Row], shown: Sequence[str]) -> None:
    base = np.zeros(len(rows))
    for stage in shown:
        ms = np.array([(row["itl_breakdown_s"][stage] or 0.0) * _MS for row in rows])
        axes.barh(
            range(len(rows)),
            ms,
            left=base,
            height=0.7,
            color=STAGE_COLOURS[stage],
            ec="white",
            lw=0.4,
        )
        base = base + ms


def class_label(row: Row) -> str:
    """Return what a class of devices is called: its link and its hardware."""
    return f"{row['link_class']}, {row['device_class']}"


def class_columns(classes: Sequence[Row]) -> list[Column]:
    """Return each class of devices: how fast it is, and the share of a token's time by stage."""
    arms = sorted({row["arm"] for row in classes})
    first = [next(row for row in classes if row["arm"] == arm) for arm in arms]
    labels = dict(zip(arms, arm_labels(first), strict=True))
    shown = [stage for stage in STAGES if any(row["itl_breakdown_s"][stage] for row in classes)]
    columns = [
        Column("class", tuple(class_label(row) for row in classes), left=True),
        Column(arms_title(first), tuple(labels[row["arm"]] for row in classes), left=True),
        Column("requests", tuple(f"{row['requests']:,}" for row in classes)),
        Column("tokens/s", numbers([row["tokens_per_second"] for row in classes]), "stream"),
        Column("ITL mean", numbers([_ms(row["itl_s"]["mean"]) for row in classes]), "ms"),
        Column("ITL p95", numbers([_ms(row["itl_s"]["p95"]) for row in classes]), "ms"),
    ]
    for stage in shown:
        shares = []
        for row in classes:
            total, part = row["itl_s"]["mean"], row["itl_breakdown_s"][stage]
            shares.append(number(100 * part / total if total and part is not None else None, 0))
        columns.append(Column(STAGE_TITLES[stage], tuple(shares), "%", "share of a token's time"))
    return columns


def _ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * _MS


def cloud_columns(rows: Sequence[Row]) -> list[Column]:
    """Return how busy the replicas were, and who waited."""
    arms = whole_arms(rows)

    def share(key: str) -> tuple[str, ...]:
        return tuple(number(None if row[key] is None else 100 * row[key], 1) for row in arms)

    def count(key: str) -> tuple[str, ...]:
        return tuple(f"{row[key]:,}" for row in arms)

    return [
        Column(arms_title(arms), tuple(arm_labels(arms)), left=True),
        Column("replicas", count("replicas")),
        Column("requests", count("requests")),
        Column("censored", count("requests_censored")),
        Column("tokens/s", numbers([row["system_tokens_per_second"] for row in arms]), "in all"),
        Column("rows", numbers([row["rows_per_forward_mean"] for row in arms]), "a forward"),
        Column("GPU", share("gpu_busy_share"), "% busy"),
        Column("egress", share("egress_busy_share"), "% busy"),
        Column("KV peak", share("kv_peak_share"), "%"),
        Column("waited", count("waited_sessions"), "for memory"),
        Column("preempted", count("preempted_sessions"), "sessions"),
        Column("backlog", count("backlog"), "at the end"),
        Column("overloaded", count("overloaded_replicas"), "replicas"),
        Column(
            "growing by", numbers([row.get("backlog_growth_per_s") for row in arms]), "requests/s"
        ),
    ]
