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
from functools import partial

from actors.costs import Costs
from actors.device import DeviceRun, by_session, link_of
from actors.failing import Failing, Hooks
from actors.failures import Incidents
from actors.lanes import Handler, Lane
from actors.network import Network
from actors.plan import ArmPlan, CodecTerms, engine_spec
from actors.port import Handle, never
from actors.records import ArmRun, Recorder, ReplicaRun
from actors.sight import Sight, together
from actors.virtual.queues import HostQueue, Ticket, flush
from actors.virtual.replica import Around, Replica
from costeer.endpoint import Endpoint
from costeer.errors import LocalProtocolError
from costeer.machine import (
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
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
    TimerFired,
)
from netsim.heap import EventHeap

_EPOCH = 16
"""Bits below which an event's last number says a round, and above it its session's epoch."""
_CHOICES = (EdgeSteer, EdgeChoose)
_EDGE_OPS = (EdgeForward, EdgeDelta, EdgeDecode, *_CHOICES)
"""Of a device's operations those whose value decides what comes next, and all."""


class VirtualDriver:
    """Runs one arm in simulated time."""

    def __init__(
        self,
        plan: ArmPlan,
        terms: CodecTerms,
        costs: Costs,
        clouds: Sequence[Handle],
        shards: Sequence[Handle],
        recorder: Recorder,
    ) -> None:
        """Lay out the fleet.

        Args:
            plan: the arm.
            terms: its codec, at the vocabulary that the hosts reported.
            costs: what operations are charged.
            clouds: hosts of the large model, one for each replica; empty for methods without a
                cloud.
            shards: hosts of the small model; devices are dealt out to them in turn. Empty for
                methods without one.
            recorder: takes the rows.
        """
        self._plan = plan
        self._terms = terms
        self._costs = costs
        self._recorder = recorder
        self._heap: EventHeap[Handler] = EventHeap()
        self._network = Network(plan)
        self._network_looks = 0
        self._network_look_ns: int | None = None
        cloud_queues = [HostQueue(cloud) for cloud in clouds]
        shard_queues = [HostQueue(shard) for shard in shards]
        self._queues = [*cloud_queues, *shard_queues]
        around = Around(self._heap, self._flush, self._send_down)
        self._replicas = [
            Replica(
                number,
                engine_spec(plan, terms),
                costs,
                queue,
                around,
                plan.arm.seed,
                plan.stalls,
            )
            for number, queue in enumerate(cloud_queues)
        ]
        self._devices = [
            DeviceRun(device, link_of(device, plan.arm.seed)) for device in plan.devices
        ]
        for device in self._devices:
            device.note_cloud(plan)
        self._by_session = by_session(self._devices)
        self._queue_of = {
            device: shard_queues[index % len(shard_queues)]
            for index, device in enumerate(self._devices)
            if shard_queues
        }
        self._incidents = Incidents()
        self._failing = Failing(
            plan,
            self._devices,
            {each.device: each.replica for each in plan.devices},
            len(clouds),
            Hooks(
                self._start,
                self._reopen,
                self._leave,
                lambda replica: self._replicas[replica].fail(),
                lambda replica: self._replicas[replica].come_back(),
                self._incidents.add,
            ),
        )
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
        self._failing.plan(self._heap)
        for device in self._devices:
            self._plan_request(device, 0)
        heap = self._heap
        recorder = self._recorder
        until_ns = self._plan.until_ns
        while not recorder.all_finished and not stopped():
            # Where all that is left waits for a replica that never comes back, nothing happens.
            if until_ns and (not heap or heap.peek_time_ns() > until_ns):
                self._now_ns = until_ns
                self._out_of_time = True
                break
            if not heap:
                raise LocalProtocolError("virtual: the heap ran dry before every session had ended")
            now_ns, _, _, _, _, handler = heap.pop()
            self._now_ns = now_ns
            handler(now_ns)

    def _close(self) -> ArmRun:
        complete = self._recorder.all_finished or self._out_of_time
        if not self._recorder.all_finished:
            for device in self._devices:
                for request in device.censor(self._now_ns):
                    self._recorder.request(request)
        run = self._recorder.close(self._now_ns, complete=complete)
        run.replicas = [
            ReplicaRun(each.counters, self._network.egress_busy_ns(each.number))
            for each in self._replicas
        ]
        run.incidents = self._incidents.all()
        return run

    def _sight(self) -> Sight:
        looks = [each.look(self._network.egress_busy_ns(each.number)) for each in self._replicas]
        return Sight(self._now_ns, together(looks))

    def _flush(self) -> None:
        flush(self._queues)

    # ------------------------------------------------------------------ requests

    def _plan_request(self, device: DeviceRun, now_ns: int) -> None:
        intended_ns = device.next_intended_ns(now_ns)
        if intended_ns is not None:
            self._heap.push(
                max(now_ns, intended_ns),
                Lane.REQUEST,
                device.plan.device,
                device.next_request,
                0,
                partial(self._begin, device, intended_ns),
            )

    def _begin(self, device: DeviceRun, intended_ns: int, now_ns: int) -> None:
        if device.left:
            return
        device.begin(self._plan, self._terms, intended_ns)
        if self._failing.begins(device, intended_ns):
            self._start(device, intended_ns, now_ns)

    def _start(self, device: DeviceRun, intended_ns: int, now_ns: int) -> None:
        self._tell_edge(device, Start(intended_ns), now_ns)

    def _reopen(self, device: DeviceRun, now_ns: int) -> None:
        """Open a session again from its tokens so far, at the replica that serves it now."""
        kept = device.keeps(self._plan)
        if not kept:
            self._release(device)
        device.epoch += 1
        ended = device.resume(self._plan, self._terms, kept=kept)
        if ended:
            self._do_edge(device, Finish(device.session, ended), now_ns)
        else:
            self._tell_edge(device, Start(device.last_ns), now_ns)

    def _leave(self, device: DeviceRun, now_ns: int) -> None:
        """End what a device is at; what it would still have asked for never comes."""
        if device.machine is not None:
            self._release(device)
        for row in device.leave(now_ns):
            self._recorder.request(row)
        self._recorder.forgo(len(device.plan.requests) - device.next_request)

    def _release(self, device: DeviceRun) -> None:
        if self._plan.arm.method.edge_branches:
            self._queue_of[device].add(Release(device.session))

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
            self._failing.ended(device)
            self._recorder.request(device.close(command.reason, now_ns, failed=command.failed))
            self._plan_request(device, now_ns)
        elif isinstance(command, Release):
            self._queue_of[device].add(command)
        elif isinstance(command, SetTimer):
            self._heap.push(
                command.at_ns,
                Lane.ANSWER_TIMER,
                command.session,
                device.epoch,
                0,
                partial(self._edge_timer, device, device.machine, command),
            )
        else:
            raise LocalProtocolError(f"virtual: a session has no command {command!r}")

    def _compute_edge(self, device: DeviceRun, op: Op, now_ns: int) -> None:
        if not isinstance(op, _EDGE_OPS):
            raise LocalProtocolError(f"virtual: device {device.plan.device} cannot do {op!r}")
        ticket = Ticket(op, self._costs.edge_ns(op, device.plan.device_class))
        self._queue_of[device].add(op, ticket)
        round_ = 0
        if isinstance(op, EdgeForward):
            lane, position = Lane.FORWARD_DONE, op.starts[0]
        elif isinstance(op, EdgeDelta):
            lane, position = Lane.FORWARD_DONE, op.position
        elif isinstance(op, EdgeChoose):
            drafts = self._plan.speculation is not None
            lane = Lane.DRAFT_DONE if drafts else Lane.CHOICE_DONE
            position = op.position
        else:
            lane = Lane.DECODE_DONE if isinstance(op, EdgeDecode) else Lane.CHOICE_DONE
            position, round_ = op.position, op.round
        self._heap.push(
            now_ns + ticket.duration_ns,
            lane,
            op.session,
            position,
            round_ + (device.epoch << _EPOCH),
            partial(self._edge_done, device, device.machine, ticket),
        )

    def _edge_done(
        self, device: DeviceRun, asker: Endpoint | None, ticket: Ticket, now_ns: int
    ) -> None:
        if device.machine is not asker:
            return
        # A forward's logits and a decoded payload stay with the host; a choice decides.
        if not ticket.done and isinstance(ticket.op, _CHOICES):
            self._flush()
        self._tell_edge(device, ComputeDone(ticket.op, ticket.value, ticket.duration_ns), now_ns)

    def _edge_timer(
        self, device: DeviceRun, asker: Endpoint | None, timer: SetTimer, now_ns: int
    ) -> None:
        if device.machine is asker:
            self._tell_edge(device, TimerFired(timer.timer, timer.session), now_ns)

    # ------------------------------------------------------------------ the network

    def _send_up(self, device: DeviceRun, command: Send, now_ns: int) -> None:
        number = device.access.frames_up + 1
        frame = command.frame
        replica = self._replicas[device.replica]
        life = replica.life

        def deliver(arrival_ns: int) -> None:
            transit_ns = arrival_ns - now_ns
            replica.hear(life, (device.plan.device, number), frame, arrival_ns, transit_ns)

        self._network.up(device.access, now_ns, len(frame), deliver)
        self._look_at_network()

    def _send_down(self, replica: int, command: Send, now_ns: int) -> None:
        device = self._by_session[command.session]
        number = device.access.frames_down + 1
        frame = command.frame

        def deliver(arrival_ns: int) -> None:
            event = FrameArrived(frame, arrival_ns - now_ns, command.trace)
            self._heap.push(
                arrival_ns,
                Lane.FRAME_DOWN,
                device.plan.device,
                number,
                0,
                partial(self._tell_edge, device, event),
            )

        self._network.down(
            device.access, now_ns, len(frame), command.payload_bytes, deliver, replica
        )
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
            self._heap.push(at_ns, Lane.NETWORK, 0, self._network_looks, 0, look)

    def _advance_network(self, look: int, now_ns: int) -> None:
        # Whoever joined in the meantime has moved the next crossing: another look was planned.
        if look == self._network_looks:
            self._network.advance(now_ns)
            self._look_at_network()
