"""Choices so narrow that rounding could have turned them, in runs that round as the batch goes.

With batch-invariant numerics nothing hangs on who shares a batch. With others a logit differs in
its last bits from batch to batch, so a choice that was won by less may turn in another run. How
many there are is said of every such run; `costeer evaluate numerics` counts those that do turn.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from actors.models.numerics import Numerics
from costeer.methods import method_named

NOISE_NATS: Mapping[Numerics, float] = {Numerics.FP32: 1e-3, Numerics.BF16: 0.25}
"""What a logit may differ by between two batches: well above what float32 was seen to (2e-5 on the
shipped models); two steps of the bf16 grid between 16 and 32, where the best logits lie."""


def narrow_choices(tokens: pd.DataFrame, numerics: Numerics) -> dict[str, Any] | None:
    """Return the share of narrow choices per arm; None for batch-invariant numerics.

    A steered score has the error of one logit of the cloud's and of 2c of the device's. Streamed
    arms are left out: their cloud tells no margins.

    Args:
        tokens: a run's tokens.
        numerics: that it ran with.
    """
    noise = NOISE_NATS.get(numerics)
    if noise is None:
        return None
    shares = {}
    for arm, mine in tokens.groupby("arm"):
        if method_named(str(mine["method"].iloc[0])).streamed:
            continue  # the cloud chose, and told no margin
        known = mine["margin"].dropna()
        if len(known):
            strength = float(mine["strength"].iloc[0] or 0.0)
            shares[str(arm)] = float((known < noise * (1 + 2 * strength)).mean())
    return {"numerics": numerics.value, "noise_nats": noise, "narrow_share": shares}


def narrow_sentence(found: Mapping[str, Any], labels: Mapping[str, str]) -> str:
    """Return what was found, in one sentence.

    Args:
        found: of ``narrow_choices``.
        labels: of the arms, by number.
    """
    shares = ", ".join(
        f"{labels.get(arm, arm)} {100 * share:.1f} %"
        for arm, share in found["narrow_share"].items()
    )
    return (
        f"numerics {found['numerics']}: choices won by less than what a logit may differ by between"
        f" two batches ({found['noise_nats']:g} nats, steering included): {shares or 'none known'};"
        " `costeer evaluate numerics` counts those that turn"
    )
