"""How long a device waits for its cloud, what it does meanwhile, and when it gives up.

Theory of operation
-------------------
After every event a machine says what it waits for, a position and a round. As long as that is the
same, time runs: when a wait is over, the frames that asked are sent again and the next, longer wait
begins; when the last one is over, the device gives up. What comes changes what is waited for, so an
answer begins everything anew. Repeats are the same bytes, and the cloud drops what it has had.

A timer is not taken back when an answer comes: when it fires it is looked at what is waited for
now, and set again where that is not due. So there is hardly more than one of a session.
"""

from __future__ import annotations

from dataclasses import dataclass

Awaited = tuple[int, int]
"""A position and a round."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long one session waits for an answer.

    Args:
        waits_ns: after the frame itself and after each of its repeats; at least one.
        falls_back: whether the device then finishes the answer by itself, where it has a small
            model that follows the private context.
    """

    waits_ns: tuple[int, ...]
    falls_back: bool = False


class Waiting:
    """What a session waits for, since when, and how often it has asked."""

    __slots__ = ("_awaited", "_due_ns", "_patience", "_since_ns", "_timers_ns", "repeats")

    def __init__(self, patience: Patience) -> None:
        """Wait for nothing."""
        self._patience = patience
        self._awaited: Awaited | None = None
        self._since_ns = 0
        self._due_ns = 0
        self._timers_ns: list[int] = []
        self.repeats = 0
        """Of what is waited for, so far."""

    def watch(self, awaited: Awaited | None, now_ns: int) -> int | None:
        """Take what is waited for now; return when a timer is to fire, None for no new one."""
        if awaited != self._awaited:
            self._awaited = awaited
            self.repeats = 0
            self._since_ns = now_ns
            self._due_ns = now_ns + self._patience.waits_ns[0]
        return self._timer()

    def fired(self, now_ns: int) -> None:
        """Take it that a timer has fired, be it a little early."""
        earliest_ns = min(self._timers_ns, default=now_ns)
        self._timers_ns = [each for each in self._timers_ns if each > max(now_ns, earliest_ns)]

    def is_over(self, now_ns: int) -> bool:
        """Whether a wait is over."""
        return self._awaited is not None and now_ns >= self._due_ns

    def repeat(self, now_ns: int) -> bool:
        """Begin the next wait; False where it was the last one."""
        if self.repeats + 1 == len(self._patience.waits_ns):
            return False
        self.repeats += 1
        self._due_ns = now_ns + self._patience.waits_ns[self.repeats]
        return True

    def reason(self, now_ns: int) -> str:
        """Say why the device gives up."""
        return gave_up(now_ns - self._since_ns, self.repeats + 1)

    def _timer(self) -> int | None:
        due_ns = self._due_ns
        if self._awaited is None or any(each <= due_ns for each in self._timers_ns):
            return None
        self._timers_ns.append(due_ns)
        return due_ns


def gave_up(waited_ns: int, tries: int) -> str:
    """Return why a device gives up that has waited so long, and asked so often."""
    return (
        f"{STALLED}: no answer from the cloud in {waited_ns / 1e9:.3g} s,"
        f" {tries} {'try' if tries == 1 else 'tries'}"
    )


STALLED = "stalled"
"""How the reason of a request begins whose device gave its cloud up."""
