"""The driver whose clock is simulated: one heap, real values, charged durations.

Rules
-----
* The heap and all links live here; hosts only compute values.
* An operation is queued at its host when it begins, and its end is put on the heap: how long it
  takes is known without its value. When the heap reaches an end whose value decides what comes
  next (a payload's size, a token), everything queued is carried out, one call to each host. So
  execution batches over devices as well as the protocol allows, while each device is charged its
  own rows alone.
* An operation's result goes to the session that asked. One that has failed meanwhile gets none.
* No wall clock is read. Nothing depends on how many hosts there are.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import IntEnum
from functools import partial

from actors.costs import Costs
from actors.device import DeviceRun, by_session, link_of
from actors.network import Network
from actors.plan import ArmPlan, CodecTerms, engine_spec
from actors.port import Handle, gather, never
from actors.records import ArmRun, Recorder
from actors.sight import Lookout, Sight
from costeer.cloud import CloudEngine
from costeer.endpoint import Endpoint
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudSelect,
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeSteer,
    Emit,
    Event,
    Finish,
    FrameArrived,
    Op,
    Release,
    Send,
    SetTimer,
    Start,
    Timer,
    TimerFired,
)
from netsim.heap import EventHeap, EventKind

Handler = Callable[[int], None]


class _Lane(IntEnum):
    """Kinds of this driver's events, in the order of ``EventKind`` with lanes inside a kind."""

    REQUEST = EventKind.ARRIVAL
    FRAME_UP = EventKind.ARRIVAL + 1
    FRAME_DOWN = EventKind.ARRIVAL + 2
    NETWORK = EventKind.ARRIVAL + 3
    CLOUD_DONE = EventKind.COMPUTE_DONE
    FORWARD_DONE = EventKind.COMPUTE_DONE + 1
    DECODE_DONE = EventKind.COMPUTE_DONE + 2
    CHOICE_DONE = EventKind.COMPUTE_DONE + 3
    DRAFT_DONE = EventKind.COMPUTE_DONE + 4
    IDLE_TIMER = EventKind.TIMER
    STEP_TIMER = EventKind.BATCH_START


class _Ticket:
    """An operation under way: its value comes with the first flush after its beginning."""

    __slots__ = ("done", "duration_ns", "op", "value")

    def __init__(self, op: Op, duration_ns: int) -> None:
        self.op = op
        self.duration_ns = duration_ns
        self.done = False
        self.value: object = None


class _Queue:
    """Operations that a host has still to carry out."""

    __slots__ = ("handle", "ops", "tickets")

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        self.ops: list[Op | Release] = []
        self.tickets: list[_Ticket | None] = []

    def add(self, op: Op | Release, ticket: _Ticket | None) -> None:
        self.ops.append(op)
        self.tickets.append(ticket)

    def settle(self, values: object) -> None:
        """Give the tickets their values and forget the operations."""
        if not isinstance(values, list) or len(values) != len(self.ops):
            raise LocalProtocolError("a host must return one value per operation")
        for ticket, value in zip(self.tickets, values, strict=True):
            if ticket is not None:
                ticket.value = value
                ticket.done = True
        self.ops = []
        self.tickets = []


def _flush(queues: Sequence[_Queue]) -> None:
    """Carry out what is queued, all hosts at the same time."""
    loaded = [queue for queue in queues if queue.ops]
    results = gather([queue.handle.submit("execute", queue.ops) for queue in loaded])
    for queue, values in zip(loaded, results, strict=True):
        queue.settle(values)


class VirtualDriver:
    """Runs one arm in simulated time."""

    def __init__(
        self,
        plan: ArmPlan,
        terms: CodecTerms,
        costs: Costs,
        cloud: Handle | None,
        shards: Sequence[Handle],
        recorder: Recorder,
    ) -> None:
        """Lay out the fleet.

        Args:
            plan: the arm.
            terms: its codec, at the vocabulary that the hosts reported.
            costs: what operations are charged.
            cloud: host of the large model; None for methods without a cloud.
            shards: hosts of the small model; devices are dealt out to them in turn. Empty for
                methods without one.
            recorder: takes the rows.
        """
        self._plan = plan
        self._terms = terms
        self._costs = costs
        self._recorder = recorder
        self._heap: EventHeap[Handler] = EventHeap()
        self._engine = CloudEngine(engine_spec(plan, terms))
        self._lookout = Lookout(self._engine, plan.limits)
        self._network = Network(plan)
        self._network_looks = 0
        self._network_look_ns: int | None = None
        self._cloud = _Queue(cloud) if cloud is not None else None
        shard_queues = [_Queue(shard) for shard in shards]
        self._queues = [*([self._cloud] if self._cloud else []), *shard_queues]
        self._devices = [
            DeviceRun(device, link_of(device, plan.arm.seed)) for device in plan.devices
        ]
        self._by_session = by_session(self._devices)
        self._queue_of = {
            device: shard_queues[index % len(shard_queues)]
            for index, device in enumerate(self._devices)
            if shard_queues
        }
        self._steps = 0
        self._now_ns = 0
        self._out_of_time = False
        recorder.attend(self._sight)

    def run(self, stopped: Callable[[], bool] = never) -> ArmRun:
        """Run to the end, or until stopped: then the rows so far are kept and marked.

        Args:
            stopped: whether to stop; asked between two events. An interrupt stops as well.

        Raises:
            LocalProtocolError: a session did not end.
            Exception: what a host raised; the rows so far are handed on before.
        """
        try:
            self._run(stopped)
        except KeyboardInterrupt:
            pass
        except BaseException:
            self._close()
            raise
        return self._close()

    def _run(self, stopped: Callable[[], bool]) -> None:
        for device in self._devices:
            self._plan_request(device, 0)
        heap = self._heap
        recorder = self._recorder
        until_ns = self._plan.until_ns
        while not recorder.all_finished and not stopped():
            if not heap:
                raise LocalProtocolError("virtual: the heap ran dry before every session had ended")
            now_ns, *_, handler = heap.pop()
            if until_ns and now_ns > until_ns:
                self._now_ns = until_ns
                self._out_of_time = True
                break
            self._now_ns = now_ns
            handler(now_ns)

    def _close(self) -> ArmRun:
        complete = self._recorder.all_finished or self._out_of_time
        if not self._recorder.all_finished:
            for device in self._devices:
                for request in device.censor(self._now_ns):
                    self._recorder.request(request)
        run = self._recorder.close(self._now_ns, complete=complete)
        run.engine = self._engine.counters
        run.egress_busy_ns = self._network.egress_busy_ns
        return run

    def _sight(self) -> Sight:
        if self._cloud is None:
            return Sight(self._now_ns)
        return Sight(self._now_ns, self._lookout.look(self._network.egress_busy_ns))

    # ------------------------------------------------------------------ requests

    def _plan_request(self, device: DeviceRun, now_ns: int) -> None:
        intended_ns = device.next_intended_ns(now_ns)
        if intended_ns is not None:
            self._heap.push(
                max(now_ns, intended_ns),
                _Lane.REQUEST,
                device.plan.device,
                device.next_request,
                0,
                partial(self._begin, device, intended_ns),
            )

    def _begin(self, device: DeviceRun, intended_ns: int, now_ns: int) -> None:
        device.begin(self._plan, self._terms, intended_ns)
        self._tell_edge(device, Start(intended_ns), now_ns)

    # ------------------------------------------------------------------ the edge's commands

    def _tell_edge(self, device: DeviceRun, event: Event, now_ns: int) -> None:
        machine = device.machine
        if machine is None:
            return
        for command in machine.handle(event, now_ns):
            self._do_edge(device, command, now_ns)

    def _do_edge(self, device: DeviceRun, command: Command, now_ns: int) -> None:
        if isinstance(command, Compute):
            self._compute_edge(device, command.op, now_ns)
        elif isinstance(command, Send):
            self._send_up(device, command, now_ns)
        elif isinstance(command, Emit):
            self._recorder.token(device.record(command.record, now_ns))
        elif isinstance(command, Finish):
            self._recorder.request(device.close(command.reason, now_ns, failed=command.failed))
            self._plan_request(device, now_ns)
        elif isinstance(command, Release):
            self._queue_of[device].add(command, None)
        else:
            raise LocalProtocolError(f"virtual: a session has no command {command!r}")

    def _compute_edge(self, device: DeviceRun, op: Op, now_ns: int) -> None:
        if not isinstance(op, EdgeForward | EdgeDecode | EdgeSteer | EdgeChoose):
            raise LocalProtocolError(f"virtual: device {device.plan.device} cannot do {op!r}")
        ticket = _Ticket(op, self._costs.edge_ns(op, device.plan.device_class))
        self._queue_of[device].add(op, ticket)
        round_ = 0
        if isinstance(op, EdgeForward):
            lane, position = _Lane.FORWARD_DONE, op.starts[0]
        elif isinstance(op, EdgeChoose):
            drafts = self._plan.speculation is not None
            lane = _Lane.DRAFT_DONE if drafts else _Lane.CHOICE_DONE
            position = op.position
        else:
            lane = _Lane.DECODE_DONE if isinstance(op, EdgeDecode) else _Lane.CHOICE_DONE
            position, round_ = op.position, op.round
        self._heap.push(
            now_ns + ticket.duration_ns,
            lane,
            op.session,
            position,
            round_,
            partial(self._edge_done, device, device.machine, ticket),
        )

    def _edge_done(
        self, device: DeviceRun, asker: Endpoint | None, ticket: _Ticket, now_ns: int
    ) -> None:
        if device.machine is not asker:
            return
        # A forward's logits and a decoded payload stay with the host; a choice decides.
        if not ticket.done and isinstance(ticket.op, EdgeSteer | EdgeChoose):
            _flush(self._queues)
        self._tell_edge(device, ComputeDone(ticket.op, ticket.value, ticket.duration_ns), now_ns)

    # ------------------------------------------------------------------ the cloud's commands

    def _tell_cloud(self, event: Event, now_ns: int) -> None:
        for command in self._engine.handle(event, now_ns):
            self._do_cloud(command, now_ns)

    def _do_cloud(self, command: Command, now_ns: int) -> None:
        if isinstance(command, Send):
            self._send_down(command, now_ns)
        elif isinstance(command, SetTimer):
            step = command.timer is Timer.STEP
            self._heap.push(
                command.at_ns,
                _Lane.STEP_TIMER if step else _Lane.IDLE_TIMER,
                command.session,
                0,
                0,
                partial(self._tell_cloud, TimerFired(command.timer, command.session)),
            )
        elif self._cloud is None:
            raise LocalProtocolError(f"virtual: no cloud to carry out {command!r}")
        elif isinstance(command, Compute) and isinstance(command.op, CloudForward | CloudSelect):
            op = command.op
            ticket = _Ticket(op, self._costs.cloud_ns(op))
            self._cloud.add(op, ticket)
            self._steps += 1
            self._heap.push(
                now_ns + ticket.duration_ns,
                _Lane.CLOUD_DONE,
                0,
                self._steps,
                0,
                partial(self._cloud_done, ticket),
            )
        elif isinstance(command, Release):
            self._cloud.add(command, None)
        else:
            raise LocalProtocolError(f"virtual: the engine has no command {command!r}")

    def _cloud_done(self, ticket: _Ticket, now_ns: int) -> None:
        # A forward's logits stay with the host; what was selected from them decides.
        if not ticket.done and not isinstance(ticket.op, CloudForward):
            _flush(self._queues)
        self._tell_cloud(ComputeDone(ticket.op, ticket.value, ticket.duration_ns), now_ns)

    # ------------------------------------------------------------------ the network

    def _send_up(self, device: DeviceRun, command: Send, now_ns: int) -> None:
        number = device.access.frames_up + 1
        frame = command.frame

        def deliver(arrival_ns: int) -> None:
            event = FrameArrived(frame, arrival_ns - now_ns)
            self._heap.push(
                arrival_ns,
                _Lane.FRAME_UP,
                device.plan.device,
                number,
                0,
                partial(self._tell_cloud, event),
            )

        self._network.up(device.access, now_ns, len(frame), deliver)
        self._look_at_network()

    def _send_down(self, command: Send, now_ns: int) -> None:
        device = self._by_session[command.session]
        number = device.access.frames_down + 1
        frame = command.frame

        def deliver(arrival_ns: int) -> None:
            event = FrameArrived(frame, arrival_ns - now_ns, command.trace)
            self._heap.push(
                arrival_ns,
                _Lane.FRAME_DOWN,
                device.plan.device,
                number,
                0,
                partial(self._tell_edge, device, event),
            )

        self._network.down(device.access, now_ns, len(frame), command.payload_bytes, deliver)
        self._look_at_network()

    def _look_at_network(self) -> None:
        """See to it that the network is looked at when the next shared frame has crossed."""
        at_ns = self._network.next_event_ns()
        if at_ns == self._network_look_ns:
            return
        self._network_look_ns = at_ns
        self._network_looks += 1
        if at_ns is not None:
            look = partial(self._advance_network, self._network_looks)
            self._heap.push(at_ns, _Lane.NETWORK, 0, self._network_looks, 0, look)

    def _advance_network(self, look: int, now_ns: int) -> None:
        # Whoever joined in the meantime has moved the next crossing: another look was planned.
        if look == self._network_looks:
            self._network.advance(now_ns)
            self._look_at_network()
