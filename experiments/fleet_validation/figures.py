"""Distributions side by side, as figures of the page."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from matplotlib.ticker import NullFormatter

from experiments.fleet_validation.comparison import Reals
from experiments.fleet_validation.live import LiveOutcome
from experiments.fleet_validation.middle import FIGURES, LAGS, MiddleOutcome
from experiments.report.style import BLUE, GREEN, RC, VERMILLION, WIDTH_IN

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_DRAWN = ("ITL, ms", "TTFT, ms", "payload down, B a token")
_LEAST = 1e-3
_POINTS = 2_000


def draw_middle(outcome: MiddleOutcome, path: Path) -> None:
    """Draw how often each figure is exceeded, for every method, real beside replayed."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - takes a second

    titles = [figure.title for figure in FIGURES]
    with plt.rc_context(RC):
        figure, panels = plt.subplots(
            len(outcome.arms), len(_DRAWN), figsize=(WIDTH_IN, 2.1 * len(outcome.arms))
        )
        for row, arm in zip(np.atleast_2d(panels), outcome.arms, strict=True):
            for axes, title in zip(row, _DRAWN, strict=True):
                real, told = arm.samples[titles.index(title)]
                if not real.values_N.any():
                    axes.set_axis_off()
                    continue
                _exceeded(axes, real.values_N, GREEN, "-", "real models")
                _exceeded(axes, told.values_N, VERMILLION, (0, (3, 1.5)), "compiled, replaying")
                axes.set_title(arm.method)
                axes.set_xlabel(title)
            row[0].set_ylabel("share of values above")
        handles, labels = panels.flat[0].get_legend_handles_labels()
        figure.legend(handles, labels, loc="upper center", ncols=2, bbox_to_anchor=(0.5, 1.0))
        figure.tight_layout(rect=(0, 0, 1, 0.95))
        figure.savefig(path)
        plt.close(figure)


def draw_correlation(outcome: MiddleOutcome, path: Path) -> None:
    """Draw how a token's bytes hang together with later ones: profile, replay, and the judges."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - takes a second

    steered = [arm for arm in outcome.arms if arm.correlation]
    with plt.rc_context(RC):
        figure, axes = plt.subplots(figsize=(WIDTH_IN / 2, 2.2))
        lags = np.arange(1, LAGS + 1)
        looks = (
            ("profile (first half)", BLUE, "o", "-"),
            ("replay of it", VERMILLION, "s", (0, (3, 1.5))),
            ("second half", GREEN, "^", ":"),
        )
        for arm in steered[:1]:
            for values, (label, colour, marker, dash) in zip(arm.correlation, looks, strict=True):
                axes.plot(
                    lags, values, linestyle=dash, color=colour, marker=marker, ms=3, label=label
                )
        axes.axhline(0, color="#444444", lw=0.6)
        axes.set_xlabel("distance, tokens")
        axes.set_ylabel("correlation of payload bytes")
        axes.legend(loc="lower center", ncols=3, bbox_to_anchor=(0.4, 1.0), columnspacing=0.8)
        figure.tight_layout()
        figure.savefig(path)
        plt.close(figure)


def draw_live(outcomes: Sequence[LiveOutcome], path: Path) -> None:
    """Draw the times between tokens of every load, measured and predicted."""
    from matplotlib import pyplot as plt  # noqa: PLC0415 - takes a second

    with plt.rc_context(RC):
        columns = 2
        rows = -(-len(outcomes) // columns)
        figure, panels = plt.subplots(rows, columns, figsize=(WIDTH_IN, 2.1 * rows), squeeze=False)
        for axes, outcome in zip(panels.flat, outcomes, strict=False):
            measured_ms, predicted_ms = outcome.itl_ms
            _exceeded(axes, measured_ms, GREEN, "-", "live")
            _exceeded(axes, predicted_ms, VERMILLION, (0, (3, 1.5)), "compiled, predicting")
            point = outcome.point
            load = "beyond saturation" if point.beyond else "below saturation"
            axes.set_title(f"{point.method}, {point.devices} devices, {load}")
            axes.set_xlabel("ITL, ms")
        for row in panels:
            row[0].set_ylabel("share of values above")
        panels.flat[0].legend()
        figure.tight_layout()
        figure.savefig(path)
        plt.close(figure)


def _exceeded(
    axes: Axes, values: Reals, colour: str, dash: str | tuple[int, tuple[float, ...]], label: str
) -> None:
    """Draw the share of values above each value, down to one in a thousand, on two logarithms."""
    ordered = np.sort(values)
    share = 1 - np.arange(len(ordered)) / len(ordered)
    kept = np.unique(np.linspace(0, len(ordered) - 1, _POINTS).astype(int))
    kept = np.unique(np.concatenate((kept, np.arange(max(0, len(ordered) - 200), len(ordered)))))
    axes.plot(ordered[kept], share[kept], linestyle=dash, color=colour, label=label)
    axes.set_xscale("log")
    axes.set_yscale("log")
    # Between powers of ten there is no room for labels.
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.set_ylim(_LEAST, 1.1)
