"""The lives of a replica that fails in the model and comes back, looked up by time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from typing import overload

from actors.failures import ReplicaFailure


class Lives:
    """All of one replica's in an arm: a life ends when it fails, and the next one begins later."""

    def __init__(self, failures: Sequence[ReplicaFailure]) -> None:
        """Take its failures, which do not overlap, in any order."""
        ordered = sorted(failures, key=lambda each: each.at_ns)
        self._ends_ns = [each.at_ns for each in ordered]
        self._begins_ns = [each.back_ns for each in ordered if each.back_ns is not None]

    def __bool__(self) -> bool:
        """Whether it fails at all."""
        return bool(self._ends_ns)

    def at(self, now_ns: int) -> tuple[int, bool]:
        """Return the number of the life that it is in, or of the one to come, and which it is.

        Returns:
            How many lives have ended, and whether the next one has begun.
        """
        ended = bisect_right(self._ends_ns, now_ns)
        return ended, ended == bisect_right(self._begins_ns, now_ns)

    @overload
    def sooner_ns(self, now_ns: int, wait_ns: int) -> int: ...

    @overload
    def sooner_ns(self, now_ns: int, wait_ns: int | None) -> int | None: ...

    def sooner_ns(self, now_ns: int, wait_ns: int | None) -> int | None:
        """Return how long it is until the next life ends or begins, if it is sooner than a wait."""
        coming = [
            times_ns[at]
            for times_ns in (self._ends_ns, self._begins_ns)
            if (at := bisect_right(times_ns, now_ns)) < len(times_ns)
        ]
        waits = [at_ns - now_ns for at_ns in coming] + ([] if wait_ns is None else [wait_ns])
        return min(waits, default=None)
