"""What a fleet's sessions say and how much it weighs: values without hosts.

Legend: R rows, one per token of a session that is described; P payloads, one per round of a row.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from actors.values.null import NullConfig

    Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one token.

    Args:
        token: its id.
        payload_bytes: what the codec made, per round; one of 0 B where nothing is steered.
        certified: whether it is proven to be the full-vocabulary token.
        margin: nats between the best and the second-best candidate.
    """

    token: int
    payload_bytes: tuple[int, ...] = (0,)
    certified: bool = True
    margin: float = 0.0


@dataclass(frozen=True, slots=True)
class Outcomes:
    """The outcomes of all sessions; sessions may share rows.

    Args:
        rows: all that is said.
        first_rows: where each session begins, in the order of devices and their requests.
        lengths: how many tokens each session has.
    """

    rows: tuple[Outcome, ...]
    first_rows: Integers
    lengths: Integers

    @classmethod
    def of_sessions(cls, sessions: Sequence[Sequence[Outcome]]) -> Outcomes:
        """Return what so many sessions say, each of its own."""
        lengths = np.array([len(each) for each in sessions], np.int64)
        first = np.concatenate((np.zeros(1, np.int64), np.cumsum(lengths)[:-1]))
        return cls(tuple(row for each in sessions for row in each), first, lengths)

    @classmethod
    def constant(
        cls, config: NullConfig, sessions: int, max_new_tokens: int, eos: frozenset[int]
    ) -> Outcomes:
        """Return what `null` values say: the same in every session."""
        rows = []
        for position in range(max_new_tokens):
            token = config.first_token + position % config.period
            rows.append(Outcome(token, (config.payload_bytes,), certified=True, margin=1.0))
            if token in eos:
                break
        lengths = np.full(sessions, len(rows), np.int64)
        return cls(tuple(rows), np.zeros(sessions, np.int64), lengths)
