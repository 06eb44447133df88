"""The sessions of an engine: who is there, who is over, who holds memory, and how they end.

An epoch is used once: what is over stays over, and is remembered by the last epoch of each session.
A session that ends while a step runs it keeps its memory until that step is done.
"""

from __future__ import annotations

from costeer.answers import frame_of
from costeer.machine import Command, Release, Send, SetTimer, Timer
from costeer.memory import Memory
from costeer.messages import FrameKind, encode_error, encode_frame
from costeer.serving import EngineCounters, EngineLimits, Session, State
from costeer.steps import Steps


class Population:
    """All sessions of one engine.

    Args:
        limits: of the engine.
        memory: that sessions hold.
        steps: that run them.
        counters: of the engine.
    """

    def __init__(
        self, limits: EngineLimits, memory: Memory, steps: Steps, counters: EngineCounters
    ) -> None:
        self._limits = limits
        self._memory = memory
        self._steps = steps
        self._counters = counters
        self._sessions: dict[int, Session] = {}
        self._over: dict[int, int] = {}

    def get(self, session_id: int) -> Session | None:
        """Return a session that is not over."""
        return self._sessions.get(session_id)

    def last_over(self, session_id: int) -> int:
        """Return the last epoch of a session that is over; -1 if none is."""
        return self._over.get(session_id, -1)

    def end_epoch(self, session_id: int, epoch: int) -> None:
        """Remember that an epoch, and those before it, are over."""
        self._over[session_id] = epoch

    def forget(self, session_id: int) -> None:
        """Remember nothing of a session of which nothing can come any more."""
        self._over.pop(session_id, None)

    def enter(self, session: Session) -> None:
        """Take a new session in; it waits for memory unless there is some."""
        self._sessions[session.session] = session
        self._memory.waiting.append(session)
        self.admit()

    def admit(self) -> None:
        """Give memory to sessions that wait, as far as there is some."""
        admitted = self._memory.admit()
        for session in admitted:
            self._steps.make_ready(session)
        if admitted:
            self._note_peak()

    def wait_again(self, session: Session) -> None:
        """Have an evicted session wait for memory."""
        session.state = State.WAITING
        self._memory.evicted.append(session)

    def make_room(self) -> list[Command]:
        """Evict sessions while more memory is held than there is."""
        if not self._limits.preempts:
            return []
        evicted = self._memory.evict()
        for session in evicted:
            self._counters.preempted_sessions += 1
            self._counters.recomputed_tokens += session.cached
            asked = session.state is not State.AWAY
            self._steps.forget(session)
            session.state = State.EVICTED
            session.cached = session.running_to = 0
            if asked:
                self.wait_again(session)
        if evicted:
            self.admit()
        self._note_peak()
        return [Release(session.session, over=False) for session in evicted]

    def on_idle(self, session_id: int, now_ns: int) -> list[Command]:
        """End a session whose device was silent too long, or look again later."""
        session = self._sessions.get(session_id)
        if session is None or now_ns < session.idle_at_ns:
            return []  # over, or a timer that an earlier epoch had set
        timeout_ns = self._limits.idle_timeout_ns
        # A device that waits for the cloud has no reason to speak.
        silent = session.state in {State.AWAY, State.EVICTED}
        silent_ns = now_ns - session.seen_ns if silent else 0
        if silent_ns < timeout_ns:
            session.idle_at_ns = now_ns + timeout_ns - silent_ns
            return [SetTimer(session.idle_at_ns, Timer.IDLE, session_id)]
        self._counters.timed_out_sessions += 1
        return self.drop(session, self._limits.silence)

    def drop(self, session: Session, reason: str) -> list[Command]:
        """End a session and tell its device why."""
        frame = frame_of(session, FrameKind.ERROR, encode_error(reason))
        return [Send(session.session, encode_frame(frame)), *self.release(session)]

    def release(self, session: Session) -> list[Command]:
        """End a session; its memory is free now, or at the end of the step that it runs in."""
        del self._sessions[session.session]
        self._over[session.session] = session.epoch
        if session.state is State.RUNNING:
            session.state = State.CLOSING
            return []
        return self.free(session)

    def free(self, session: Session) -> list[Command]:
        """Give back what a session that is over holds."""
        if session.state in {State.WAITING, State.EVICTED}:
            known = session not in self._memory.waiting
            if session.state is State.WAITING:
                self._memory.forget(session)
            session.state = State.RELEASED
            self.admit()
            return [Release(session.session)] if known else []
        self._steps.forget(session)
        session.state = State.RELEASED
        self._memory.free(session)
        self.admit()
        return [Release(session.session)]

    def _note_peak(self) -> None:
        counters = self._counters
        counters.peak_kv_tokens = max(counters.peak_kv_tokens, self._memory.reserved_tokens)
