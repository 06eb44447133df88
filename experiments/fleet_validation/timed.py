"""Actors that remember how long what they computed took, while they serve a live run."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.values.port import ArmSpec, CloudHost, EdgeHost
from costeer.machine import CloudForward, CloudSelect, EdgeForward


@dataclass(frozen=True, slots=True)
class Timed:
    """One operation, or one batch of a shard's.

    Args:
        kind: ``forward`` or ``select``.
        rows: of the batch; devices, in a shard.
        tokens: new ones, in all branches.
        began_ns: on the host's clock.
        ended_ns: likewise.
    """

    kind: str
    rows: int
    tokens: int
    began_ns: int
    ended_ns: int

    @property
    def took_ns(self) -> int:
        """How long."""
        return self.ended_ns - self.began_ns


class TimedHost:
    """A host of either side that remembers its forwards and selects since the arm began."""

    def __init__(self, make_host: Callable[[], CloudHost | EdgeHost]) -> None:
        """Make the host that is to be timed."""
        self._host: Any = make_host()
        self.timed: list[Timed] = []

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session and every time."""
        self.timed = []
        size: int = self._host.begin_arm(arm)
        return size

    def execute(self, ops: Sequence[Any]) -> list[object]:
        """Values of the operations, in order."""
        began_ns = time.monotonic_ns()
        values: list[object] = self._host.execute(ops)
        counted = _counted(ops)
        if counted is not None:
            self.timed.append(Timed(*counted, began_ns, time.monotonic_ns()))
        return values


def _counted(ops: Sequence[Any]) -> tuple[str, int, int] | None:
    """Return kind, rows and tokens of what a host is asked; None for what is not kept."""
    if all(isinstance(op, EdgeForward) for op in ops):
        return "forward", len(ops), sum(len(run) for op in ops for run in op.tokens)
    if len(ops) == 1 and isinstance(ops[0], CloudForward):
        return "forward", len(ops[0].rows), sum(len(row.tokens) for row in ops[0].rows)
    if len(ops) == 1 and isinstance(ops[0], CloudSelect):
        return "select", len(ops[0].encode) + len(ops[0].choose), 0
    return None


class TimedCloudActor(CloudActor):
    """A cloud that can be asked for its times."""

    def __init__(self, make_host: Callable[[], CloudHost]) -> None:
        """Make the host in the process that this actor lives in."""
        super().__init__(partial(TimedHost, make_host))

    def take_timed(self) -> list[Timed]:
        """Return what was computed since the arm began."""
        return _taken(self._host)


class TimedEdgeActor(EdgeActor):
    """A shard that can be asked for its times."""

    def __init__(self, make_host: Callable[[], EdgeHost]) -> None:
        """Make the host in the process that this actor lives in."""
        super().__init__(partial(TimedHost, make_host))

    def take_timed(self) -> list[Timed]:
        """Return what was computed since the arm began."""
        return _taken(self._host)


def _taken(host: object) -> list[Timed]:
    return host.timed if isinstance(host, TimedHost) else []
