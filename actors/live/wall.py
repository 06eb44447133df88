"""The wall's clock as a live driver has it: it reads it, and waits on it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from actors.port import Pending

POLL_S = 0.2


@dataclass(frozen=True, slots=True)
class Wall:
    """A clock, passed in.

    Args:
        now_ns: a monotone clock.
        wait_s: waits so long, more or less.
    """

    now_ns: Callable[[], int]
    wait_s: Callable[[float], None]

    def wait_for(self, pending: Pending, limit_s: float) -> bool:
        """Wait for a call, but not for ever; return whether it is done."""
        until_ns = self.now_ns() + round(limit_s * 1e9)
        while not pending.done() and self.now_ns() < until_ns:
            self.wait_s(POLL_S / 10)
        return pending.done()
