"""KV memory that an engine's sessions share: who holds some, who waits for it, who gives it up.

Memory is KV tokens. There are two ways to share it:

* A session *reserves* prompt + max new tokens when it is admitted, so that an admitted session can
  always run to its end. Nobody is ever evicted.
* A session *holds* its present text (``EngineLimits.preempts``). More sessions fit, and texts grow:
  what is held may exceed the memory between two steps. Before a step begins, sessions are evicted,
  the one admitted last first, until it suffices. An evicted session loses its cache. It waits in
  front of all that were never admitted, from when it has something to compute: at once, or when its
  device speaks. Then its text is run again, chosen tokens and all.

What does not fit waits, first come, first served.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

from costeer.schedule import admit, evict

if TYPE_CHECKING:
    from costeer.serving import EngineLimits, Session


class Memory:
    """Reserved KV tokens and the sessions that wait for some.

    Attributes:
        waiting: sessions that were never admitted.
        evicted: sessions that were, and have something to compute.
    """

    __slots__ = ("_admitted", "_free_tokens", "_limits", "evicted", "waiting")

    def __init__(self, limits: EngineLimits) -> None:
        """Make an empty memory."""
        self._limits = limits
        self._free_tokens = limits.kv_tokens
        self._admitted: dict[Session, None] = {}
        self.waiting: deque[Session] = deque()
        self.evicted: deque[Session] = deque()

    @property
    def admitted(self) -> int:
        """Sessions that hold memory."""
        return len(self._admitted)

    @property
    def reserved_tokens(self) -> int:
        """KV tokens reserved by admitted sessions."""
        return self._limits.kv_tokens - max(0, self._free_tokens)

    @property
    def waiting_sessions(self) -> int:
        """Sessions that wait for memory."""
        return len(self.waiting) + len(self.evicted)

    def needs(self, text_tokens: int, prompt_tokens: int, new_tokens: int) -> int:
        """Return the KV tokens that a session asks for when it is opened.

        Args:
            text_tokens: of its prompt and of what was chosen elsewhere.
            prompt_tokens: of its prompt.
            new_tokens: the most that it may add to it.
        """
        return text_tokens if self._limits.preempts else prompt_tokens + new_tokens

    def has_room(self, needs_tokens: int) -> bool:
        """Whether one more session may come: it fits at once, or may wait."""
        rows = self._limits.max_sessions - self.admitted
        fits = admit([needs_tokens], self._free_tokens, rows) == 1
        return (fits and not self.waiting_sessions) or len(self.waiting) < self._limits.max_waiting

    def admit(self) -> list[Session]:
        """Reserve for those of the waiting, from the front, that now fit; return them."""
        line = [*self.evicted, *self.waiting]
        count = admit(
            [session.needs_tokens for session in line],
            self._free_tokens,
            self._limits.max_sessions - self.admitted,
        )
        for session in line[:count]:
            (self.evicted or self.waiting).popleft()
            self._admitted[session] = None
            self._free_tokens -= session.needs_tokens
        return line[:count]

    def grow(self, session: Session) -> None:
        """Note that a session's text has one token more."""
        if self._limits.preempts:
            session.needs_tokens += 1
            self._free_tokens -= session in self._admitted

    def evict(self) -> list[Session]:
        """Take the memory of sessions while more is held than there is; the oldest comes first."""
        if self._free_tokens >= 0:
            return []
        youngest = list(reversed(self._admitted))
        count = evict([session.needs_tokens for session in youngest], -self._free_tokens)
        evicted = youngest[count - 1 :: -1]
        for session in evicted:
            self.free(session)
        return evicted

    def free(self, session: Session) -> None:
        """Take back what an admitted session reserved."""
        del self._admitted[session]
        self._free_tokens += session.needs_tokens

    def forget(self, session: Session) -> None:
        """Take a session that waits out of its line."""
        (self.evicted if session in self.evicted else self.waiting).remove(session)
