"""The sessions that have something to do at the cloud, and the step that some of them are in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer import served_text
from costeer.machine import CloudRow, Span
from costeer.proposal import DraftItem
from costeer.schedule import plan_step
from costeer.serving import Session, State

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from costeer.serving import EngineLimits


class Steps:
    """Queues of sessions, in the order in which they became so.

    Attributes:
        ready: sessions with tokens that are not in the cache.
        refining: sessions that were asked for more of their logits.
        running: the sessions of the step under way; none runs while it is empty.
    """

    __slots__ = ("ready", "refining", "running")

    def __init__(self) -> None:
        """Begin with nothing to do."""
        self.ready: list[Session] = []
        self.refining: list[Session] = []
        self.running: list[Session] = []

    @property
    def wanted(self) -> bool:
        """Whether there is something to do."""
        return bool(self.ready or self.refining)

    def undrafted(self, most: int) -> list[DraftItem]:
        """Return the streamed sessions whose next forward had best verify some drafts.

        Args:
            most: drafts for each.
        """
        return [
            DraftItem(session.session, session.position, tuple(session.tokens), count, session.read)
            for session in self.ready
            if session.guessing and session.pending == 1 and session.guesses is None
            for count in (min(most, session.max_new_tokens - session.position - 1),)
            if count > 0
        ]

    def drafted(self, proposed: Mapping[int, Sequence[int]]) -> int:
        """Take drafts for sessions, by id, that are still ready; return how many."""
        taken = 0
        for session in self.ready:
            tokens = proposed.get(session.session)
            if tokens is not None and session.guesses is None:
                session.guess(tokens)
                taken += len(tokens)
        return taken

    def begin_forward(self, limits: EngineLimits) -> tuple[CloudRow, ...]:
        """Take ready sessions into a step; return their rows, none if none is ready."""
        takes = plan_step(
            [session.pending for session in self.ready],
            limits.max_batch,
            limits.chunk_tokens,
        )
        rows = []
        left = []
        for session, take in zip(self.ready, takes, strict=True):
            if not take:
                left.append(session)
                continue
            session.running_to = session.cached + take
            session.state = State.RUNNING
            self.running.append(session)
            rows.append(_row(session))
        self.ready = left
        return tuple(rows)

    def end_forward(self, duration_ns: int) -> tuple[list[Session], list[Session]]:
        """Book a forward; what is not at its prompt's end goes to the front of the ready ones.

        Returns:
            The sessions that have new logits to send, and those that were closed meanwhile.
        """
        done: list[Session] = []
        begun: list[Session] = []
        closing: list[Session] = []
        running, self.running = self.running, []
        for session in running:
            session.cached = session.running_to
            session.compute_ns += duration_ns
            if session.state is State.CLOSING:
                closing.append(session)
            elif session.newest_row < _wanted_row(session):
                session.state = State.READY
                begun.append(session)
            else:
                done.append(session)
        self.ready = begun + self.ready
        return done, closing

    def begin_select(self, done: list[Session]) -> list[Session]:
        """Take those whose forward is done, and all that were asked for MORE, into a step."""
        self.running = done + self.refining
        self.refining = []
        for session in self.running:
            session.state = State.RUNNING
        return self.running

    def end_select(self) -> list[Session]:
        """End the step; return the sessions that were in it."""
        running, self.running = self.running, []
        return running

    def make_ready(self, session: Session) -> None:
        """Queue a session for a forward."""
        session.state = State.READY
        self.ready.append(session)

    def refine(self, session: Session) -> None:
        """Queue a session for a select."""
        session.state = State.REFINING
        self.refining.append(session)

    def queue(self, session: Session) -> None:
        """Queue a drafting session for what it needs, if it is in no step and needs anything.

        Ranks that it asked for while it has tokens to run come with the logits behind these.
        """
        if session.state is State.READY and session.pending:
            return  # it keeps its place
        if session.state not in {State.AWAY, State.REFINING, State.READY}:
            return
        self.forget(session)
        session.state = State.AWAY
        if session.pending:
            self.make_ready(session)
        elif session.ledger is not None and session.ledger.state[served_text.ASKS]:
            self.refine(session)

    def forget(self, session: Session) -> None:
        """Take a session that is over out of its queue."""
        if session.state is State.READY:
            self.ready.remove(session)
        elif session.state is State.REFINING:
            self.refining.remove(session)


def _wanted_row(session: Session) -> int:
    """Return the position of the row that a step is to lead to."""
    if session.ledger is not None:
        return session.ledger.state[served_text.NEXT_ROW]
    return session.position + (session.guesses or 0)


def _row(session: Session) -> CloudRow:
    """Return a session's row of the forward that it was taken into."""
    first, last = session.cached, session.running_to
    ledger = session.ledger
    span = None
    if ledger is not None:
        if served_text.serve(ledger.state):
            session.uplink_ns, session.ready_ns = ledger.uplink_ns, ledger.arrived_ns
            session.compute_ns = 0
        span = _span(session, ledger.state[served_text.NEXT_ROW])
    elif session.guessing:
        span = _span(session, session.position)
    guide_start, guide = session.take_guide()
    new = tuple(session.tokens[first:last])
    return CloudRow(session.session, new, first, span, guide, guide_start)


def _span(session: Session, oldest: int) -> Span:
    """Return the rows from ``oldest`` on that a forward gives."""
    position = max(oldest, session.cached + 1 - session.prompt_tokens)
    count = max(0, session.running_to + 1 - session.prompt_tokens - position)
    return Span(position, count, session.position)
