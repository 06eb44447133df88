"""The cloud engine on an event loop: its commands carried out, its model beside the loop."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

from actors.sockets.worker import Computed, Worker
from actors.values.port import CloudHost
from costeer.cloud import CloudEngine, EngineCounters, EngineSpec
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudOp,
    Command,
    Compute,
    ComputeDone,
    FrameArrived,
    Release,
    Send,
    SetTimer,
    Timer,
    TimerFired,
)


class EngineLoop:
    """Feeds one engine; all calls come from the thread of the event loop."""

    def __init__(
        self,
        host: CloudHost,
        spec: EngineSpec,
        deliver: Callable[[Send], None],
        clock_ns: Callable[[], int],
    ) -> None:
        """Make an engine without sessions.

        Args:
            host: the model, ready for the arm.
            spec: what the engine serves.
            deliver: hands a frame to whoever holds the session's connection.
            clock_ns: a monotone clock.
        """
        self._loop = asyncio.get_running_loop()
        self._engine = CloudEngine(spec)
        self._worker: Worker[CloudOp] = Worker(host, clock_ns)
        self._deliver = deliver
        self._clock_ns = clock_ns
        self._under_way: set[asyncio.Future[object]] = set()
        self._idle: dict[int, asyncio.TimerHandle] = {}
        self.failed: asyncio.Future[None] = self._loop.create_future()

    @property
    def counters(self) -> EngineCounters:
        """What the engine counted."""
        return self._engine.counters

    @property
    def open_sessions(self) -> int:
        """Sessions that hold or wait for memory."""
        return self._engine.open_sessions

    def frame(self, frame: bytes) -> bool:
        """Take a frame from a device; return whether the engine had a use for it."""
        counters = self._engine.counters
        before = counters.dropped_frames + counters.refused_sessions
        self._do(self._engine.handle(FrameArrived(frame, 0), self._clock_ns()))
        return counters.dropped_frames + counters.refused_sessions == before

    def abandon(self, session: int) -> bool:
        """End a session whose device is gone; return whether it was under way."""
        before = self._engine.open_sessions
        self._do(self._engine.abandon(session, self._clock_ns()))
        timer = self._idle.pop(session, None)
        if timer is not None:
            timer.cancel()
        return self._engine.open_sessions < before

    def fail(self, failure: BaseException | None) -> None:
        """Let ``failed`` raise a failure of ours; the first one counts."""
        if failure is not None and not self.failed.done():
            self.failed.set_exception(failure)

    def close(self) -> None:
        """Wait for the model's thread."""
        self._worker.close()
        self.failed.cancel()

    def _do(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Compute) and isinstance(command.op, CloudOp):
                self._start(self._finish(command.op, self._worker.compute([command.op])))
            elif isinstance(command, Send):
                self._deliver(command)
            elif isinstance(command, Release):
                self._start(self._worker.release(command))
            elif isinstance(command, SetTimer) and command.timer is Timer.STEP:
                # After what other sockets have brought by now, so that it shares the batch.
                self._loop.call_soon(self._fire, Timer.STEP, -1)
            elif isinstance(command, SetTimer):
                self._wake(command)
            else:
                raise LocalProtocolError(f"serve: the engine has no command {command!r}")

    def _wake(self, command: SetTimer) -> None:
        """Set a session's timer; the newest counts."""
        old = self._idle.get(command.session)
        if old is not None:
            old.cancel()
        after_s = max(0, command.at_ns - self._clock_ns()) / 1e9
        self._idle[command.session] = self._loop.call_later(
            after_s, self._fire, command.timer, command.session
        )

    def _fire(self, timer: Timer, session: int) -> None:
        try:
            self._do(self._engine.handle(TimerFired(timer, session), self._clock_ns()))
        except LocalProtocolError as failure:
            self.fail(failure)

    async def _finish(self, op: CloudOp, under_way: asyncio.Future[Computed]) -> None:
        (value,), began_ns, ended_ns = await under_way
        done = ComputeDone(op, value, ended_ns - began_ns)
        self._do(self._engine.handle(done, self._clock_ns()))

    def _start(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[object]) -> None:
        self._under_way.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self.fail(task.exception())
