"""The cloud of a live run: the engine and its model on one thread, its egress on the callers'.

Shards push frames up and pull frames down; both calls come from other threads. A pushed message
carries (shard, epoch, sequence): a repeated one is dropped, one that overtook an earlier one (calls
are carried out at the same time) waits for it. A pull waits until the egress has sent something to
that shard, so a frame leaves at its absolute instant even while a forward runs.

A cloud that fails in the model forgets its sessions by its own clock, and shards know of it by
theirs. So a frame says which of the cloud's lives it is meant for: what is meant for one that is
over is lost, and what comes a moment before the next one begins waits for it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from heapq import heappop, heappush
from threading import Condition, Thread

from actors.device import CloudEgress
from actors.failures import ReplicaFailure
from actors.live.cloud_books import CloudNews
from actors.live.frames import DownFrame, LineId, UpFrame
from actors.live.lives import Lives
from actors.sight import Lookout
from actors.stalls import Stall, Stalls
from actors.values.port import CloudHost
from costeer.cloud import CloudEngine, EngineSpec
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
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

_POLL_S = 0.5
STOP_S = 30.0
"""How long a model may be at its last operation after everything else has ended."""


class LiveCloud:
    """Serves one arm until it is stopped."""

    def __init__(
        self,
        host: CloudHost,
        spec: EngineSpec,
        egress_bps: int,
        clock_ns: Callable[[], int],
        stalls: Sequence[Stall] = (),
        now_ns: int = 0,
        failures: Sequence[ReplicaFailure] = (),
    ) -> None:
        """Start the engine's thread.

        Args:
            host: the model, ready for the arm.
            spec: what the engine serves.
            egress_bps: the way out; 0 for no limit.
            clock_ns: a monotone clock.
            stalls: when nothing is to be done, on the run's clock.
            now_ns: the run's clock.
            failures: when it forgets all and is not there, likewise.
        """
        self._host = host
        self._spec = spec
        self._engine = CloudEngine(spec)
        self._lookout = Lookout(self._engine, spec.limits)
        self._egress = CloudEgress(egress_bps)
        self._clock_ns = clock_ns
        self._stalls = Stalls(stalls)
        self._zero_ns = clock_ns() - now_ns
        self._lives = Lives(failures)
        self._life, _ = self._lives.at(now_ns)
        self._held: set[int] = set()
        self._changed = Condition()
        self._inbox: list[tuple[int, UpFrame]] = []
        self._outbox: dict[LineId, deque[tuple[int, DownFrame]]] = {}
        self._home: dict[int, LineId] = {}
        self._next: dict[LineId, int] = {}
        self._early: dict[tuple[LineId, int], tuple[int, Sequence[UpFrame]]] = {}
        self._timers: list[tuple[int, int]] = []
        self._step_due = False
        self._stopping = False
        self._failure: BaseException | None = None
        self._lateness_ns: list[int] = []
        self._messages = 0
        self._thread = Thread(target=self._guarded_loop, name="live-cloud", daemon=True)
        self._thread.start()

    def push(self, line: LineId, sequence: int, frames: Sequence[UpFrame]) -> None:
        """Take frames from a shard, in the order of their sequence numbers, each once."""
        with self._changed:
            self._raise_failure()
            following = self._next.get(line, 0)
            self._messages += 1
            if sequence >= following:
                self._early[line, sequence] = self._clock_ns(), frames
            while (line, following) in self._early:
                came_ns, early = self._early.pop((line, following))
                for frame in early:
                    self._home[frame.session] = line
                    self._inbox.append((came_ns, frame))
                following += 1
            self._next[line] = following
            self._changed.notify_all()

    def pull(self, line: LineId) -> list[DownFrame]:
        """Wait, half a second at most, for frames that have left for a shard."""
        deadline_ns = self._clock_ns() + int(_POLL_S * 1e9)
        with self._changed:
            while True:
                self._raise_failure()
                now_ns = self._clock_ns()
                waiting = self._outbox.setdefault(line, deque())
                left = []
                while waiting and waiting[0][0] <= now_ns:
                    due_ns, frame = waiting.popleft()
                    self._lateness_ns.append(now_ns - due_ns)
                    left.append(frame)
                if left or now_ns >= deadline_ns or self._stopping:
                    self._messages += bool(left)
                    return left
                until_ns = min(waiting[0][0], deadline_ns) if waiting else deadline_ns
                self._changed.wait((until_ns - now_ns) / 1e9)

    def news(self, batches: int = 0, lateness: int = 0) -> CloudNews:
        """Return what was done so far.

        Args:
            batches: forwards that whoever asks knows of already.
            lateness: frames whose lateness is known to them.
        """
        counters = self._engine.counters
        with self._changed:
            late_ns = self._lateness_ns[lateness:]
        return CloudNews(
            self._lookout.look(self._egress.busy_ns),
            replace(counters, batches=counters.batches[batches:]),
            self._egress.busy_ns,
            late_ns,
            self._messages,
            self.stuck,
        )

    def stop(self, batches: int = 0, lateness: int = 0, limit_s: float = STOP_S) -> CloudNews:
        """End the engine's thread and return what was done, see ``news``.

        Args:
            batches: see there.
            lateness: see there.
            limit_s: how long a model is waited for that is at an operation.
        """
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(limit_s)
        self._raise_failure()
        return self.news(batches, lateness)

    @property
    def stuck(self) -> bool:
        """Whether the engine's thread still runs though it was stopped."""
        return self._stopping and self._thread.is_alive()

    # ------------------------------------------------------------------ the engine's thread

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _guarded_loop(self) -> None:
        try:
            while self._turn():
                pass
        except BaseException as failure:  # noqa: BLE001 - handed to the callers, who raise it
            with self._changed:
                self._failure = failure
                self._changed.notify_all()

    def _turn(self) -> bool:
        with self._changed:
            self._stand_still()
            while not (self._is_wanted() or self._stopping):
                self._changed.wait(self._until_s())
                self._stand_still()
            life, up = self._lives.at(self._now_ns())
            stopping = self._stopping
            if life == self._life:
                arrived = self._take_inbox(up=up)
        if life > self._life:
            self._forget(life)
            return not stopping
        now_ns = self._clock_ns()
        for came_ns, frame in arrived:
            # It may have lain here through a forward: that is a wait for the cloud.
            held_ns = now_ns - came_ns
            event = FrameArrived(frame.frame, frame.transit_ns, held_ns=held_ns)
            self._do(self._engine.handle(event, now_ns))
        if stopping:
            return False
        while self._timer_is_due():
            _, session = heappop(self._timers)
            self._do(self._engine.handle(TimerFired(Timer.IDLE, session), self._clock_ns()))
        if self._step_due and not arrived:
            self._step_due = False
            self._do(self._engine.handle(TimerFired(Timer.STEP, -1), self._clock_ns()))
        return True

    def _stand_still(self) -> None:
        """Do nothing as long as the cloud is to stall."""
        while not (self._stopping or self._failed):
            now_ns = self._now_ns()
            stall = self._stalls.at(now_ns)
            if stall is None:
                return
            if stall.loses:
                self._inbox.clear()
            self._changed.wait(self._lives.sooner_ns(now_ns, stall.until_ns - now_ns) / 1e9)

    def _take_inbox(self, *, up: bool) -> list[tuple[int, UpFrame]]:
        """Take the frames that are meant for this life, once it has begun; later ones stay."""
        arrived, waiting = self._inbox, []
        if self._lives:
            life = self._life
            waiting = [each for each in arrived if each[1].life >= life + up]
            arrived = [each for each in arrived if each[1].life == life and up]
        self._inbox = waiting
        return arrived

    def _forget(self, life: int) -> None:
        """Fail as the model says: forget every session, and what was to be done for it."""
        self._life = life
        for session in sorted(self._held):
            self._host.execute([Release(session)])
        self._held.clear()
        self._timers.clear()
        self._step_due = False
        self._engine = CloudEngine(self._spec, self._engine.counters)
        self._lookout.turn_to(self._engine)

    @property
    def _failed(self) -> bool:
        """Whether it has failed, and not forgotten what it had."""
        return bool(self._lives) and self._lives.at(self._now_ns())[0] > self._life

    def _now_ns(self) -> int:
        return self._clock_ns() - self._zero_ns

    def _is_wanted(self) -> bool:
        return self._has_arrivals() or self._step_due or self._timer_is_due() or self._failed

    def _has_arrivals(self) -> bool:
        if not self._lives or not self._inbox:
            return bool(self._inbox)
        life, up = self._lives.at(self._now_ns())
        return any(frame.life < life or (up and frame.life == life) for _, frame in self._inbox)

    def _timer_is_due(self) -> bool:
        return bool(self._timers) and self._timers[0][0] <= self._clock_ns()

    def _until_s(self) -> float | None:
        """How long nothing will be due; None for ever."""
        wait_ns = max(0, self._timers[0][0] - self._clock_ns()) if self._timers else None
        sooner_ns = self._lives.sooner_ns(self._now_ns(), wait_ns)
        return None if sooner_ns is None else sooner_ns / 1e9

    def _do(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Compute) and isinstance(command.op, CloudOp):
                self._compute(command.op)
                if self._failed:
                    return
            elif isinstance(command, Send):
                self._send(command)
            elif isinstance(command, Release):
                self._held.discard(command.session)
                self._host.execute([command])
            elif isinstance(command, SetTimer) and command.timer is Timer.STEP:
                self._step_due = True
            elif isinstance(command, SetTimer):
                heappush(self._timers, (command.at_ns, command.session))
            else:
                raise LocalProtocolError(f"live: the engine has no command {command!r}")

    def _compute(self, op: CloudOp) -> None:
        if self._lives and isinstance(op, CloudForward):
            self._held.update(row.session for row in op.rows)
        began_ns = self._clock_ns()
        (value,) = self._host.execute([op])
        ended_ns = self._clock_ns()
        if not self._failed:
            done = ComputeDone(op, value, ended_ns - began_ns)
            self._do(self._engine.handle(done, ended_ns))

    def _send(self, command: Send) -> None:
        with self._changed:
            now_ns = self._clock_ns()
            due_ns = self._egress.depart(now_ns, len(command.frame))
            frame = DownFrame(
                command.session,
                command.frame,
                command.payload_bytes,
                due_ns - now_ns,
                command.trace,
            )
            home = self._home[command.session]
            self._outbox.setdefault(home, deque()).append((due_ns, frame))
            self._changed.notify_all()
