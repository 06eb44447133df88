"""What a step's select is asked for, and what each of its sessions is answered with.

The engine says which sessions are in a step; this is what their roles make of it.
"""

from __future__ import annotations

from itertools import repeat
from typing import TYPE_CHECKING

from costeer.errors import LocalProtocolError
from costeer.gate import ALWAYS
from costeer.machine import CloudSelect, EncodeItem, Selected
from costeer.messages import STREAMS, Frame, FrameKind, Role, encode_token
from costeer.pacing import FIRST_AHEAD
from costeer.starting_k import INITIAL_WINDOW_BYTES, worth
from costeer.verification import frames_of, items_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costeer.learning import KLearner
    from costeer.refinement import Ladder
    from costeer.serving import Session


def asked_of(running: Sequence[Session], learner: KLearner | None) -> CloudSelect:
    """Return what is to be encoded and chosen, session by session.

    Args:
        running: the step's sessions; their logits are there.
        learner: chooses the ranks of logits that are sent for the first time; None: fixed.
    """
    encode: list[EncodeItem] = []
    choose: list[tuple[int, int]] = []
    for session in running:
        if session.role in STREAMS:
            last = session.position + (session.guesses or 0)
            choose += [(session.session, at) for at in range(session.position, last + 1)]
            continue
        if learner is not None and session.round == 0:
            session.ladder = _learnt(session, learner)
        if session.ledger is not None:
            items = items_of(session, session.ledger, session.ladder)
            if session.role is Role.CHOICES:
                choose += [(item.session, item.position) for item in items]
            else:
                encode += items
        else:
            ranks = session.ladder.ranks(session.round)
            unless = _unless(session)
            encode.append(EncodeItem(session.session, session.position, *ranks, unless=unless))
    return CloudSelect(tuple(encode), tuple(choose))


def _learnt(session: Session, learner: KLearner) -> Ladder:
    """Return the ranks that are best sent of a session's next rows.

    With drafts, the rows of a whole round trip are under way at a time, and what they have to share
    is what the link carries in one, or a connection that begins: beyond that they wait for round
    trips as well, within it they cost nothing. And a row that is never used is never refined.
    """
    carried = session.round_trip_bytes
    if session.ledger is None:
        return learner.ladder(carried)
    carried, ledger = min(carried, INITIAL_WINDOW_BYTES), session.ledger
    price = worth(carried, ledger.used_rows, ledger.vain_rows)
    return learner.ladder(price, carried // FIRST_AHEAD)


def _unless(session: Session) -> float | None:
    """Return the doubt below which the cloud's own token is wanted; see ``EncodeItem``."""
    if session.gate is None or session.round:
        return None
    return ALWAYS if _is_seen_again(session) else session.gate.unless


def _is_seen_again(session: Session) -> bool:
    return session.position < len(session.again)


class Answers:
    """What a select gave, to be taken session by session in the order of ``asked_of``."""

    def __init__(self, op: CloudSelect, value: object) -> None:
        """Take a select's value.

        Raises:
            LocalProtocolError: it is not what was asked for.
        """
        if (
            not isinstance(value, Selected)
            or len(value.payloads) != len(op.encode)
            or len(value.tokens) != len(op.choose)
            or len(value.draft_logits) not in {0, len(op.encode)}
            or len(value.doubts) not in {0, len(op.encode)}
        ):
            raise LocalProtocolError(f"cloud engine: {op} gave {value!r}")
        self._payloads = iter(value.payloads)
        self._logits = iter(value.draft_logits or (None,) * len(op.encode))
        self._doubts = iter(value.doubts or (None,) * len(op.encode))
        self._tokens = iter(value.tokens)

    def take(self, session: Session) -> tuple[int, ...] | list[Frame]:
        """Return a session's answer: tokens that were chosen for it, or frames with logits.

        No frame at all where a token that was chosen before is seen again.
        """
        if session.role in STREAMS:
            return tuple(next(self._tokens) for _ in range(1 + (session.guesses or 0)))
        if session.ledger is not None and session.role is Role.CHOICES:
            chosen = map(encode_token, self._tokens)
            return frames_of(session, session.ledger, chosen, repeat(None))
        if session.ledger is not None:
            for _ in session.ledger.sending:
                next(self._doubts)
            return frames_of(session, session.ledger, self._payloads, self._logits)
        next(self._logits)
        payload, doubt = next(self._payloads), next(self._doubts)
        if session.gate is not None and doubt is not None:
            session.gate.saw(doubt.doubt)
            if _is_seen_again(session):
                return []
            if doubt.token is not None:
                return (doubt.token,)
        return [frame_of(session, FrameKind.LOGITS, payload)]


def frame_of(session: Session, kind: FrameKind, body: bytes) -> Frame:
    """Return a frame about a session's position and round."""
    return Frame(kind, session.session, session.epoch, session.position, session.round, body)
