"""One thread that computes beside an event loop, so that sockets are served meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Generic, NamedTuple, Protocol, TypeVar

from costeer.machine import Release

OpT_contra = TypeVar("OpT_contra", contravariant=True)
OpT = TypeVar("OpT")


class Host(Protocol[OpT_contra]):
    """What computes operations of one kind."""

    def execute(self, ops: Sequence[OpT_contra | Release]) -> list[object]:
        """Values of the operations, in order."""
        ...


class Computed(NamedTuple):
    """A batch's values, and when the host began and ended."""

    values: list[object]
    began_ns: int
    ended_ns: int


class Worker(Generic[OpT]):
    """Has a host compute, one batch after the other, in the order asked."""

    def __init__(self, host: Host[OpT], clock_ns: Callable[[], int]) -> None:
        """Start the thread.

        Args:
            host: computes; touched by that thread alone from now on.
            clock_ns: a monotone clock.
        """
        self._host = host
        self._clock_ns = clock_ns
        self._thread = ThreadPoolExecutor(1, "costeer-compute")

    def compute(self, ops: Sequence[OpT]) -> asyncio.Future[Computed]:
        """Have operations computed."""
        return asyncio.get_running_loop().run_in_executor(self._thread, self._timed, ops)

    def release(self, command: Release) -> asyncio.Future[list[object]]:
        """Have a session's slots freed."""
        loop = asyncio.get_running_loop()
        return loop.run_in_executor(self._thread, self._host.execute, [command])

    def close(self) -> None:
        """End the thread when it has computed what it was asked for."""
        self._thread.shutdown()

    def _timed(self, ops: Sequence[OpT]) -> Computed:
        began_ns = self._clock_ns()
        values = self._host.execute(ops)
        return Computed(values, began_ns, self._clock_ns())
