"""What each switch of overlap gains, in words."""

from __future__ import annotations

import pandas as pd

from experiments.ablation.drawing import varied
from experiments.ablation.tables import link_name, links_of
from experiments.results.grid import number, significant


def on_overlap(means: pd.DataFrame) -> list[str]:
    """Return one sentence per link: what a token takes, switch after switch.

    Configurations come in the order in which an ablation names them, each against the one before.
    Nothing where nothing of the kind was varied.
    """
    if not varied(means["overlap"]):
        return []
    found = []
    for _, link in links_of(means).iterrows():
        here = means[means["link_class"] == link["link_class"]]
        parts = []
        before_s: float | None = None
        for _, row in here.iterrows():
            itl_s = float(row["itl_mean_s"])
            told = f"{row['overlap'] or 'as by default'} {significant(1e3 * itl_s, 4)} ms"
            if before_s is not None:
                told += f" ({_percent(itl_s / before_s - 1)})"
            parts.append(told)
            before_s = itl_s
        found.append(f"{link_name(link)}, a token, by what the exchange hides: {'; '.join(parts)}.")
    return found


def _percent(share: float) -> str:
    return f"{'+' if share >= 0 else '−'}{number(100 * abs(share), 2)} %"
