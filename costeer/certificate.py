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
full row: the unsent tokens' part of it lies between nothing and a bound (their mass travels with
the logsumexp, each is at most the floor), and the draw is certified if the narrowest and the widest
nucleus that this allows give the same token.

Two references. By default "the" logits are the row as the codec rounds it. A codec may ask for the
row before rounding (`reference: exact`): its payloads then come with an error for each value, and
the low end of the winner has to beat the high end of every rival, sent or not; on a tie, and on a
dense support whose intervals overlap, nothing is certified.

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
from costeer.sampling import Noise, Sampling, best, choose, perturb
from costeer.steering import decision_scores

if TYPE_CHECKING:
    from costeer.codec.sparse import SparseLogits

F64: TypeAlias = npt.NDArray[np.float64]
Floats: TypeAlias = npt.NDArray[np.floating]
Ids: TypeAlias = npt.NDArray[np.int32]

_SUM_SLACK = 1e-9  # above what float64 loses in a sum over any vocabulary (V · 2^-53)


@dataclass(frozen=True, slots=True)
class Choice:
    """A chosen token, whether it is proved to be the full vocabulary's, and by how much it won.

    `margin` is the winner's score minus the best that any other token can have, in the units of the
    compared scores (nats, or nats / temperature with noise). At or below 0 unless certified; for
    top-p, which has no such number, 0 if certified and −inf if not. `final` says that every logit
    was sent: a choice that is not certified then (its values were rounded too coarsely) stays so.
    """

    token: int
    certified: bool
    margin: float
    final: bool = False


def certify_greedy(
    ids_K: Ids,
    logits_K: Floats,
    floor: float,
    delta_V: Floats,
    c: float,
    errors_K: F64 | None = None,
    floor_error: float = 0.0,
    leading_M: Ids | None = None,
) -> Choice:
    """The best sent token under logits + cΔ, certified against the unsent (ids ascending).

    With `errors_K` (nats) against the sent ones too, each logit being known to ± its error only.
    With `leading_M` (as `leading` gives them) without a pass over the vocabulary, to the same end.
    Raises LocalProtocolError if c < 0 or Δ is not finite.
    """
    _check_strength(c)
    dense = ids_K.size == delta_V.size
    delta_K = delta_V if dense else delta_V[ids_K]
    at, score, gap = _winner(decision_scores(logits_K, delta_K, c))
    token = int(ids_K[at])
    if errors_K is not None:
        score = float(decision_scores(logits_K - errors_K, delta_K, c)[at])
        gap = score - _best_but(at, decision_scores(logits_K + errors_K, delta_K, c))
    if dense:
        return Choice(token, errors_K is None or gap > 0.0, gap)
    bound = _greatest_unsent(ids_K, delta_V, leading_M) * c + (floor + floor_error)
    if not math.isfinite(bound):
        raise LocalProtocolError("Δ of unsent tokens is not finite: certificate impossible")
    certified = score > bound
    if errors_K is not None:
        certified = certified and gap > 0.0
    elif score == bound:
        bound_V = decision_scores(floor, delta_V, c)
        bound_V[ids_K] = -math.inf
        certified = token < int(np.argmax(bound_V))  # the lowest id that reaches the bound
    return Choice(token, certified, min(gap, score - bound))


def leading(delta_V: Floats, count: int) -> Ids:
    """The ids of the `count` greatest Δ, the greatest first: what an unsent token's is found in."""
    size = delta_V.size
    count = min(count, size)
    first = np.argpartition(delta_V, size - count)[size - count :]
    return np.asarray(first[np.argsort(-delta_V[first])], dtype=np.int32)


def _greatest_unsent(ids_K: Ids, delta_V: Floats, leading_M: Ids | None) -> float:
    """The largest Δ of a token that was not sent; as in `decision_scores`, not rounded."""
    if leading_M is not None:
        at_M = np.minimum(np.searchsorted(ids_K, leading_M), ids_K.size - 1)
        sent_M = ids_K[at_M] == leading_M
        if not sent_M.all():
            return float(delta_V[leading_M[int(np.argmin(sent_M))]])
    rest_V = delta_V.copy()  # one memory copy is cheaper than building a mask
    rest_V[ids_K] = -math.inf
    return float(rest_V.max())


def certify_gumbel(
    ids_K: Ids,
    logits_K: Floats,
    floor: float,
    delta_V: Floats,
    c: float,
    temperature: float,
    gumbel_V: F64,
    errors_K: F64 | None = None,
    floor_error: float = 0.0,
) -> Choice:
    """The sampled token under (logits + cΔ) / temperature + Gumbel, certified like the greedy one.

    `gumbel_V` is the device's noise for every id. Raises LocalProtocolError as `certify_greedy`.
    """
    _check_strength(c)
    dense = ids_K.size == delta_V.size
    delta_K, gumbel_K = (delta_V, gumbel_V) if dense else (delta_V[ids_K], gumbel_V[ids_K])
    at, score, gap = _winner(perturb(decision_scores(logits_K, delta_K, c), temperature, gumbel_K))
    token = int(ids_K[at])
    if errors_K is not None:
        low_K = decision_scores(logits_K - errors_K, delta_K, c)
        high_K = decision_scores(logits_K + errors_K, delta_K, c)
        score = float(perturb(low_K, temperature, gumbel_K)[at])
        gap = score - _best_but(at, perturb(high_K, temperature, gumbel_K))
    if dense:
        return Choice(token, errors_K is None or gap > 0.0, gap)
    bound_V = perturb(decision_scores(floor + floor_error, delta_V, c), temperature, gumbel_V)
    bound_V[ids_K] = -math.inf
    rival = int(np.argmax(bound_V))
    bound = float(bound_V[rival])
    if not math.isfinite(bound):
        raise LocalProtocolError(
            "Δ or noise of unsent tokens is not finite: certificate impossible"
        )
    if errors_K is not None:
        certified = score > bound and gap > 0.0
    else:
        certified = score > bound or (score == bound and token < rival)
    return Choice(token, certified, min(gap, score - bound))


def certify_top_p(
    known: SparseLogits, delta_V: Floats, c: float, sampling: Sampling, noise: Noise
) -> Choice:
    """The token drawn from the nucleus, certified if every nucleus that is possible gives it.

    Raises LocalProtocolError as `certify_greedy`. Against the row before rounding nothing is
    certified.
    """
    _check_strength(c)
    ids_K, dense = known.ids_K, known.dense
    scores_K = decision_scores(known.logits_K, delta_V if dense else delta_V[ids_K], c)
    token = choose(scores_K, ids_K, sampling, noise)
    if dense or known.errors_K is not None:
        certified = known.errors_K is None
        return Choice(token, certified, 0.0 if certified else -math.inf)
    # The reference sorts and sums all V in this way: its first places have these very bits.
    order = np.lexsort((ids_K, -scores_K))
    scaled_K = scores_K[order] / sampling.temperature
    mass_K = np.cumsum(np.exp(scaled_K - scaled_K[0]))
    rival, unsent = _unsent_steered(known, delta_V, c, sampling.temperature, float(scaled_K[0]))
    least, most = mass_K[-1] * (1.0 - _SUM_SLACK), (mass_K[-1] + unsent) * (1.0 + _SUM_SLACK)
    narrow = int(np.searchsorted(mass_K, sampling.top_p * least)) + 1
    wide = int(np.searchsorted(mass_K, sampling.top_p * most)) + 1
    certified = wide <= ids_K.size and float(scaled_K[wide - 1]) > rival
    if certified:
        kept = order[:wide]
        drawn_K = perturb(scores_K[kept], sampling.temperature, noise(ids_K[kept]))
        at = best(drawn_K, ids_K[kept])
        certified = at < narrow
        token = int(ids_K[kept[at]]) if certified else token
    return Choice(token, certified, 0.0 if certified else -math.inf)


def _unsent_steered(
    known: SparseLogits, delta_V: Floats, c: float, temperature: float, scaled_high: float
) -> tuple[float, float]:
    """Bounds on the unsent: the best score / temperature, and Σ exp(score / T − scaled_high).

    Each unsent exp(logit) is at most exp(floor) and together they are at most the unsent mass, so
    the sum is largest with as many logits at the floor as the mass allows, where Δ is largest. That
    holds for T ≤ 1, where exp(l / T) ≤ exp(l) · exp(floor (1/T − 1)); above, all lie at the floor.
    """
    rest = np.ones(known.vocab_size, dtype=bool)
    rest[known.ids_K] = False
    scaled_U = decision_scores(known.floor, delta_V[rest], c) / temperature
    rival = float(scaled_U.max())
    if not math.isfinite(rival):
        raise LocalProtocolError("Δ of unsent tokens is not finite: certificate impossible")
    if temperature <= 1.0:
        # The logsumexp is a float32: its rounding is some unsent mass, or hides some.
        slack = abs(known.logsumexp) * 2.0**-22 + 1e-6
        tokens = (known.unsent_mass + slack) * math.exp(min(known.logsumexp - known.floor, 700.0))
        if tokens < scaled_U.size - 1:
            keep = math.ceil(tokens)
            scaled_U = np.partition(scaled_U, scaled_U.size - keep)[scaled_U.size - keep :]
    with np.errstate(over="ignore"):
        return rival, float(np.exp(scaled_U - scaled_high).sum())


def decide(
    known: SparseLogits,
    delta_V: Floats,
    c: float,
    sampling: Sampling,
    noise: Noise | None = None,
    leading_M: Ids | None = None,
) -> Choice:
    """The device's step on what it knows: steer, choose, certify.

    `noise(ids)` is needed for sampling at a temperature, `leading_M` saves a pass over the
    vocabulary when greedy. Raises LocalProtocolError if Δ does not
    cover the vocabulary, c < 0, noise is missing or a score is not a number.
    """
    if delta_V.shape != (known.vocab_size,):
        raise LocalProtocolError(
            f"Δ has shape {delta_V.shape}, the vocabulary {known.vocab_size} tokens"
        )
    if sampling.greedy:
        return certify_greedy(
            known.ids_K,
            known.logits_K,
            known.floor,
            delta_V,
            c,
            known.errors_K,
            known.floor_error,
            leading_M,
        )
    if noise is None:
        raise LocalProtocolError("sampling at a temperature needs noise per token id")
    if sampling.top_p < 1.0:
        return certify_top_p(known, delta_V, c, sampling, noise)
    gumbel_V = noise(np.arange(known.vocab_size, dtype=np.int32))
    return certify_gumbel(
        known.ids_K,
        known.logits_K,
        known.floor,
        delta_V,
        c,
        sampling.temperature,
        gumbel_V,
        known.errors_K,
        known.floor_error,
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
    return at, score, score - _best_but(at, scores_K)


def _best_but(at: int, scores_K: F64) -> float:
    """The largest score but one's own; −inf if there is no other."""
    return float(
        max(scores_K[:at].max(initial=-math.inf), scores_K[at + 1 :].max(initial=-math.inf))
    )
