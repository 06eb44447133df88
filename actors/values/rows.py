"""Values from rows of logits that are made or read, not computed: hosts without a model.

Where a row comes from is a ``Rows``: generated from a seed, or recorded from real models. A row is
named by (session, position), whatever tokens were chosen before it.

Legend: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.values.deciding import decide_as
from actors.values.drafts import drafted_token
from actors.values.port import ArmSpec
from actors.values.shadow import Shadow
from actors.values.steering_host import Selector, Steerer, sampling_noise, whole_row
from actors.values.waves import waves_of
from actors.values.witness import Witnessed
from costeer.certificate import Choice
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeOp,
    EdgeSteer,
    Release,
    Span,
)
from costeer.proposal import CloudDraft, DraftItem
from netsim.random import Stream

F32 = npt.NDArray[np.float32]


class Rows(Protocol):
    """Rows of logits and of Δ, by session and position."""

    @property
    def vocab_size(self) -> int:
        """V."""

    def logits(self, session: int, position: int, stream: Stream = Stream.LOGITS) -> F32:
        """Return the (V,) float32 logits of one position: the cloud's, or the device's own."""

    def delta(self, session: int, position: int) -> F32:
        """Return the (V,) float32 Δ of one position, in nats."""


class _Positions:
    """Which position each session's newest row belongs to.

    A forward does not name its position. The first one makes position 0 (as do further chunks of
    the prompt, until the row has been used), each later one the next; whoever uses a row names the
    position, which corrects the count for a resumed session.
    """

    def __init__(self) -> None:
        self._newest: dict[int, tuple[int, bool]] = {}

    def advance(self, session: int) -> int:
        """Return the position of a forward's row."""
        position, used = self._newest.get(session, (0, False))
        position += used
        self._newest[session] = (position, False)
        return position

    def use(self, session: int, position: int) -> None:
        """A row of this position was used."""
        self._newest[session] = (position, True)

    def forget(self, session: int) -> None:
        """The session is over."""
        self._newest.pop(session, None)


class _Book:
    """The open rows of every session: its newest, or those of the positions that it drafts at.

    Args:
        make: makes the row of (session, position).
    """

    def __init__(self, make: Callable[[int, int], F32]) -> None:
        self._make = make
        self._positions = _Positions()
        self._rows: dict[int, dict[int, F32]] = {}
        self._spanned: set[int] = set()

    def forward(self, session: int, span: Span | None) -> None:
        """Book a forward: make the rows that it gives."""
        if span is None:
            position = self._positions.advance(session)
            self._rows[session] = {position: self._row(session, position)}
            return
        self._spanned.add(session)
        rows = self._rows.setdefault(session, {})
        for position in [position for position in rows if position < span.oldest]:
            del rows[position]
        for position in range(span.first, span.first + span.count):
            rows[position] = self._make(session, position)

    def use(self, session: int, position: int) -> F32:
        """Return the row of a position."""
        row_V = self._row(session, position)
        if session in self._spanned:
            self._rows[session][position] = row_V
        else:
            self._positions.use(session, position)
            self._rows[session] = {position: row_V}
        return row_V

    def peek(self, session: int, position: int) -> F32:
        """Return the row of a position that no forward has come to yet."""
        return self._row(session, position)

    def forget(self, session: int) -> None:
        """The session is over."""
        self._rows.pop(session, None)
        self._spanned.discard(session)
        self._positions.forget(session)

    def _row(self, session: int, position: int) -> F32:
        row_V = self._rows.get(session, {}).get(position)
        return self._make(session, position) if row_V is None else row_V


class RowCloudHost:
    """A large model whose logits come from a source of rows.

    Args:
        open_rows: makes the source for the seed of a run.
        shadow: compares every choice with that from the whole row, where given.
    """

    def __init__(
        self,
        open_rows: Callable[[int], Rows],
        shadow: Shadow | None = None,
        acceptance: float = 0.8,
    ) -> None:
        self._open_rows = open_rows
        self._shadow = shadow
        self._acceptance = acceptance
        self._seed = 0
        self._book: _Book | None = None
        self._selector: Selector | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec and seed; return the vocabulary's size."""
        source = self._open_rows(arm.seed)
        self._seed = arm.seed
        self._book = _Book(source.logits)
        self._selector = Selector(arm, source.vocab_size, self._shadow)
        return source.vocab_size

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        if self._book is None or self._selector is None:
            raise LocalProtocolError("cloud host: an operation before begin_arm")
        return [self._execute(op, self._book, self._selector) for op in ops]

    def _execute(self, op: CloudOp | Release, book: _Book, selector: Selector) -> object:
        if isinstance(op, CloudForward):
            for row in op.rows:
                book.forward(row.session, row.span)
            return None
        if isinstance(op, CloudSelect):
            return selector.select(op, book.use)
        if isinstance(op, CloudDraft):
            return tuple(self._drafts(item, book, selector) for item in op.items)
        book.forget(op.session)
        return None

    def _drafts(self, item: DraftItem, book: _Book, selector: Selector) -> tuple[int, ...]:
        """Return drafts that are right as often as is asked for: no row tells what a text says."""
        positions = range(item.position, item.position + item.count)
        return tuple(
            drafted_token(
                selector.choose(item.session, at, book.peek(item.session, at)),
                self._acceptance,
                seed=self._seed,
                session=item.session,
                position=at,
                vocab_size=selector.codec.vocab_size,
            )
            for at in positions
        )


class RowEdgeHost:
    """A small model whose Δ (or, where it decodes alone, whose logits) come from a source of rows.

    Such a source has no logits of a small model that drafts: drafts are what the whole rows would
    choose, as often as is asked for.

    Args:
        open_rows: makes the source for the seed of a run.
        shadow: compares every choice with that from the whole row, where given.
        acceptance: how often a draft is the token that is chosen.
    """

    def __init__(
        self,
        open_rows: Callable[[int], Rows],
        shadow: Shadow | None = None,
        acceptance: float = 0.8,
    ) -> None:
        self._open_rows = open_rows
        self._shadow = shadow
        self._acceptance = acceptance
        self._arm: ArmSpec | None = None
        self._source: Rows | None = None
        self._book: _Book | None = None
        self._steerer: Steerer | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec and seed; return the vocabulary's size."""
        self._arm = arm
        source = self._source = self._open_rows(arm.seed)
        self._book = _Book(source.delta if arm.method.steered else _own_logits(source))
        self._steerer = Steerer(arm, source.vocab_size, self._shadow)
        return source.vocab_size

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        if self._steerer is None or self._book is None:
            raise LocalProtocolError("edge host: an operation before begin_arm")
        values: list[object] = [None] * len(ops)
        for wave in waves_of(ops):
            for _, forward in wave.forwards:
                self._book.forward(forward.session, forward.span)
            for place, op in wave.others:
                values[place] = self._execute(op, self._book, self._steerer)
        return values

    def take_witnessed(self) -> list[Witnessed]:
        """Return what was kept of the arm's witnessed sessions, and forget it."""
        return self._steerer.witness.take() if self._steerer is not None else []

    def _execute(self, op: EdgeOp | Release, book: _Book, steerer: Steerer) -> object:
        if isinstance(op, EdgeDecode):
            steerer.decode(op)
            return None
        if isinstance(op, EdgeDelta):
            steerer.prepare(op, book.use(op.session, op.position))
            return None
        if isinstance(op, EdgeSteer):
            return steerer.steer(op, book.use(op.session, op.position))
        if isinstance(op, EdgeChoose):
            row_V = book.use(op.session, op.position)
            return self._draft(op, row_V) or steerer.choose(op.session, op.position, row_V)
        book.forget(op.session)
        steerer.forget(op.session)
        return None

    def _draft(self, op: EdgeChoose, delta_V: F32) -> Choice | None:
        """Return a draft of a steered arm; None in an arm whose small model has logits."""
        arm, source = self._arm, self._source
        if arm is None or source is None or not (arm.method.steered or arm.method.verified):
            return None
        if arm.method.verified:
            delta_V = np.zeros_like(delta_V)
        whole = whole_row(source.logits(op.session, op.position))
        noise = sampling_noise(arm.seed, op.session, op.position)
        choice = decide_as(arm, whole, delta_V, noise)
        token = drafted_token(
            choice.token,
            self._acceptance,
            seed=arm.seed,
            session=op.session,
            position=op.position,
            vocab_size=source.vocab_size,
        )
        return replace(choice, token=token)


def _own_logits(source: Rows) -> Callable[[int, int], F32]:
    return lambda session, position: source.logits(session, position, Stream.EDGE_LOGITS)
