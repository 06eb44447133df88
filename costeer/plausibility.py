"""The plausibility constraint of contrastive decoding: the cloud's doubtful tokens are no choice.

Only tokens with at least a share α of the best token's probability, by the cloud alone, may be
chosen (arXiv 2210.15097, eq. 2; α = 0.1 there). Whatever Δ says, an implausible token cannot win,
so the certificate becomes a matter of what was sent: once no unsent logit reaches best + ln α,
every token that may be chosen is known, and the choice among them is the full vocabulary's. That is
so where the floor of the unsent lies below, and where the cloud chose what to send by such a share
itself. While it is not, an unsent token may be plausible, and the usual bound is what certifies.

The comparison is on the row as the codec rounds it and in its float32, as in
``codec.select.Floor``; probabilities need no normaliser for it. Ids are ascending, so numpy's first
maximum is the lowest.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from costeer.certificate import Choice
from costeer.errors import LocalProtocolError
from costeer.sampling import Noise, Sampling, choose, perturb
from costeer.steering import decision_scores

if TYPE_CHECKING:
    from costeer.certificate import F64, Floats
    from costeer.codec.sparse import SparseLogits


def decide_plausible(
    known: SparseLogits,
    delta_V: Floats,
    c: float,
    sampling: Sampling,
    share: float,
    noise: Noise | None = None,
    sent_share: float | None = None,
) -> Choice:
    """The device's step on what it knows, among plausible tokens: steer, choose, certify.

    `share` is α; `noise(ids)` is needed for sampling at a temperature. With `sent_share` every
    token of at least that share was sent. Raises LocalProtocolError as `certificate.decide` does,
    and for logits known to ± an error only.
    """
    if delta_V.shape != (known.vocab_size,) or not 0.0 <= c < math.inf:
        raise LocalProtocolError(
            f"Δ of shape {delta_V.shape} and strength {c!r} do not fit {known.vocab_size} tokens"
        )
    if known.errors_K is not None:
        raise LocalProtocolError("plausible tokens cannot be told from logits known to ± an error")
    cut = np.float32(float(known.logits_K.max()) + math.log(share))
    below = bool(known.floor < cut) or (sent_share is not None and sent_share <= share)
    settled = known.dense or below
    kept_K = known.logits_K >= cut
    ids_P = known.ids_K[kept_K]
    scores_P = decision_scores(known.logits_K[kept_K], delta_V[ids_P], c)
    token = choose(scores_P, ids_P, sampling, noise)
    if not np.isfinite(scores_P).all():
        raise LocalProtocolError("a steered score is not finite: logits or Δ are not")
    if sampling.top_p < 1.0 and not sampling.greedy:
        return Choice(token, settled, 0.0 if settled else -math.inf)
    if not sampling.greedy and noise is not None:
        scores_P = perturb(scores_P, sampling.temperature, noise(ids_P))
    at = int(np.searchsorted(ids_P, token))
    score = float(scores_P[at])
    others_P = np.delete(scores_P, at)
    gap = score - float(others_P.max()) if others_P.size else -math.log(share)
    if settled:
        return Choice(token, certified=True, margin=gap)
    bound_V = _unsent(known, delta_V, c, sampling, noise)
    rival = int(np.argmax(bound_V))
    bound = float(bound_V[rival])
    if not math.isfinite(bound):
        raise LocalProtocolError("Δ of unsent tokens is not finite: certificate impossible")
    certified = score > bound or (score == bound and token < rival)
    return Choice(token, certified, min(gap, score - bound))


def _unsent(
    known: SparseLogits, delta_V: Floats, c: float, sampling: Sampling, noise: Noise | None
) -> F64:
    """The most that each unsent token's score can be; −inf for those that were sent."""
    bound_V = decision_scores(known.floor, delta_V, c)
    if not sampling.greedy and noise is not None:
        gumbel_V = noise(np.arange(known.vocab_size, dtype=np.int32))
        bound_V = perturb(bound_V, sampling.temperature, gumbel_V)
    bound_V[known.ids_K] = -math.inf
    return bound_V
