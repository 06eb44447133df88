"""The device's step as an arm's method takes it."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from actors.values.port import ArmSpec
from costeer.certificate import Choice, decide
from costeer.codec import CodecConfig, SparseLogits
from costeer.codec.config import AnyCodecConfig, FloorConfig
from costeer.plausibility import decide_plausible
from costeer.sampling import Ids, Noise

Floats = npt.NDArray[np.float32] | npt.NDArray[np.float64]


def decide_as(
    arm: ArmSpec,
    known: SparseLogits,
    delta_V: Floats,
    noise: Noise,
    leading_M: Ids | None = None,
) -> Choice:
    """Steer, choose and certify as an arm's method does.

    Args:
        arm: names strength, sampling, and a floor of plausibility where the method has one.
        known: what is known of the cloud's row.
        delta_V: Δ.
        noise: of sampling.
        leading_M: see ``certificate.decide``; of no use with a floor.

    Raises:
        LocalProtocolError: Δ does not fit the row.
    """
    share = arm.method.floor
    if share is not None:
        sent_share = _sent_share(arm.codec, known)
        return decide_plausible(
            known, delta_V, arm.strength, arm.sampling, share, noise, sent_share
        )
    return decide(known, delta_V, arm.strength, arm.sampling, noise, leading_M)


def _sent_share(codec: AnyCodecConfig, known: SparseLogits) -> float | None:
    """The share of the best probability from which on everything was sent; None where none is.

    What a codec chooses by such a share and does not have to cut short holds all of it.
    """
    if not isinstance(codec, CodecConfig) or not isinstance(codec.select, FloorConfig):
        return None
    short = known.ids_K.size < min(codec.select.k_max, known.vocab_size - 1)
    return codec.select.a if short else None
