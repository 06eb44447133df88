"""A dense shadow: what whole rows of logits would have chosen, beside what the device did choose.

Theory of operation
-------------------
Both hosts of a run are given one shadow; it lives where both are, in one process. The cloud's part
shows it each row that it encodes, the device's part each payload and each step's Δ. The shadow then
takes the same decision (same Δ, strength, noise, tie rule) on the unrounded row: what fp32 dense
logits would have given **on the same logits row**. So agreement is counted step by step along the
text that was really written; it is not a comparison of two texts that may have parted long ago.
Up to the first step that disagrees the two texts are the same, hence the first disagreement of a
session is the place where its text leaves the dense one's.

Nothing of it is sent, charged or chosen: a run with a shadow has the digest of one without. It
costs a pass over the vocabulary per step (`ranks`: and a sort), so it is off unless asked for.

Legend: V vocabulary, K sent tokens.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.values.deciding import decide_as
from actors.values.port import ArmSpec
from costeer.codec import SparseLogits
from costeer.sampling import Noise
from costeer.steering import decision_scores
from costeer.tail import TAILS, Divergence, assumed_logits, divergence, steered_log_probs

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]


class Shadow(Protocol):
    """What hosts show to who looks on; nothing that it does changes a run."""

    def show_row(self, session: int, position: int, logits_V: F32) -> None:
        """Show the row of a step, as the model gave it; it must not change afterwards."""

    def show_payload(self, session: int, position: int, round_: int, payload_bytes: int) -> None:
        """Show the size of a round's payload."""

    def check(
        self,
        arm: ArmSpec,
        session: int,
        position: int,
        known: SparseLogits,
        delta_V: F64 | F32,
        noise: Noise,
    ) -> None:
        """Show what the device knows when it chooses; once per round."""


@dataclass(frozen=True, slots=True)
class ShadowStep:
    """What the shadow says of one token, after its last round.

    Under a method with a floor of plausibility all but the token is of the scores before the floor.

    Args:
        session: session id.
        position: 0 for the first generated token.
        dense_token: the choice from the whole row.
        payload_bytes: of each round.
        kl_nats: KL(device ‖ dense) of the steered distributions at temperature 1, nats; the
            device's is over the sent tokens, the unsent ones count as impossible.
        total_variation: of the same two, 0 to 1.
        delta_sd: standard deviation of Δ over the vocabulary, nats.
        ranks_needed: the fewest ranks that certify the choice; None unless asked for, and for
            choices with noise.
        tail_kl_nats: for each of ``TAILS``, KL(device ‖ dense) where the device fills in what was
            not sent by that assumption; empty unless asked for.
        tail_total_variation: of the same.
    """

    session: int
    position: int
    dense_token: int
    payload_bytes: tuple[int, ...]
    kl_nats: float
    total_variation: float
    delta_sd: float
    ranks_needed: int | None
    tail_kl_nats: tuple[float, ...] = ()
    tail_total_variation: tuple[float, ...] = ()


@dataclass(slots=True)
class _Pending:
    """What is known of a step before its choice: the row and the payloads' bytes."""

    row_V: F32 | None = None
    payload_bytes: dict[int, int] = field(default_factory=dict)


class DenseShadow:
    """Collects one `ShadowStep` per token of a steered arm."""

    def __init__(self, *, ranks: bool = False, tails: bool = False) -> None:
        """Begin with nothing.

        Args:
            ranks: ask for ``ranks_needed`` (a sort of every row).
            tails: ask for ``tail_…`` (four more passes over every row).
        """
        self._tails = tails
        self._ranks = ranks
        self._pending: dict[tuple[int, int], _Pending] = {}
        self._steps: dict[tuple[int, int], ShadowStep] = {}

    def take(self) -> list[ShadowStep]:
        """Return the steps since the last call, by session and position, and forget them."""
        steps = [self._steps[key] for key in sorted(self._steps)]
        self._steps.clear()
        self._pending.clear()
        return steps

    def show_row(self, session: int, position: int, logits_V: F32) -> None:
        """Show the row of a step, as the model gave it; it must not change afterwards."""
        self._step(session, position).row_V = logits_V

    def show_payload(self, session: int, position: int, round_: int, payload_bytes: int) -> None:
        """Show the size of a round's payload."""
        self._step(session, position).payload_bytes[round_] = payload_bytes

    def check(
        self,
        arm: ArmSpec,
        session: int,
        position: int,
        known: SparseLogits,
        delta_V: F64 | F32,
        noise: Noise,
    ) -> None:
        """Take the step's decision on the whole row; a later round of the step replaces it."""
        # The step before is over: a shadow holds a row or two a session, not one a token.
        self._pending.pop((session, position - 1), None)
        step = self._step(session, position)
        row_V = step.row_V
        if row_V is None:  # its frame is a duplicate of a step that is over
            return
        vocab_size = len(row_V)
        ids_V = np.arange(vocab_size, dtype=np.int32)
        whole = SparseLogits(ids_V, row_V, -math.inf, 0.0, vocab_size)
        dense = decide_as(arm, whole, delta_V, noise)
        kl_nats, total_variation = _distance(row_V, known, delta_V, arm.strength)
        tails = _tail_distances(row_V, known, delta_V, arm.strength) if self._tails else []
        ranked = self._ranks and arm.sampling.greedy
        self._steps[session, position] = ShadowStep(
            session=session,
            position=position,
            dense_token=dense.token,
            payload_bytes=tuple(size for _, size in sorted(step.payload_bytes.items())),
            kl_nats=kl_nats,
            total_variation=total_variation,
            delta_sd=float(np.std(delta_V, dtype=np.float64)),
            ranks_needed=ranks_needed(row_V, delta_V, arm.strength) if ranked else None,
            tail_kl_nats=tuple(each.reverse_kl_nats for each in tails),
            tail_total_variation=tuple(each.total_variation for each in tails),
        )

    def _step(self, session: int, position: int) -> _Pending:
        return self._pending.setdefault((session, position), _Pending())


def ranks_needed(row_V: F32, delta_V: F64 | F32, c: float) -> int:
    """Return the fewest ranks whose certificate holds, by the strict comparison; V at most.

    With k ranks sent, the best sent score has to exceed (k-th logit) + c · (largest unsent Δ). The
    left side grows with k, the right side falls, so the first k that holds is the answer.
    """
    order_V = np.argsort(-row_V, kind="stable")  # logit descending, id ascending
    ranked_V, moved_V = row_V[order_V], np.asarray(delta_V, dtype=np.float64)[order_V]
    best_V = np.maximum.accumulate(decision_scores(ranked_V, moved_V, c))
    unsent_V = np.maximum.accumulate(moved_V[::-1])[::-1]
    holds = best_V[:-1] > decision_scores(ranked_V[:-1], unsent_V[1:], c)
    return int(np.argmax(holds)) + 1 if holds.any() else len(row_V)


def _distance(row_V: F32, known: SparseLogits, delta_V: F64 | F32, c: float) -> tuple[float, float]:
    """KL (nats) and total variation of the device's steered distribution from the dense one."""
    dense_V = decision_scores(row_V, delta_V, c)
    dense_V -= _logsumexp(dense_V)
    sent_K = decision_scores(known.logits_K, delta_V[known.ids_K], c)
    sent_K -= _logsumexp(sent_K)
    dense_K = dense_V[known.ids_K]
    p_K, q_K = np.exp(dense_K), np.exp(sent_K)
    kl_nats = float(np.sum(q_K * (sent_K - dense_K)))
    unsent = max(0.0, 1.0 - float(p_K.sum()))
    return max(kl_nats, 0.0), 0.5 * (float(np.abs(q_K - p_K).sum()) + unsent)


def _tail_distances(
    row_V: F32, known: SparseLogits, delta_V: F64 | F32, c: float
) -> list[Divergence]:
    """How far each assumption of the unsent tail is from the dense steered distribution."""
    dense_V = steered_log_probs(row_V, delta_V, c)
    return [
        divergence(dense_V, steered_log_probs(assumed_logits(known, tail), delta_V, c))
        for tail in TAILS
    ]


def _logsumexp(scores: F64) -> float:
    high = float(scores.max())
    return high + math.log(float(np.exp(scores - high).sum()))
