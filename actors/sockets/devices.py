"""The devices' end: one connection each, one small model between them.

An event loop on a thread of its own takes what comes down and feeds the session machines; what
they want computed runs beside it, many devices in one batch. The thread that called polls for rows
as that of a live run does, so ``actors.live.driver`` drives both.

How long a frame was under way is not known: no clock is compared across machines. What an exchange
took beyond the cloud's own part is the network's, half of it each way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from threading import Event, Thread

from actors.device import DeviceRun
from actors.live.sessions import Hooks, Sessions, ShardNews
from actors.plan import ArmPlan, CodecTerms
from actors.sockets.connecting import CloudAddress, Opened, connect, expect
from actors.sockets.protocol import (
    HEADER_BYTES,
    DownRecord,
    RecordKind,
    decode_down,
    encode_record,
    welcome,
)
from actors.sockets.worker import Worker
from actors.values.port import EdgeHost
from costeer.errors import LocalProtocolError, RemoteProtocolError
from costeer.machine import EdgeOp, FrameArrived, Release, Send
from netsim.link import Delivery
from netsim.wire import RAW_TCP, wire_cost

_GOODBYE_TIMEOUT_S = 5.0
_DOWN_EXTRA_BYTES = HEADER_BYTES + 28
"""What a DOWN record adds to its frame."""


class MeteredSocket:
    """A device's connection as its books see it: bytes counted as TCP carries them, no delay."""

    def send_up(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Count a frame up."""
        return _counted(now_ns, frame_bytes + HEADER_BYTES)

    def send_down(self, now_ns: int, frame_bytes: int) -> Delivery:
        """Count a frame down."""
        return _counted(now_ns, frame_bytes + _DOWN_EXTRA_BYTES)


def _counted(now_ns: int, record_bytes: int) -> Delivery:
    cost = wire_cost(record_bytes, RAW_TCP)
    return Delivery(now_ns, cost.bytes, cost.packets, cost.ack_bytes, now_ns)


@dataclass(slots=True, eq=False)
class _Connection:
    """A device's connection.

    Args:
        reader: what comes.
        writer: what goes.
        run: the device.
        asked_ns: when the frame went up that has no answer yet; None when all have one.
        downlink_ns: what the last answered frame is taken to have spent on its way down.
    """

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    run: DeviceRun
    asked_ns: int | None = None
    downlink_ns: int = 0


class ConnectedDevices:
    """Runs devices against a cloud that listens, until all their requests have ended."""

    def __init__(
        self,
        host: EdgeHost,
        plan: ArmPlan,
        terms: CodecTerms,
        cloud: CloudAddress,
        clock_ns: Callable[[], int],
    ) -> None:
        """Connect every device, then let their users ask.

        Args:
            host: the small model, ready for the arm.
            plan: the arm.
            terms: its codec.
            cloud: where to connect.
            clock_ns: a monotone clock.

        Raises:
            ConfigError: nobody listens there, another arm is served, or the cloud refuses.
        """
        self._plan = plan
        self._terms = terms
        self._cloud = cloud
        self._clock_ns = clock_ns
        self._zero_ns = clock_ns()
        self._worker: Worker[EdgeOp] = Worker(host, clock_ns)
        self._connections: dict[int, _Connection] = {}
        self._sessions: Sessions | None = None
        self._computing = False
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._over = asyncio.Event()
        self._connected = Event()
        self._tasks: set[asyncio.Future[object]] = set()
        self._thread = Thread(target=self._run, name="live-devices", daemon=True)
        self._thread.start()
        self._connected.wait()
        if self._sessions is None:
            self._thread.join()
            raise self._failure or LocalProtocolError("devices: not connected, for no reason")

    def poll(self) -> ShardNews:
        """Return what happened since the last call."""
        return self._running.take_news(self._failure)

    def stop(self) -> ShardNews:
        """Close the connections and return what was left; requests that had come are censored."""
        with suppress(RuntimeError):  # the loop has ended by itself
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join()
        self._running.censor()
        return self.poll()

    @property
    def _running(self) -> Sessions:
        if self._sessions is None:
            raise LocalProtocolError("devices: not connected")
        return self._sessions

    # ------------------------------------------------------------------ the loop's thread

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as failure:  # noqa: BLE001 - told to whoever polls, who raises it
            self._failure = self._failure or failure
        finally:
            self._worker.close()
            self._loop.close()
            self._connected.set()

    async def _main(self) -> None:
        ours = welcome(self._plan, self._terms)
        connecting = [connect(each.device, self._cloud, ours) for each in self._plan.devices]
        opened = await asyncio.gather(*connecting, return_exceptions=True)
        try:
            failures = [each for each in opened if isinstance(each, BaseException)]
            if failures:
                raise failures[0]
            self._begin([each for each in opened if not isinstance(each, BaseException)])
            self._connected.set()
            await self._over.wait()
        finally:
            for task in tuple(self._tasks):
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            writers = [each[1] for each in opened if not isinstance(each, BaseException)]
            for writer in writers:
                writer.write(encode_record(RecordKind.BYE, b""))
                writer.close()
            closing = asyncio.gather(
                *(writer.wait_closed() for writer in writers), return_exceptions=True
            )
            with suppress(TimeoutError):
                await asyncio.wait_for(closing, _GOODBYE_TIMEOUT_S)

    def _begin(self, opened: Sequence[Opened]) -> None:
        runs = []
        for one, (reader, writer, theirs) in zip(self._plan.devices, opened, strict=True):
            run = DeviceRun(one, MeteredSocket(), theirs.epoch)
            runs.append(run)
            self._connections[one.device] = _Connection(reader, writer, run)
        hooks = Hooks(self._now_ns, self._at, self._send, self._release)
        self._sessions = Sessions(self._plan, self._terms, runs, hooks)
        # Set-up is over: time counts from here.
        self._zero_ns = self._clock_ns()
        for connection in self._connections.values():
            self._start(self._receive(connection))
        self._sessions.plan_first()

    async def _receive(self, connection: _Connection) -> None:
        device = connection.run.plan.device
        try:
            while True:
                body = await expect(connection.reader, RecordKind.DOWN)
                self._arrived(connection, decode_down(body))
        except (ConnectionError, asyncio.IncompleteReadError) as error:
            raise RemoteProtocolError(
                f"{self._cloud}: the connection of device {device} was lost"
            ) from error

    def _arrived(self, connection: _Connection, record: DownRecord) -> None:
        now_ns = self._now_ns()
        run, trace = connection.run, record.trace
        run.access.down(now_ns, len(record.frame), record.payload_bytes)
        if connection.asked_ns is not None:
            cloud_ns = trace.queue_ns + trace.compute_ns + trace.select_ns
            network_ns = max(0, now_ns - connection.asked_ns - cloud_ns)
            trace = replace(trace, uplink_ns=network_ns // 2)
            connection.downlink_ns = network_ns - trace.uplink_ns
            connection.asked_ns = None
        self._running.tell(run, FrameArrived(record.frame, connection.downlink_ns, trace), now_ns)
        self._go_on()

    # ------------------------------------------------------------------ hooks of the sessions

    def _now_ns(self) -> int:
        return self._clock_ns() - self._zero_ns

    def _at(self, due_ns: int, handler: Callable[[], None]) -> None:
        def handle() -> None:
            try:
                handler()
                self._go_on()
            except Exception as failure:  # noqa: BLE001 - told to whoever polls
                self._fail(failure)

        self._loop.call_later(max(0, due_ns - self._now_ns()) / 1e9, handle)

    def _send(self, device: DeviceRun, command: Send) -> None:
        connection = self._connections[device.plan.device]
        connection.asked_ns = self._now_ns()
        device.access.up(connection.asked_ns, len(command.frame))
        connection.writer.write(encode_record(RecordKind.UP, command.frame))

    def _release(self, command: Release) -> None:
        self._start(self._worker.release(command))

    # ------------------------------------------------------------------ computing

    def _go_on(self) -> None:
        """Compute what waits, unless something is being computed; end when all have ended."""
        sessions = self._running
        if sessions.open_requests == 0:
            self._over.set()
        elif sessions.has_work and not self._computing:
            self._computing = True
            self._start(self._compute())

    async def _compute(self) -> None:
        sessions = self._running
        while sessions.has_work:
            batch = sessions.next_batch()
            values, began_ns, _ = await self._worker.compute([op for op, _ in batch])
            sessions.computed(batch, values, began_ns - self._zero_ns)
        self._computing = False
        self._go_on()

    def _start(self, work: Awaitable[object]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Future[object]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            self._fail(task.exception())

    def _fail(self, failure: BaseException | None) -> None:
        self._failure = self._failure or failure
        self._over.set()


class DeviceHost:
    """What ``actors.live.driver`` drives: devices that connect when an arm begins."""

    def __init__(self, host: EdgeHost, cloud: CloudAddress, clock_ns: Callable[[], int]) -> None:
        """Keep a small model for devices that will connect."""
        self._host = host
        self._cloud = cloud
        self._clock_ns = clock_ns
        self._devices: ConnectedDevices | None = None

    def live_begin(self, plan: ArmPlan, terms: CodecTerms, shard: int, clouds: object) -> None:
        """Connect an arm's devices and let them begin."""
        del shard, clouds  # there is one host of devices, and the cloud listens elsewhere
        self._devices = ConnectedDevices(self._host, plan, terms, self._cloud, self._clock_ns)

    def live_poll(self) -> ShardNews:
        """Return what happened since the last call."""
        return self._running.poll()

    def live_end(self) -> ShardNews:
        """Disconnect; return what was left."""
        devices = self._running
        self._devices = None
        return devices.stop()

    @property
    def _running(self) -> ConnectedDevices:
        if self._devices is None:
            raise LocalProtocolError("devices: no run has begun")
        return self._devices
