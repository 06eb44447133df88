"""Values that an earlier try of the same run has written down: its tokens and payloads' sizes.

Theory of operation
-------------------
A simulated run that is resumed begins again at time zero, because times are no state that could be
put back. What takes long is not time but values, and those of the tokens on disk are known: which
token was chosen, in which round, from payloads of which sizes. So a handle stands before each host
and answers from the rows for as long as they go. A session's forwards are put off meanwhile; when a
value is asked for that no row tells, the host is given all of the session's tokens in one forward,
and from then on everything of this session passes.

A payload that is recalled has its size alone: the device that would decode it is answered from the
rows as well.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from actors.ledger import Told, operations, sequences
from actors.port import Handle, Pending
from actors.records import TokenRow
from costeer.certificate import Choice
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeSteer,
    EncodeItem,
    Op,
    Release,
    Selected,
)
from costeer.proposal import CloudDraft


class Recall:
    """What is known of an arm's sessions: each one's tokens from position 0, without a gap."""

    def __init__(self, rows: Iterable[TokenRow], *, unless: frozenset[int] = frozenset()) -> None:
        """Take rows.

        Args:
            rows: in the order of positions for each session.
            unless: sessions whose values have to be computed in any case.
        """
        rows = list(rows)
        # Of an answer that a device finished alone no row tells what its model said before.
        skipped = unless | {row.record.session for row in rows if row.record.fallback}
        self._rows: dict[int, list[TokenRow]] = {}
        for row in rows:
            session = row.record.session
            known = self._rows.setdefault(session, [])
            if session not in skipped and row.record.position == len(known):
                known.append(row)

    def knows(self, session: int) -> bool:
        """Whether anything is known of a session."""
        return bool(self._rows.get(session))

    def row(self, session: int, position: int) -> TokenRow | None:
        """Return what is known of a position."""
        known = self._rows.get(session, ())
        return known[position] if position < len(known) else None

    def choice(self, session: int, position: int, round_: int) -> Choice | None:
        """Return what was chosen after a round; before the last one only that it went on."""
        row = self.row(session, position)
        if row is None:
            return None
        record = row.record
        if round_ < record.rounds:
            return Choice(record.token, certified=False, margin=record.margin)
        certified = record.certified
        return Choice(record.token, certified=certified, margin=record.margin, final=not certified)

    def payload(self, session: int, position: int, round_: int) -> bytes | None:
        """Return something of a round's payload's size."""
        row = self.row(session, position)
        if row is None or round_ >= len(row.record.payload_bytes):
            return None
        return bytes(row.record.payload_bytes[round_])


@dataclass(frozen=True, slots=True)
class _Step:
    """What becomes of an operation.

    Args:
        value: what is known of its value.
        needed: what has to be computed, the operation itself last; empty where its value is known.
    """

    value: object = None
    needed: tuple[Op | Release, ...] = ()


class _RecallingHandle(ABC):
    """A host, and in front of it what is known already."""

    def __init__(self, host: Handle, recall: Recall) -> None:
        """Put what is known in front of a host that knows no session."""
        self._host = host
        self._recall = recall
        self._deferred: dict[int, Told] = {}
        self._passing: set[int] = set()

    def submit(self, method: str, *args: object) -> Pending:
        """Begin a call; of operations, those that are not known."""
        if method != "execute":
            return self._host.submit(method, *args)
        steps = [self._step(op) for op in operations(args[0])]
        needed = [op for step in steps for op in step.needed]
        return _Recalled(self._host.submit("execute", needed) if needed else None, steps)

    def call(self, method: str, *args: object) -> object:
        """Call and wait."""
        return self.submit(method, *args).result()

    @abstractmethod
    def _step(self, op: Op | Release) -> _Step:
        """Look an operation up."""

    def _defers(self, session: int) -> bool:
        """Whether a forward of a session is put off."""
        if session in self._deferred:
            return True
        if session in self._passing or not self._recall.knows(session):
            return False
        self._deferred[session] = Told()
        return True

    def _take(self, session: int) -> Told | None:
        """Return what was put off for a session that is computed from now on."""
        told = self._deferred.pop(session, None)
        if told is not None:
            self._passing.add(session)
        return told

    def _release(self, op: Release) -> _Step:
        deferred = self._deferred.pop(op.session, None) is not None
        self._passing.discard(op.session)
        return _Step() if deferred else _Step(needed=(op,))


class RecallingEdge(_RecallingHandle):
    """A shard's host."""

    def _step(self, op: Op | Release) -> _Step:
        if isinstance(op, Release):
            return self._release(op)
        if isinstance(op, EdgeForward):
            if not self._defers(op.session):
                return _Step(needed=(op,))
            self._deferred[op.session].extend(op.tokens, op.starts, op.prompts)
            return _Step()
        if isinstance(op, CloudDraft | CloudForward | CloudSelect):
            raise LocalProtocolError(f"an edge was asked for {op}")
        if isinstance(op, EdgeDelta):
            return _Step(needed=() if op.session in self._deferred else (op,))
        return self._position(op)

    def _position(self, op: EdgeDecode | EdgeSteer | EdgeChoose) -> _Step:
        round_ = 0 if isinstance(op, EdgeChoose) else op.round
        if op.session in self._deferred:
            choice = self._recall.choice(op.session, op.position, round_)
            if choice is not None:
                return _Step(None if isinstance(op, EdgeDecode) else choice)
        told = self._take(op.session)
        if told is None:
            return _Step(needed=(op,))
        return _Step(needed=(told.edge_forward(op.session), op))


class RecallingCloud(_RecallingHandle):
    """A replica's host."""

    def __init__(self, host: Handle, recall: Recall) -> None:
        """Put what is known in front of a host that knows no session."""
        super().__init__(host, recall)
        self._rounds: dict[int, tuple[int, int]] = {}

    def _step(self, op: Op | Release) -> _Step:
        if isinstance(op, Release):
            self._rounds.pop(op.session, None)
            return self._release(op)
        if isinstance(op, CloudForward):
            rows = tuple(row for row in op.rows if not self._put_off(row))
            return _Step(needed=(CloudForward(rows),) if rows else ())
        if isinstance(op, CloudSelect):
            return self._select(op)
        raise LocalProtocolError(f"a cloud was asked for {op}")

    def _put_off(self, row: CloudRow) -> bool:
        if not self._defers(row.session):
            return False
        self._deferred[row.session].extend(*sequences(row))
        return True

    def _select(self, op: CloudSelect) -> _Step:
        known = _Known(
            [self._payload(item) for item in op.encode],
            [self._token(*asked) for asked in op.choose],
        )
        rest = CloudSelect(
            tuple(item for item, got in zip(op.encode, known.payloads, strict=True) if got is None),
            tuple(asked for asked, got in zip(op.choose, known.tokens, strict=True) if got is None),
        )
        if not rest.encode and not rest.choose:
            return _Step(known.filled(Selected((), ())))
        rows = []
        for session in [*(item.session for item in rest.encode), *(one for one, _ in rest.choose)]:
            told = self._take(session)
            if told is not None:
                rows.append(told.cloud_row(session))
        needed = (CloudForward(tuple(rows)), rest) if rows else (rest,)
        return _Step(known, needed)

    def _payload(self, item: EncodeItem) -> bytes | None:
        if item.session not in self._deferred:
            return None
        position, rounds = self._rounds.get(item.session, (-1, 0))
        round_ = rounds if position == item.position else 0
        self._rounds[item.session] = (item.position, round_ + 1)
        return self._recall.payload(item.session, item.position, round_)

    def _token(self, session: int, position: int) -> int | None:
        row = self._recall.row(session, position) if session in self._deferred else None
        return None if row is None else row.record.token


@dataclass(frozen=True, slots=True)
class _Known:
    """The part of a ``Selected`` that is known; None stands where it is not."""

    payloads: list[bytes | None]
    tokens: list[int | None]

    def filled(self, computed: object) -> Selected:
        """Return the whole of it, with what was computed in the gaps."""
        if not isinstance(computed, Selected):
            raise LocalProtocolError(f"a select gave {computed!r}")
        payloads, tokens = iter(computed.payloads), iter(computed.tokens)
        return Selected(
            tuple(next(payloads) if each is None else each for each in self.payloads),
            tuple(next(tokens) if each is None else each for each in self.tokens),
        )


class _Recalled:
    """A call whose values are known in part."""

    __slots__ = ("_pending", "_steps")

    def __init__(self, pending: Pending | None, steps: Sequence[_Step]) -> None:
        self._pending = pending
        self._steps = steps

    def done(self) -> bool:
        return self._pending is None or self._pending.done()

    def result(self) -> object:
        computed = self._pending.result() if self._pending is not None else []
        if not isinstance(computed, list):
            raise LocalProtocolError(f"a host gave {computed!r} for operations")
        values: list[object] = []
        at = 0
        for step in self._steps:
            at += len(step.needed)
            value = computed[at - 1] if step.needed else step.value
            known = step.value
            values.append(
                known.filled(value) if step.needed and isinstance(known, _Known) else value
            )
        return values
