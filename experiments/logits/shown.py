"""The statistics of a recording, for people: a table, a figure, the generator's settings."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import yaml
from matplotlib.figure import Figure

from experiments.logits.price import Price
from experiments.logits.statistics import QUANTILES, LogitStatistics, Steps, exceedance
from experiments.report.plots import svg
from experiments.report.style import BLUE, GREY, VERMILLION
from experiments.results.grid import Column, number, significant, text_table

_HEIGHT_IN = 2.6


def statistics_table(found: LogitStatistics) -> str:
    """Return the figures, one a line."""
    quantiles = ", ".join(
        f"{100 * at:g} % {significant(value)}"
        for at, value in zip(QUANTILES, found.delta_quantiles, strict=True)
    )
    lines = {
        "steps measured": f"{found.steps:,} at V = {found.vocab_size:,}",
        "entropy of the cloud's row": f"{significant(found.entropy_nats)} nats",
        "largest logit (10–90 % of steps)": _range(found.highest),
        "slope of the head": f"{significant(found.slope)} nats per e-fold of rank"
        f" (σ of its logarithm {significant(found.slope_spread)})",
        "σ of Δ": f"{significant(found.delta_sd_nats)} nats; of its body"
        f" {significant(found.delta_body_nats)}",
        "|Δ| in σ": quantiles,
        "largest Δ of a row": f"{significant(found.delta_max_sd)} σ",
        "excess kurtosis of Δ": f"{significant(found.delta_kurtosis)} (normal 0, Laplace 3)",
        "raised tokens in the best 64": f"{significant(found.raised)} a step, by"
        f" {_range(found.raised_nats)} nats",
        "correlation of Δ with the next step's": significant(found.correlation),
    }
    return text_table(
        [
            Column("figure", tuple(lines), left=True),
            Column("mean over steps", tuple(lines.values()), left=True),
        ]
    )


def price_table(found: Sequence[Price]) -> str:
    """Return what an exact token costs under each codec."""
    return text_table(
        [
            Column("codec", tuple(one.codec for one in found), left=True),
            Column(
                "exact token",
                tuple(number(one.frame_bytes, 0) for one in found),
                unit="frame B",
            ),
            Column(
                "first frame proves",
                tuple(number(100 * one.first_certified_share, 1) for one in found),
                unit="%",
            ),
            Column("MORE", tuple(number(one.rounds, 2) for one in found), unit="rounds"),
        ]
    )


def generator_settings(found: LogitStatistics) -> str:
    """Return the `generated:` section of a scenario that comes nearest, as YAML.

    The body of Δ gives sigma, its raised tokens the boosts; whether the normal or the Laplace
    tail is nearer is told by the excess kurtosis. What the generator has no parameter for: how Δ
    hangs together along a text, and how it depends on the cloud's logits beyond the raised tokens.
    """
    laplace = found.delta_kurtosis > _HALF_LAPLACE
    body_sd = found.delta_body_nats / (_LAPLACE_BODY if laplace else 1.0)
    section = {
        "generated": {
            "vocab_size": found.vocab_size,
            "sigma": round(body_sd, 3),
            "tail": "laplace" if laplace else "normal",
            "boosted": round(found.raised),
            "boost_nats": [round(value, 2) for value in found.raised_nats],
            "slope": round(max(found.slope, 0.01), 2),
            "slope_spread": round(found.slope_spread, 2),
            "highest": [round(value, 1) for value in found.highest],
            "noise_nats": round(found.noise_nats, 2),
        }
    }
    return yaml.safe_dump(section, sort_keys=False, default_flow_style=None).rstrip()


def draw_exceedance(rows: Steps, steps: Sequence[tuple[int, int]], path: Path) -> None:
    """Write a figure: the share of tokens whose |Δ| exceeds x standard deviations."""
    x_P, share_P = exceedance(rows, steps)
    normal_P = np.array([math.erfc(x / math.sqrt(2)) for x in x_P])
    laplace_P = np.exp(-math.sqrt(2) * x_P)

    def draw(figure: Figure) -> None:
        axes = figure.subplots()
        axes.plot(x_P, normal_P, color=GREY, ls=(0, (4, 1.5)), label="normal")
        axes.plot(x_P, laplace_P, color=VERMILLION, ls=(0, (1, 1.2)), label="Laplace")
        seen = share_P > 0
        axes.plot(x_P[seen], share_P[seen], color=BLUE, label="recorded")
        axes.set_yscale("log")
        axes.set_xlim(0, float(x_P[seen].max()) + 0.5)
        axes.set_ylim(max(float(share_P[seen].min()) / 3, 1e-9), 1.5)
        axes.set_xlabel("x, standard deviations of Δ in its row")
        axes.set_ylabel("share of tokens with |Δ| > x")
        axes.legend()

    path.write_text(svg(draw, _HEIGHT_IN), encoding="utf-8")


_HALF_LAPLACE = 1.5
_LAPLACE_BODY = 1.4826 * math.log(2) / math.sqrt(2)
"""Of a Laplace distribution, what the median absolute deviation gives for its σ."""


def _range(ends: tuple[float, float]) -> str:
    return f"{significant(ends[0])} to {significant(ends[1])}"
