"""A cloud that stalls: for a while it takes nothing and says nothing, and then goes on.

Theory of operation
-------------------
What happens at the cloud in such a while (a frame that comes, a forward that ends, a timer) is held
until its end, and then happens in the same order; how long a frame lay there is the queue at the
cloud. Or frames that come are lost, as where a connection leads nowhere: then those that are sent
again bring the sessions on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Stall:
    """One while in which a cloud does nothing.

    Args:
        from_ns: when it begins, on the run's clock.
        until_ns: when it is over; the cloud goes on in this instant.
        loses: whether frames that come meanwhile are lost; they are held otherwise.
        replica: number of the one that stalls; None for all.
    """

    from_ns: int
    until_ns: int
    loses: bool = False
    replica: int | None = None

    def concerns(self, replica: int) -> bool:
        """Whether a replica stalls."""
        return self.replica is None or self.replica == replica


class Stalls:
    """All of one arm's, looked up by time."""

    def __init__(self, stalls: Sequence[Stall]) -> None:
        """Take them in any order; several at the same time last as long as the last of them."""
        self._stalls = sorted(stalls, key=lambda each: each.from_ns)

    def at(self, now_ns: int) -> Stall | None:
        """Return the stall that is under way, the one that lasts longest; None for none."""
        found = None
        for stall in self._stalls:
            if stall.from_ns > now_ns:
                break
            if now_ns < stall.until_ns and (found is None or stall.until_ns > found.until_ns):
                found = stall
        return found
