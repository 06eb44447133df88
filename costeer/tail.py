"""What a device assumes of the tokens that it was not sent, and how far off that is.

A sparse step leaves V − K logits unknown but for two facts: none exceeds the floor, and together
they have the unsent mass (the row's logsumexp travels). Three ways to fill them in:

``bounded``       every unsent logit is the floor: what the certificate must fear
``renormalised``  unsent tokens cannot be drawn: what plain top-k does
``uniform``       the unsent mass, spread evenly over the unsent tokens

The assumption never touches a certified choice. It shapes the distribution that is reported, and
draws that no certificate covers. Legend: V vocabulary, K sent.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import LocalProtocolError
from costeer.steering import decision_scores, log_softmax

if TYPE_CHECKING:
    from costeer.codec.sparse import SparseLogits

F64: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.floating]
Tail: TypeAlias = Literal["bounded", "renormalised", "uniform"]
TAILS: tuple[Tail, ...] = ("bounded", "renormalised", "uniform")


@dataclass(frozen=True, slots=True)
class Divergence:
    """How far a distribution is from the reference.

    `kl_nats` is KL(reference ‖ assumed), infinite where the assumption excludes what the reference
    does not; `reverse_kl_nats` is KL(assumed ‖ reference); `total_variation` is within 0 and 1.
    """

    kl_nats: float
    reverse_kl_nats: float
    total_variation: float


def assumed_logits(known: SparseLogits, tail: Tail) -> F64:
    """Logits (V,) of the whole vocabulary under an assumption; −inf for what cannot be drawn."""
    unsent = known.vocab_size - known.ids_K.size
    fill = -math.inf
    if tail == "bounded":
        fill = known.floor
    elif tail == "uniform" and unsent and known.unsent_mass > 0.0:
        fill = known.logsumexp + math.log(known.unsent_mass / unsent)
    logits_V = np.full(known.vocab_size, fill)
    logits_V[known.ids_K] = known.logits_K
    return logits_V


def steered_log_probs(logits_V: Floats, delta_V: Floats, c: float) -> F64:
    """Normalised log-probabilities (V,) of logits + cΔ, in float64; −inf stays.

    Raises LocalProtocolError if the two differ in shape or nothing can be drawn.
    """
    if logits_V.shape != delta_V.shape:
        raise LocalProtocolError(f"Δ has shape {delta_V.shape}, the logits {logits_V.shape}")
    scores_V = decision_scores(logits_V, delta_V, c)
    if not math.isfinite(scores_V.max()):
        raise LocalProtocolError("no finite steered score: logits or Δ are not numbers")
    log_probs_V: F64 = log_softmax(scores_V)
    return log_probs_V


def divergence(reference_V: F64, assumed_V: F64) -> Divergence:
    """Compare two normalised rows of log-probabilities (V,), as `steered_log_probs` gives them."""
    p_V, q_V = np.exp(reference_V), np.exp(assumed_V)
    return Divergence(
        _kl(p_V, reference_V, assumed_V),
        _kl(q_V, assumed_V, reference_V),
        min(float(np.abs(p_V - q_V).sum()) / 2.0, 1.0),
    )


def _kl(p_V: F64, log_p_V: F64, log_q_V: F64) -> float:
    """KL in nats; tokens of probability 0 under p count nothing, rounding never makes it < 0."""
    drawn = p_V > 0.0
    return max(float((p_V[drawn] * (log_p_V[drawn] - log_q_V[drawn])).sum()), 0.0)
