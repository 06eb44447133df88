"""Values from rows of logits that are made or read, not computed: hosts without a model.

Where a row comes from is a ``Rows``: generated from a seed, or recorded from real models. A row is
named by (session, position), whatever tokens were chosen before it.

Legend: V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from actors.values.port import ArmSpec
from actors.values.shadow import Shadow
from actors.values.steering_host import Selector, Steerer
from actors.values.waves import waves_of
from actors.values.witness import Witnessed
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeOp,
    EdgeSteer,
    Release,
)
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


class RowCloudHost:
    """A large model whose logits come from a source of rows.

    Args:
        open_rows: makes the source for the seed of a run.
        shadow: compares every choice with that from the whole row, where given.
    """

    def __init__(self, open_rows: Callable[[int], Rows], shadow: Shadow | None = None) -> None:
        self._open_rows = open_rows
        self._shadow = shadow
        self._rows: dict[int, tuple[int, F32]] = {}
        self._positions = _Positions()
        self._source: Rows | None = None
        self._selector: Selector | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec and seed; return the vocabulary's size."""
        self._rows.clear()
        self._positions = _Positions()
        self._source = self._open_rows(arm.seed)
        self._selector = Selector(arm, self._source.vocab_size, self._shadow)
        return self._source.vocab_size

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [self._execute(op) for op in ops]

    def _execute(self, op: CloudOp | Release) -> object:
        if isinstance(op, CloudForward):
            for row in op.rows:
                self._row(row.session, self._positions.advance(row.session))
            return None
        if isinstance(op, CloudSelect):
            if self._selector is None:
                raise LocalProtocolError("cloud host: an operation before begin_arm")
            return self._selector.select(op, self._used_row)
        self._rows.pop(op.session, None)
        self._positions.forget(op.session)
        return None

    def _used_row(self, session: int, position: int) -> F32:
        self._positions.use(session, position)
        return self._row(session, position)

    def _row(self, session: int, position: int) -> F32:
        if self._source is None:
            raise LocalProtocolError("cloud host: an operation before begin_arm")
        at, row_V = self._rows.get(session, (-1, None))
        if row_V is None or at != position:
            row_V = self._source.logits(session, position)
            self._rows[session] = (position, row_V)
        return row_V


class RowEdgeHost:
    """A small model whose Δ (or, where it decodes alone, whose logits) come from a source of rows.

    Args:
        open_rows: makes the source for the seed of a run.
        shadow: compares every choice with that from the whole row, where given.
    """

    def __init__(self, open_rows: Callable[[int], Rows], shadow: Shadow | None = None) -> None:
        self._open_rows = open_rows
        self._shadow = shadow
        self._rows: dict[int, tuple[int, F32]] = {}
        self._positions = _Positions()
        self._steered = False
        self._source: Rows | None = None
        self._steerer: Steerer | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec and seed; return the vocabulary's size."""
        self._rows.clear()
        self._positions = _Positions()
        self._steered = arm.method.steered
        self._source = self._open_rows(arm.seed)
        self._steerer = Steerer(arm, self._source.vocab_size, self._shadow)
        return self._source.vocab_size

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        if self._steerer is None:
            raise LocalProtocolError("edge host: an operation before begin_arm")
        values: list[object] = [None] * len(ops)
        for wave in waves_of(ops):
            for _, forward in wave.forwards:
                self._row(forward.session, self._positions.advance(forward.session))
            for place, op in wave.others:
                values[place] = self._execute(op, self._steerer)
        return values

    def take_witnessed(self) -> list[Witnessed]:
        """Return what was kept of the arm's witnessed sessions, and forget it."""
        return self._steerer.witness.take() if self._steerer is not None else []

    def _execute(self, op: EdgeOp | Release, steerer: Steerer) -> object:
        if isinstance(op, EdgeDecode):
            steerer.decode(op)
            return None
        if isinstance(op, EdgeSteer):
            return steerer.steer(op, self._used_row(op.session, op.position))
        if isinstance(op, EdgeChoose):
            row_V = self._used_row(op.session, op.position)
            return steerer.choose(op.session, op.position, row_V)
        self._rows.pop(op.session, None)
        self._positions.forget(op.session)
        steerer.forget(op.session)
        return None

    def _used_row(self, session: int, position: int) -> F32:
        self._positions.use(session, position)
        return self._row(session, position)

    def _row(self, session: int, position: int) -> F32:
        """Δ of a steered arm, the small model's logits of another, made once per position."""
        if self._source is None:
            raise LocalProtocolError("edge host: an operation before begin_arm")
        at, row_V = self._rows.get(session, (-1, None))
        if row_V is None or at != position:
            row_V = (
                self._source.delta(session, position)
                if self._steered
                else self._source.logits(session, position, Stream.EDGE_LOGITS)
            )
            self._rows[session] = (position, row_V)
        return row_V
