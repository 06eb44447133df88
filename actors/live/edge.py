"""A shard of a live run: many devices, one small model, three threads.

The main thread feeds the session machines and computes for them, many devices in one batch. The
sender hands each frame over to the cloud when its access link has carried it, at the absolute
instant, even while the main thread computes. The receiver waits for what the cloud sends. How late
something was handed over against its instant is recorded.

The threads end by themselves when all requests have ended and the last frames, the CLOSEs, have
gone up; or at once when the shard is stopped before, or when one of them fails.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread

from actors.device import DeviceRun, link_of
from actors.live.frames import DownFrame, UpFrame
from actors.live.sessions import Hooks, Sessions, ShardNews
from actors.plan import ArmPlan, CodecTerms
from actors.port import Handle, Pending
from actors.values.port import EdgeHost
from costeer.errors import LocalProtocolError
from costeer.machine import FrameArrived, Release, Send

_OUTSTANDING = 8
"""Messages to the cloud that may be unanswered."""


class LiveShard:
    """Runs some of an arm's devices until all their requests have ended."""

    def __init__(
        self,
        host: EdgeHost,
        plan: ArmPlan,
        terms: CodecTerms,
        shard: int,
        cloud: Handle | None,
        clock_ns: Callable[[], int],
    ) -> None:
        """Start the threads.

        Args:
            host: the small model, ready for the arm.
            plan: the arm; its devices are this shard's alone.
            terms: the arm's codec.
            shard: this shard's number.
            cloud: where frames go; None for methods without a cloud.
            clock_ns: a monotone clock.
        """
        self._host = host
        self._shard = shard
        self._cloud = cloud
        self._zero_ns = clock_ns()
        self._clock_ns = clock_ns
        self._changed = Condition()
        self._order = count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._outgoing: list[tuple[int, int, UpFrame]] = []
        self._stopping = False
        self._failure: BaseException | None = None
        devices = [DeviceRun(each, link_of(each, plan.arm.seed)) for each in plan.devices]
        hooks = Hooks(self._now_ns, self._at, self._send, self._release)
        self._sessions = Sessions(plan, terms, devices, hooks)
        self._sessions.plan_first()
        loops = [self._run] if cloud is None else [self._run, self._send_loop, self._receive_loop]
        self._threads = [
            Thread(target=self._guarded, args=(loop,), name=f"live{loop.__name__}", daemon=True)
            for loop in loops
        ]
        for thread in self._threads:
            thread.start()

    def poll(self) -> ShardNews:
        """Return what happened since the last call."""
        return self._sessions.take_news(self._failure)

    def stop(self) -> ShardNews:
        """End the threads and return what was left; requests that had come are censored."""
        with self._changed:
            self._stopping = self._stopping or self._sessions.open_requests > 0
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()
        self._sessions.censor()
        return self.poll()

    # ------------------------------------------------------------------ threads

    def _guarded(self, loop: Callable[[], None]) -> None:
        try:
            loop()
        except BaseException as failure:  # noqa: BLE001 - told to whoever polls, who raises it
            with self._changed:
                self._failure = self._failure or failure
                self._stopping = True
                self._changed.notify_all()

    def _over(self) -> bool:
        return self._stopping or self._sessions.open_requests == 0

    def _run(self) -> None:
        """Feed the machines and compute, one kind of operation at a time."""
        while True:
            with self._changed:
                while not (self._over() or self._sessions.has_work or self._is_due(self._due)):
                    self._changed.wait(self._until_s(self._due))
                if self._over():
                    self._changed.notify_all()
                    return
                handlers = []
                while self._is_due(self._due):
                    handlers.append(heappop(self._due)[2])
            for handler in handlers:
                handler()
            self._compute()

    def _send_loop(self) -> None:
        """Hand frames over to the cloud at their instants."""
        sequence = 0
        pending: list[Pending] = []
        while self._cloud is not None:
            with self._changed:
                while not (self._over() or self._is_due(self._outgoing)):
                    self._changed.wait(self._until_s(self._outgoing))
                # The last CLOSE frames still go up when all requests have ended.
                if self._stopping or not self._outgoing:
                    break
                if not self._is_due(self._outgoing):
                    self._changed.wait(self._until_s(self._outgoing))
                    continue
                now_ns = self._now_ns()
                frames = []
                while self._outgoing and self._outgoing[0][0] <= now_ns:
                    due_ns, _, frame = heappop(self._outgoing)
                    self._sessions.note_late(now_ns - due_ns)
                    frames.append(frame)
            pending.append(self._cloud.submit("push", self._shard, sequence, frames))
            sequence += 1
            if len(pending) == _OUTSTANDING:
                pending.pop(0).result()
        for one in pending:
            one.result()

    def _receive_loop(self) -> None:
        """Take what the cloud sends, put it on the access links, and wait again."""
        while self._cloud is not None and not self._over():
            frames = self._cloud.call("pull", self._shard)
            if not isinstance(frames, list):
                raise LocalProtocolError(f"live: pull returned {frames!r}")
            with self._changed:
                now_ns = self._now_ns()
                for frame in frames:
                    self._receive(frame, now_ns)
                self._changed.notify_all()

    def _receive(self, frame: DownFrame, now_ns: int) -> None:
        device = self._sessions.device_of(frame.session)
        arrival_ns = device.access.down(now_ns, len(frame.frame), frame.payload_bytes).arrival_ns
        transit_ns = frame.transit_ns + arrival_ns - now_ns
        event = FrameArrived(frame.frame, transit_ns, frame.trace)
        self._at(arrival_ns, partial(self._arrive, event, frame.session, arrival_ns))

    # ------------------------------------------------------------------ time

    def _now_ns(self) -> int:
        return self._clock_ns() - self._zero_ns

    def _at(self, due_ns: int, handler: Callable[[], None]) -> None:
        heappush(self._due, (due_ns, next(self._order), handler))

    def _is_due(self, heap: Sequence[tuple[int, int, object]]) -> bool:
        return bool(heap) and heap[0][0] <= self._now_ns()

    def _until_s(self, heap: Sequence[tuple[int, int, object]]) -> float | None:
        return max(0.0, (heap[0][0] - self._now_ns()) / 1e9) if heap else None

    # ------------------------------------------------------------------ main thread

    def _arrive(self, event: FrameArrived, session: int, due_ns: int) -> None:
        now_ns = self._now_ns()
        self._sessions.note_late(now_ns - due_ns)
        self._sessions.tell(self._sessions.device_of(session), event, now_ns)

    def _send(self, device: DeviceRun, command: Send) -> None:
        with self._changed:
            now_ns = self._now_ns()
            arrival_ns = device.access.up(now_ns, len(command.frame)).arrival_ns
            frame = UpFrame(command.session, command.frame, arrival_ns - now_ns)
            heappush(self._outgoing, (arrival_ns, next(self._order), frame))
            self._changed.notify_all()

    def _compute(self) -> None:
        if self._sessions.has_work:
            batch = self._sessions.next_batch()
            began_ns = self._now_ns()
            values = self._host.execute([op for op, _ in batch])
            self._sessions.computed(batch, values, began_ns)

    def _release(self, command: Release) -> None:
        self._host.execute([command])
