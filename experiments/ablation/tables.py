"""The tables of an ablation: their columns."""

from __future__ import annotations

import math

import pandas as pd

from costeer.tail import TAILS
from experiments.ablation.collection import ROUNDS, axes_of, over_links
from experiments.results.grid import Column, number, significant
from experiments.results.summary import ALL

_MS = 1e3
_PERCENT = 100.0
_ROUNDING = 1e-9
"""Below this a figure is what floating point left of 0."""
_SHOWN = 5e-4
"""Half widths below this part of their mean are left out."""


def result_columns(means: pd.DataFrame) -> list[Column]:
    """Return exactness, bytes and speed per configuration, over all links.

    A configuration that was not run on every link has no speed here: it would be another mean.
    """
    rows = over_links(means)
    links = means[means["link_class"] != ALL].groupby("cell_key")["link_class"].nunique()
    everywhere = rows["cell_key"].map(links) == links.max()
    speeds = ["tokens_per_second", "itl_p50_s"]
    rows[speeds] = rows[speeds].where(everywhere)
    return [
        *_axis_columns(rows),
        Column("tokens", tuple(f"{value:,}" for value in rows["tokens"])),
        _column(rows, "agreement_share", "agree", "%", "same token", _PERCENT, 2),
        _column(rows, "certified_share", "certified", "%", "same token", _PERCENT, 2),
        _column(rows, "rounds_mean", "rounds", "", "", 1.0, 3),
        *(
            _column(rows, f"{kind}_bytes_down_per_token", kind, "B", "down/token")
            for kind in ("payload", "frame", "wire")
        ),
        _column(rows, "frame_bytes_up_per_token", "frame", "B", "up/token"),
        _column(rows, "tokens_per_second", "tokens/s", "stream", "speed"),
        _column(rows, "itl_p50_s", "ITL p50", "ms", "speed", _MS),
    ]


def link_columns(means: pd.DataFrame) -> list[Column]:
    """Return speed per configuration: a group of columns per link, the slowest first."""
    whole = over_links(means)
    columns = _axis_columns(whole)
    for _, link in links_of(means).iterrows():
        here = means[means["link_class"] == link["link_class"]]
        here = here.set_index("cell_key").reindex(whole["cell_key"]).reset_index(drop=True)
        name = link_name(link)
        columns += [
            _column(here, "tokens_per_second", "tokens/s", "", name),
            _column(here, "itl_p50_s", "ITL p50", "ms", name, _MS),
        ]
    return columns


def round_columns(means: pd.DataFrame) -> list[Column]:
    """Return where the payload bytes went, round by round, and how far distributions differ."""
    rows = over_links(means)
    rows = rows[rows["shadow_tokens"] > 0]
    names = [f"payload_bytes_round{round_}_per_token" for round_ in range(ROUNDS)]
    used = [name for name in names if rows[name].fillna(0).any()]
    return [
        *_axis_columns(rows),
        *(
            _column(rows, name, f"round {names.index(name)}", "B", "payload bytes/token")
            for name in used
        ),
        _column(rows, "refined_share", "refined", "%", "", _PERCENT),
        _column(rows, "kl_nats", "KL", "nats", "steered distribution"),
        _column(rows, "total_variation", "TV", "", "steered distribution"),
        _column(rows, "diverged_share", "diverged", "%", "texts", _PERCENT),
        _column(rows, "first_divergence_mean", "at token", "mean", "texts"),
    ]


def links_of(means: pd.DataFrame) -> pd.DataFrame:
    """Return the link classes, the slowest downlink first."""
    links = means[means["link_class"] != ALL][["link_class", "down_mbps", "rtt_s"]]
    return links.drop_duplicates("link_class").sort_values(["down_mbps", "rtt_s"])


def link_name(link: pd.Series) -> str:
    """Return what a link is called: its profile, or its rate where it has no name."""
    name = str(link["link_class"])
    return f"{link['down_mbps']:g} Mbit/s" if "(" in name else name


def tail_columns(means: pd.DataFrame) -> list[Column]:
    """Return how far each assumption of the unsent tail is from the dense steered distribution."""
    rows = over_links(means)
    rows = rows[rows[f"tail_kl_nats_{TAILS[0]}"].notna()]
    return [
        *_axis_columns(rows),
        *(_column(rows, f"tail_kl_nats_{tail}", tail, "nats", "KL") for tail in TAILS),
        *(_column(rows, f"tail_total_variation_{tail}", tail, "", "TV") for tail in TAILS),
    ]


def _axis_columns(rows: pd.DataFrame) -> list[Column]:
    return [
        Column(_short(name), tuple(str(value) for value in rows[name]), left=True)
        for name in axes_of(rows)
    ]


def _short(axis: str) -> str:
    """An axis's key without where it stands: `arms.0.codec` is `codec`."""
    return axis.rsplit(".", 1)[-1]


def _column(
    rows: pd.DataFrame,
    name: str,
    title: str,
    unit: str = "",
    group: str = "",
    scale: float = 1.0,
    decimals: int | None = None,
) -> Column:
    """A column of means; with its 95 % half width where there were repeats."""
    spread = rows[f"{name}_ci95"] if f"{name}_ci95" in rows else pd.Series([None] * len(rows))
    cells = []
    for mean, half in zip(rows[name], spread, strict=True):
        known = mean is not None and not pd.isna(mean)
        value = float(mean) * scale if known else None
        text = _cell(value, decimals)
        if known and half is not None and half > max(_ROUNDING, _SHOWN * abs(mean)):
            text += f" ± {_beside(text, float(half) * scale)}"
        cells.append(text)
    return Column(title, tuple(cells), unit, group)


def _cell(value: float | None, decimals: int | None) -> str:
    if value is not None and 0 < abs(value) < _ROUNDING:
        return "0"
    return significant(value) if decimals is None else number(value, decimals)


def _beside(text: str, half: float) -> str:
    """A half width with as many decimals as its mean has; one more digit where that shows 0."""
    decimals = len(text.partition(".")[2])
    if half and round(half, decimals) == 0:
        decimals = max(decimals, -math.floor(math.log10(half)))
    return number(half, decimals)


# --------------------------------------------------------------------------- LaTeX
