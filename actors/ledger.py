"""What a host was told, so that another can be told the same: sessions as tokens, not as caches.

Theory of operation
-------------------
A model host's state is a function of what it was told: the arm, the tokens of each open session,
and the payloads of its current position. A ledger remembers these, a few integers a token. When
the host dies, one that is made anew is told the arm and then each session in one forward (a prefill
of prompt and chosen tokens); with batch-invariant numerics its logits are those that the dead
host had, so what was asked of the dead one can be asked again and gives the same values. A drafting
session holds rows of several positions and forgets tokens again: of it the forwards themselves are
remembered, and repeated one after the other. What a device's host keeps of a witnessed session for
people to look at is made anew likewise, by repeating all of that session until the arm's end.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import zip_longest

from actors.values.port import ArmSpec
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    EdgeDecode,
    EdgeForward,
    EdgeSteer,
    Op,
    Release,
)

_PREFILL_ROWS = 16
"""Sessions of one forward when a cloud is told again: whole prompts, so few at a time."""
_MOST_SEEN_BYTES = 1 << 26
"""Payloads that are kept of one witnessed session; one that had more is told as the others are."""

Seen = list[EdgeForward | EdgeDecode | EdgeSteer | Release]
"""All that a device's host did for a session, drafting left out."""

Runs = tuple[tuple[int, ...], ...]


@dataclass(slots=True)
class Told:
    """One open session at a host.

    Args:
        tokens: of each branch (one at a cloud), prompt and chosen ones.
        decodes: payloads of the position that the newest forward leads to.
        log: of a drafting session, all that it was told, in order, instead.
        prompts: see ``EdgeForward``.
        seen: of a witnessed session, all that was done for it, beside the rest; None of others.
        seen_bytes: of the payloads in it.
    """

    tokens: list[list[int]] = field(default_factory=list)
    decodes: list[EdgeDecode] = field(default_factory=list)
    log: list[EdgeForward | EdgeDecode | CloudRow] = field(default_factory=list)
    prompts: tuple[int, ...] = ()
    seen: Seen | None = None
    seen_bytes: int = 0

    def see(self, op: EdgeForward | EdgeDecode | EdgeSteer | Release) -> None:
        """Keep what is done for a witnessed session."""
        if self.seen is None:
            return
        self.seen.append(op)
        self.seen_bytes += len(op.payload) if isinstance(op, EdgeDecode) else 0
        if self.seen_bytes > _MOST_SEEN_BYTES:
            self.seen = None

    def extend(self, runs: Runs, starts: Sequence[int], prompts: tuple[int, ...] = ()) -> None:
        """Add the tokens of a forward."""
        self.prompts = prompts or self.prompts
        while len(self.tokens) < len(runs):
            self.tokens.append([])
        # A prompt's chunks have no second sequence yet: these come first.
        for branch, run, start in zip(self.tokens, runs, starts, strict=False):
            del branch[start:]
            branch.extend(run)
        self.decodes = []

    def edge_forward(self, session: int) -> EdgeForward:
        """Return the one forward that brings a small model to where the session is."""
        runs = tuple(tuple(branch) for branch in self.tokens)
        return EdgeForward(session, runs, (0,) * len(runs), prompts=self.prompts)

    def cloud_row(self, session: int) -> CloudRow:
        """Return the one row that brings a large model to where the session is."""
        tokens, *guide = (tuple(sequence) for sequence in self.tokens)
        return CloudRow(session, tokens, 0, guide=guide[0] if guide else ())

    def decode(self, op: EdgeDecode) -> None:
        """Add a payload; those of earlier positions are over, but for a drafting session."""
        if self.log:
            self.log.append(op)
            return
        self.decodes = [each for each in self.decodes if each.position == op.position]
        self.decodes.append(op)


def sequences(row: CloudRow) -> tuple[Runs, tuple[int, ...]]:
    """Return a row's new tokens by sequence, and where each goes on."""
    if not row.guide:
        return (row.tokens,), (row.start,)
    return (row.tokens, row.guide), (row.start, row.guide_start)


class Ledger:
    """What one host was told since its arm began."""

    def __init__(self) -> None:
        """Begin with nothing told."""
        self.arm: ArmSpec | None = None
        self._sessions: dict[int, Told] = {}
        self._ended: list[Seen] = []
        self._at_cloud = False

    @property
    def open_sessions(self) -> int:
        """Sessions that a new host would have to be told."""
        return len(self._sessions)

    def begin_arm(self, arm: ArmSpec) -> None:
        """A host was told of an arm: every session before is forgotten."""
        self.arm = arm
        self._sessions.clear()
        self._ended.clear()

    def carried_out(self, ops: Sequence[Op | Release]) -> None:
        """A host has carried operations out."""
        for op in ops:
            if isinstance(op, CloudForward):
                self._at_cloud = True
                self._forwarded(op)
            elif isinstance(op, EdgeForward | EdgeDecode | EdgeSteer):
                self._done(op)
            elif isinstance(op, Release):
                told = self._told(op.session)
                told.see(op)
                if told.seen is not None:
                    self._ended.append(told.seen)
                del self._sessions[op.session]

    def _done(self, op: EdgeForward | EdgeDecode | EdgeSteer) -> None:
        told = self._told(op.session)
        told.see(op)
        if isinstance(op, EdgeDecode):
            told.decode(op)
        elif isinstance(op, EdgeForward) and op.span is None:
            told.extend(op.tokens, op.starts, op.prompts)
        elif isinstance(op, EdgeForward):
            told.log.append(op)

    def _forwarded(self, op: CloudForward) -> None:
        for row in op.rows:
            told = self._told(row.session)
            if row.span is None:
                told.extend(*sequences(row))
            else:
                told.log.append(row)

    def again(self) -> list[Op | Release]:
        """Return what brings a host that knows no session to where the last one was."""
        logs = [told.log for told in self._sessions.values()]
        if self._at_cloud:
            rows = [
                told.cloud_row(session) for session, told in self._sessions.items() if told.tokens
            ]
            batches = [rows[at : at + _PREFILL_ROWS] for at in range(0, len(rows), _PREFILL_ROWS)]
            batches += [
                [row for row in step if isinstance(row, CloudRow)] for step in zip_longest(*logs)
            ]
            return [CloudForward(tuple(batch)) for batch in batches]
        ops: list[Op | Release] = [op for seen in self._ended for op in seen]
        for session, told in self._sessions.items():
            if told.tokens and not told.seen:
                ops.append(told.edge_forward(session))
        for told in self._sessions.values():
            if told.seen:
                ops.extend(told.seen)
                continue
            ops.extend(told.decodes)
            ops.extend(op for op in told.log if not isinstance(op, CloudRow))
        return ops

    def _told(self, session: int) -> Told:
        told = self._sessions.get(session)
        if told is None:
            told = self._sessions[session] = Told()
            if self.arm is not None and session in self.arm.witnessed:
                told.seen = []
        return told


def operations(given: object) -> Sequence[Op | Release]:
    """Check what was handed over as operations.

    Raises:
        LocalProtocolError: it is no sequence.
    """
    if isinstance(given, list | tuple):
        return given
    raise LocalProtocolError(f"a host was asked to execute {given!r}")
