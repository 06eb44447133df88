"""The certificate of exactness: when a choice among the sent tokens is the choice among all.

Theory of operation
-------------------
S is the sent support, `floor` bounds every unsent logit, Δ is known for the whole vocabulary. An
unsent token a scores at most floor + cΔ_a, so the winner w of S is the winner of the vocabulary if

    l_w + cΔ_w > floor + c · max_{a ∉ S} Δ_a,

and on equality if w has a lower id than every unsent token that reaches the bound. It holds exactly
in float64, not merely up to rounding, because both sides use `decision_scores`: one multiplication
and one addition, each monotone after rounding when c ≥ 0.

Sampling at a temperature is an argmax of scores / temperature + Gumbel (noise is the device's own
and known for every id), so the same comparison certifies it. Top-p needs the normaliser of the
full row and is certified on a dense support only.

Conditions (law 3): c ≥ 0; the ranked part of S is an upper set under (logit descending, id
ascending); "the" logits are the row as the codec rounds it. A token sent out of rank never sets
the floor. Ids are ascending, so numpy's first maximum is the lowest id.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import LocalProtocolError
from costeer.sampling import Noise, Sampling, choose, perturb
from costeer.steering import decision_scores

if TYPE_CHECKING:
    from costeer.codec.sparse import SparseLogits

F64: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.floating]
Ids: TypeAlias = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token, whether it is proved to be the full vocabulary's, and by how much it won.

    `margin` is the winner's score minus the best that any other token can have, in the units of the
    compared scores (nats, or nats / temperature with noise). At or below 0 unless certified; 0 or
    −inf where no bound exists (top-p: dense, sparse).
    """

    token: int
    certified: bool
    margin: float


def certify_greedy(ids_K: Ids, logits_K: Floats, floor: float, delta_V: Floats, c: float) -> Choice:
    """The best sent token under logits + cΔ, certified against the unsent (ids ascending).

    Raises LocalProtocolError if c < 0 or Δ is not finite.
    """
    _check_strength(c)
    dense = ids_K.size == delta_V.size
    scores_K = decision_scores(logits_K, delta_V if dense else delta_V[ids_K], c)
    at, score, gap = _winner(scores_K)
    token = int(ids_K[at])
    if dense:
        return Choice(token, certified=True, margin=gap)
    rest_V = delta_V.copy()  # one memory copy is cheaper than building a mask
    rest_V[ids_K] = -math.inf
    bound = float(rest_V.max()) * c + floor  # the two operations of `decision_scores`
    if not math.isfinite(bound):
        raise LocalProtocolError("Δ of unsent tokens is not finite: certificate impossible")
    certified = score > bound
    if score == bound:
        bound_V = decision_scores(floor, delta_V, c)
        bound_V[ids_K] = -math.inf
        certified = token < int(np.argmax(bound_V))  # the lowest id that reaches the bound
    return Choice(token, certified, min(gap, score - bound))


def certify_gumbel(
    ids_K: Ids,
    logits_K: Floats,
    floor: float,
    delta_V: Floats,
    c: float,
    temperature: float,
    gumbel_V: F64,
) -> Choice:
    """The sampled token under (logits + cΔ) / temperature + Gumbel, certified like the greedy one.

    `gumbel_V` is the device's noise for every id. Raises LocalProtocolError as `certify_greedy`.
    """
    _check_strength(c)
    dense = ids_K.size == delta_V.size
    delta_K, gumbel_K = (delta_V, gumbel_V) if dense else (delta_V[ids_K], gumbel_V[ids_K])
    at, score, gap = _winner(perturb(decision_scores(logits_K, delta_K, c), temperature, gumbel_K))
    token = int(ids_K[at])
    if dense:
        return Choice(token, certified=True, margin=gap)
    bound_V = perturb(decision_scores(floor, delta_V, c), temperature, gumbel_V)
    bound_V[ids_K] = -math.inf
    rival = int(np.argmax(bound_V))
    bound = float(bound_V[rival])
    if not math.isfinite(bound):
        raise LocalProtocolError(
            "Δ or noise of unsent tokens is not finite: certificate impossible"
        )
    certified = score > bound or (score == bound and token < rival)
    return Choice(token, certified, min(gap, score - bound))


def decide(
    known: SparseLogits, delta_V: Floats, c: float, sampling: Sampling, noise: Noise | None = None
) -> Choice:
    """The device's step on what it knows: steer, choose, certify.

    `noise(ids)` is needed for sampling at a temperature. Raises LocalProtocolError if Δ does not
    cover the vocabulary, c < 0, noise is missing or a score is not a number.
    """
    if delta_V.shape != (known.vocab_size,):
        raise LocalProtocolError(
            f"Δ has shape {delta_V.shape}, the vocabulary {known.vocab_size} tokens"
        )
    if sampling.greedy:
        return certify_greedy(known.ids_K, known.logits_K, known.floor, delta_V, c)
    if noise is None:
        raise LocalProtocolError("sampling at a temperature needs noise per token id")
    if sampling.top_p < 1.0:
        _check_strength(c)
        delta_K = delta_V if known.dense else delta_V[known.ids_K]
        scores_K = decision_scores(known.logits_K, delta_K, c)
        token = choose(scores_K, known.ids_K, sampling, noise)
        return Choice(token, known.dense, 0.0 if known.dense else -math.inf)
    gumbel_V = noise(np.arange(known.vocab_size, dtype=np.int32))
    return certify_gumbel(
        known.ids_K, known.logits_K, known.floor, delta_V, c, sampling.temperature, gumbel_V
    )


def _check_strength(c: float) -> None:
    if not 0.0 <= c < math.inf:
        raise LocalProtocolError(f"the certificate needs a finite strength c >= 0, not {c!r}")


def _winner(scores_K: F64) -> tuple[int, float, float]:
    """Index and score of the first maximum, and its lead over the next best known token."""
    at = int(np.argmax(scores_K))
    score = float(scores_K[at])
    if not math.isfinite(score):
        raise LocalProtocolError(f"best steered score is {score}: logits or Δ are not finite")
    others = max(scores_K[:at].max(initial=-math.inf), scores_K[at + 1 :].max(initial=-math.inf))
    return at, score, score - float(others)
