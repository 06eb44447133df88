"""What an ablation says in words, written from its numbers and from nothing else."""

from __future__ import annotations

import pandas as pd

from experiments.ablation.collection import axes_of
from experiments.ablation.drawing import BYTES, FIRST_FRAME, short_labels, varied
from experiments.ablation.figures import has_strengths, scored
from experiments.ablation.learning import on_learning
from experiments.ablation.overlap import on_overlap
from experiments.results.grid import number, significant


def findings(means: pd.DataFrame) -> list[str]:
    """Return sentences on what exactness costs, on zstd, and on what is lost without refinement."""
    rows = scored(means)
    if rows.empty:
        return on_learning(means) + on_overlap(means)
    labels = short_labels(means)
    found = []
    exact = rows[(rows["disagreements"] == 0) & (rows["exactness"] != FIRST_FRAME)]
    dense = exact[exact["family"].str.startswith("dense")]
    sparse = exact[~exact["family"].str.startswith("dense")]
    if varied(means["codec"]) and len(sparse):
        best = sparse.loc[sparse[BYTES].astype(float).idxmin()]
        told = (
            f"The fewest bytes with every one of {int(best['shadow_tokens']):,} tokens equal to "
            f"the dense row's: {labels[best['cell_key']]}, {significant(best[BYTES])} B a token"
        )
        for family, name in (
            ("dense fp16", "dense fp16"),
            ("dense fp16 zstd3", "dense fp16 with zstd"),
        ):
            same = dense[dense["family"] == family]
            if len(same):
                ratio = float(same[BYTES].iloc[0]) / float(best[BYTES])
                told += f", 1/{significant(ratio)} of {name}"
        naive = sparse[sparse["family"].str.contains("naive zstd")]
        if len(naive):
            fair = naive.loc[naive[BYTES].astype(float).idxmin()]
            ratio = float(fair[BYTES]) / float(best[BYTES])
            told += f", 1/{significant(ratio)} of the best naive top-k with zstd"
        found.append(f"{told}.")
    first = rows[rows["exactness"] == FIRST_FRAME]
    if len(first):
        worst = first.loc[first["agreement_share"].astype(float).idxmin()]
        found.append(
            f"Without refinement {labels[worst['cell_key']]} still gives the dense row's token in "
            f"{number(100 * worst['agreement_share'], 1)} % of steps and proves it in "
            f"{number(100 * worst['certified_share'], 1)} %."
        )
    if has_strengths(means):
        found += _on_strength(rows)
    return found + on_learning(means) + on_overlap(means)


def _on_strength(rows: pd.DataFrame) -> list[str]:
    low, high = rows["strength"].min(), rows["strength"].max()
    found = []
    names = [name for name in axes_of(rows) if "strength" not in name]
    groups = rows.groupby(names, sort=False) if names else [((), rows)]
    for key, same in groups:
        name = ", ".join(str(part) for part in key) or "Δ as generated"
        at = {c: same[same["strength"] == c].iloc[0] for c in (low, high)}
        found.append(
            f"{name}: the median exact token needs {significant(at[low]['ranks_needed_p50'], 2)} "
            f"ranks at c = {low:g} and {significant(at[high]['ranks_needed_p50'], 2)} at "
            f"c = {high:g}; the ladder sends {significant(at[low][BYTES])} and "
            f"{significant(at[high][BYTES])} B a token."
        )
    return found
