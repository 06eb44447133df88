"""Each call once: a repeated one is answered with the reply of the first.

Ray delivers at most once, or tells that it does not know; whoever asked then has to ask again. So
every call of a host carries a stamp, and the host keeps each reply until its caller says that it
has come. A caller has a bounded number of calls unanswered, so a host keeps a bounded number of
replies; what a caller no longer waits for is dropped, and is refused if it is repeated late.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from threading import Event, Lock

from costeer.errors import LocalProtocolError

WINDOW = 64
"""Calls that one caller may have unanswered."""
CALLERS = 256
"""Callers that are remembered: those that were silent longest are forgotten, for they are gone."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """What names a call.

    Args:
        caller: who asks: a shard, or the driver; unique, also among its own earlier lives.
        epoch: of the host, as the caller knows it: one more each time that it was made again.
        sequence: number of the call, from 0, for this caller and epoch.
        answered: all calls below this number have been answered.
    """

    caller: str
    epoch: int
    sequence: int
    answered: int


class _Reply:
    """A call that has begun: its value, once it is there."""

    __slots__ = ("done", "failure", "value")

    def __init__(self) -> None:
        self.done = Event()
        self.value: object = None
        self.failure: Exception | None = None


class Once:
    """The calls of all callers of one host."""

    def __init__(self) -> None:
        """Begin with no caller."""
        self._lock = Lock()
        self._replies: dict[tuple[str, int], dict[int, _Reply]] = {}
        self._answered: dict[tuple[str, int], int] = {}

    def call(self, stamp: Stamp, carry_out: Callable[[], object]) -> object:
        """Carry a call out, or wait for what its first time gave.

        Args:
            stamp: names it.
            carry_out: does it; what it raises is the reply as well.

        Raises:
            LocalProtocolError: its caller has had the reply, or leaves too many unanswered.
            Exception: what the first time raised.
        """
        reply, first = self._reply_of(stamp)
        if first:
            try:
                reply.value = carry_out()
            except Exception as failure:  # noqa: BLE001 - the reply of every time
                reply.failure = failure
            reply.done.set()
        reply.done.wait()
        if reply.failure is not None:
            raise reply.failure
        return reply.value

    @property
    def kept(self) -> int:
        """Replies that are kept."""
        return sum(map(len, self._replies.values()))

    def _reply_of(self, stamp: Stamp) -> tuple[_Reply, bool]:
        key = (stamp.caller, stamp.epoch)
        with self._lock:
            # Whoever called last stands last.
            replies = self._replies[key] = self._replies.pop(key, {})
            if len(self._replies) > CALLERS:
                gone = next(iter(self._replies))
                del self._replies[gone], self._answered[gone]
            answered = max(self._answered.get(key, 0), stamp.answered)
            self._answered[key] = answered
            for sequence in [each for each in replies if each < answered]:
                del replies[sequence]
            if stamp.sequence < answered:
                raise LocalProtocolError(f"{stamp}: was answered, and came again")
            found = replies.get(stamp.sequence)
            if found is not None:
                return found, False
            if len(replies) >= WINDOW:
                raise LocalProtocolError(f"{stamp}: {len(replies)} calls are unanswered")
            made = replies[stamp.sequence] = _Reply()
            return made, True
