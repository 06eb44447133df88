"""A shard of a live run: many devices, one small model, a thread and a line to each replica.

The main thread feeds the session machines and computes for them, many devices in one batch; what
crosses to a replica and back is its line's business (``line``). A device's frames take the line of
the replica that serves it. How late something was handed over against its instant is recorded.

The threads end by themselves when all requests have ended and the last frames, the CLOSEs, have
gone up; or at once when the shard is stopped before, or when one of them fails. When a replica's
host dies (``lose``), its devices open their sessions again at others, on connections that stay
warm; where there is none they wait until ``gain`` names its successor.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from heapq import heappop, heappush
from itertools import count
from threading import Condition, Thread

from actors.device import DeviceRun, link_of
from actors.live.frames import Clouds, DownFrame, LineId, UpFrame
from actors.live.line import CloudLine, LineHooks
from actors.live.sessions import Hooks, Sessions, ShardNews
from actors.plan import ArmPlan, CodecTerms
from actors.port import Handle
from actors.progress import Resumption
from actors.values.port import EdgeHost
from costeer.machine import FrameArrived, Release, Send

_JOIN_S = 5.0
"""How long a cloud that does not answer is waited for when all else has ended."""


class LiveShard:
    """Runs some of an arm's devices until all their requests have ended."""

    def __init__(
        self,
        host: EdgeHost,
        plan: ArmPlan,
        terms: CodecTerms,
        shard: int,
        clouds: Clouds,
        clock_ns: Callable[[], int],
        resumption: Resumption | None = None,
    ) -> None:
        """Start the threads.

        Args:
            host: the small model, ready for the arm.
            plan: the arm; its devices are this shard's alone.
            terms: the arm's codec.
            shard: this shard's number.
            clouds: where frames go.
            clock_ns: a monotone clock.
            resumption: how far the devices have come; None for a run that begins.
        """
        self._host = host
        self._shard = shard
        self._zero_ns = clock_ns() - (resumption.now_ns if resumption else 0)
        self._clock_ns = clock_ns
        self._changed = Condition()
        self._order = count()
        self._due: list[tuple[int, int, Callable[[], None]]] = []
        self._stopping = False
        self._failure: BaseException | None = None
        self._epoch = resumption.epoch if resumption else 0
        self._lost: set[int] = set()
        self._down = set(clouds.dead)
        self._clouds = list(clouds.handles)
        self._lives = [0] * len(self._clouds)
        devices = [DeviceRun(each, link_of(each, plan.arm.seed)) for each in plan.devices]
        for device in devices:
            device.note_cloud(plan)
        hooks = Hooks(self._now_ns, self._at, self._send, self._release)
        self._sessions = Sessions(
            plan, terms, devices, hooks, self._note_return, clouds.own, len(self._clouds)
        )
        self._sessions.plan_first(resumption, clouds.dead)
        self._lines: list[CloudLine] = []
        self._line_to: dict[int, CloudLine] = {}
        if self._clouds:
            for replica in sorted({each.replica for each in plan.devices} - clouds.dead):
                self._connect(replica)
        self._thread = Thread(target=self._guarded_run, name="live-shard", daemon=True)
        own = tuple(self._lines)
        # First: a cloud that fails at once must not stop what is already due.
        self._thread.start()
        for line in own:
            line.start()

    def poll(self) -> ShardNews:
        """Return what happened since the last call."""
        news = self._sessions.take_news(self._failure)
        news.clouds_lost = frozenset(self._lost)
        return news

    def lose(self, replica: int) -> None:
        """Open a replica's sessions again at others: its host has died."""
        with self._changed:
            line = self._line_to.pop(replica, None)
            if line is not None:
                line.close()
            self._lost.discard(replica)
            self._down.add(replica)
            self._at(self._now_ns(), partial(self._sessions.lose, replica))
            self._changed.notify_all()

    def gain(self, replica: int, cloud: Handle) -> None:
        """Send sessions to a replica again: its host was made anew, and knows none of them."""
        with self._changed:
            self._clouds[replica] = cloud
            self._down.discard(replica)
            self._at(self._now_ns(), partial(self._sessions.gain, replica))
            self._changed.notify_all()

    def stop(self) -> ShardNews:
        """End the threads and return what was left; requests that had come are censored."""
        with self._changed:
            self._stopping = self._stopping or self._sessions.open_requests > 0
            self._changed.notify_all()
        self._wake_lines()
        self._thread.join()
        for line in self._lines:
            line.join(_JOIN_S)
        self._sessions.censor()
        return self.poll()

    # ------------------------------------------------------------------ the lines

    def _connect(self, replica: int) -> CloudLine:
        hooks = LineHooks(
            now_ns=self._now_ns,
            stopping=lambda: self._stopping,
            over=self._over,
            deliver=self._deliver,
            note_late=self._sessions.note_late,
            lost=lambda: self._lose(replica, line),
            failed=self._fail,
        )
        line = CloudLine(self._clouds[replica], LineId(self._shard, self._epoch), hooks)
        self._line_to[replica] = line
        self._lines.append(line)
        return line

    def _lose(self, replica: int, line: CloudLine) -> None:
        with self._changed:
            # One that was closed meanwhile tells nothing of its successor.
            if self._line_to.get(replica) is line:
                self._lost.add(replica)

    def _note_return(self, replica: int) -> None:
        self._lives[replica] += 1

    def _deliver(self, frames: Sequence[DownFrame]) -> None:
        """Put what the cloud sent on the access links."""
        with self._changed:
            now_ns = self._now_ns()
            for frame in frames:
                self._receive(frame, now_ns)
            self._changed.notify_all()

    def _wake_lines(self) -> None:
        for line in self._lines:
            line.wake()

    # ------------------------------------------------------------------ threads

    def _guarded_run(self) -> None:
        try:
            self._run()
        except BaseException as failure:  # noqa: BLE001 - told to whoever polls, who raises it
            self._fail(failure)
        self._wake_lines()

    def _fail(self, failure: BaseException) -> None:
        with self._changed:
            self._failure = self._failure or failure
            self._stopping = True
            self._changed.notify_all()
        self._wake_lines()

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
            replica = device.replica
            life = self._lives[replica]
            frame = UpFrame(command.session, command.frame, arrival_ns - now_ns, life)
            line = self._line_to.get(replica)
            if line is None:
                if replica in self._down:
                    return  # it is lost, as what was under way there is
                line = self._connect(replica)
                line.start()
            line.send(arrival_ns, frame)

    def _compute(self) -> None:
        if self._sessions.has_work:
            batch = self._sessions.next_batch()
            began_ns = self._now_ns()
            values = self._host.execute([op for op, _ in batch])
            self._sessions.computed(batch, values, began_ns)

    def _release(self, command: Release) -> None:
        self._host.execute([command])
