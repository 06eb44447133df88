"""What steering did to a few texts, token by token, for people to look at.

A device's host keeps, for the sessions that it is asked to, the likeliest tokens of each step
before and after Δ was added, and the token that would have been chosen without Δ from what the
device was sent. Nothing of it is sent, charged or chosen, so a run with a witness has the digests
of one without; it costs two partial sorts of the sent tokens a step.

Legend: K sent tokens, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, runtime_checkable

import numpy as np
import numpy.typing as npt

from costeer.certificate import Choice, decide
from costeer.codec import SparseLogits
from costeer.sampling import Noise, Sampling
from costeer.steering import decision_scores

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Candidates = tuple[tuple[int, float], ...]
"""(token id, probability), the likeliest first."""

SHOWN = 5
"""Candidates kept of each step."""
MOST_POSITIONS = 512
"""Positions kept of each session: a text that people look at, not a table."""


@dataclass(frozen=True, slots=True)
class Witnessed:
    """One step.

    Args:
        session: session id.
        position: 0 for the first generated token.
        token: what was chosen.
        unsteered: what would have been chosen of the same logits, with the same noise, without Δ.
        before: the cloud's probabilities.
        after: the steered ones, over the tokens that were sent.
    """

    session: int
    position: int
    token: int
    unsteered: int
    before: Candidates
    after: Candidates


@runtime_checkable
class Witnessing(Protocol):
    """A device's host that keeps steps; one without anything to look at need not be one."""

    def take_witnessed(self) -> list[Witnessed]:
        """Return what was kept of the arm's witnessed sessions, and forget it."""
        ...


class Witness:
    """Keeps the steps of some sessions; a later round of a step replaces the earlier ones."""

    def __init__(self, sessions: frozenset[int]) -> None:
        """Watch these sessions and no other."""
        self._sessions = sessions
        self._steps: dict[tuple[int, int], Witnessed] = {}

    def watches(self, session: int, position: int) -> bool:
        """Whether a step is kept."""
        return session in self._sessions and position < MOST_POSITIONS

    def see(
        self,
        step: tuple[int, int],
        known: SparseLogits,
        delta_V: F64 | F32,
        strength: float,
        sampling: Sampling,
        noise: Noise,
        choice: Choice,
    ) -> None:
        """Keep a step.

        Args:
            step: (session, position).
            known: what was sent of the row.
            delta_V: Δ.
            strength: c.
            sampling: how the token was chosen.
            noise: of sampling.
            choice: what was chosen.
        """
        session, position = step
        plain = decide(known, np.zeros(known.vocab_size), 0.0, sampling, noise)
        logits_K = known.logits_K.astype(np.float64)
        steered_K = decision_scores(known.logits_K, delta_V[known.ids_K], strength)
        high = float(steered_K.max())
        total = high + float(np.log(np.exp(steered_K - high).sum()))
        self._steps[step] = Witnessed(
            session=session,
            position=position,
            token=choice.token,
            unsteered=plain.token,
            before=_likeliest(known.ids_K, logits_K - known.logsumexp),
            after=_likeliest(known.ids_K, steered_K - total),
        )

    def take(self) -> list[Witnessed]:
        """Return what was kept, by session and position, and forget it."""
        steps = [self._steps[key] for key in sorted(self._steps)]
        self._steps.clear()
        return steps


def _likeliest(ids_K: npt.NDArray[np.int32], log_probs_K: F64) -> Candidates:
    count = min(SHOWN, len(ids_K))
    least = np.partition(log_probs_K, len(ids_K) - count)[len(ids_K) - count]
    kept = np.flatnonzero(log_probs_K >= least)
    # Of equal ones the lowest id comes first, as where tokens are chosen; ids ascend.
    order = kept[np.argsort(-log_probs_K[kept], kind="stable")][:count]
    return tuple((int(ids_K[at]), float(np.exp(log_probs_K[at]))) for at in order)
