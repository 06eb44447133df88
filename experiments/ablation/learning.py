"""How a learnt starting k compares with every fixed one, in words and as a table."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd

from experiments.ablation.drawing import FIRST_FRAME
from experiments.ablation.tables import links_of
from experiments.results.grid import number, significant

ADAPTIVE = "adaptive"


def against_fixed(means: pd.DataFrame) -> pd.DataFrame:
    """Return one row per link: the best fixed k, and how far the learnt one is from it.

    Columns ``itl_…`` are the mean latency of a token in the run; ``extra_…`` the time that k
    decides (``extra_s``). A gap is the learnt k's figure over the best fixed k's, less one:
    negative where it is better. Empty where an ablation has no learnt k, fewer than two fixed
    ones, or one link.
    """
    exact = means[means["exactness"] != FIRST_FRAME]
    learnt = exact[exact["codec"].str.startswith(ADAPTIVE)].set_index("link_class")
    fixed = exact[exact["k"].notna()]
    rows = []
    for _, link in links_of(means).iterrows():
        name = link["link_class"]
        here = fixed[fixed["link_class"] == name]
        if name not in learnt.index or len(set(here["k"])) <= 1:
            continue
        mine = learnt.loc[name]
        by_itl = here.loc[here["itl_mean_s"].astype(float).idxmin()]
        extra_K = here.apply(extra_s, axis=1)
        rows.append(
            {
                "link_class": name,
                "best_k": int(by_itl["k"]),
                "best_itl_s": float(by_itl["itl_mean_s"]),
                "learnt_itl_s": float(mine["itl_mean_s"]),
                "itl_gap": float(mine["itl_mean_s"]) / float(by_itl["itl_mean_s"]) - 1,
                "best_extra_k": int(here.loc[extra_K.idxmin(), "k"]),
                "best_extra_s": float(extra_K.min()),
                "learnt_extra_s": extra_s(mine),
                "extra_gap": extra_s(mine) / float(extra_K.min()) - 1,
            }
        )
    return pd.DataFrame(rows)


def best_single(means: pd.DataFrame) -> tuple[int, float] | None:
    """Return the fixed k of least geometric mean ITL over all links, and the learnt k's gap to it.

    None where ``against_fixed`` is empty.
    """
    table = against_fixed(means)
    if table.empty:
        return None
    exact = means[(means["exactness"] != FIRST_FRAME) & means["k"].notna()]
    exact = exact[exact["link_class"].isin(table["link_class"])]
    logs = np.log(exact["itl_mean_s"].astype(float)).groupby(exact["k"]).mean()
    learnt = float(np.log(table["learnt_itl_s"]).mean())
    return int(logs.idxmin()), math.exp(learnt - float(logs.min())) - 1


def on_learning(means: pd.DataFrame) -> list[str]:
    """Return sentences on the learnt starting k; none where there was nothing to compare."""
    table, single = against_fixed(means), best_single(means)
    if single is None:
        return []
    found = [
        f"{row['link_class']}: the best fixed k is {row['best_k']} at "
        f"{significant(1e3 * row['best_itl_s'], 4)} ms a token; the learnt k takes "
        f"{significant(1e3 * row['learnt_itl_s'], 4)} ms ({_percent(row['itl_gap'])}). Of bytes "
        f"and extra rounds alone: {significant(1e3 * row['best_extra_s'])} ms at k = "
        f"{row['best_extra_k']}, {significant(1e3 * row['learnt_extra_s'])} ms learnt "
        f"({_percent(row['extra_gap'])})."
        for _, row in table.iterrows()
    ]
    k, gap = single
    found.append(
        f"The best single k over all links is {k}; against it the learnt k's latency is "
        f"{_percent(gap)} (geometric mean over {len(table)} links)."
    )
    return found


def extra_s(row: pd.Series) -> float:
    """Time that k decides: frame bytes over the link's rate and extra rounds times its mean RTT."""
    serialised_s = 8 * float(row["frame_bytes_down_per_token"]) / (float(row["down_mbps"]) * 1e6)
    return serialised_s + float(row["rounds_mean"]) * float(row["round_trip_mean_s"])


def _percent(share: float) -> str:
    return f"{'+' if share >= 0 else '−'}{number(100 * abs(share), 1)} %"
