"""One copy of the large model in a simulated run: its engine, and the host that computes for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

from actors.costs import Costs
from actors.lanes import Handler, Lane
from actors.sight import CloudLook, Lookout
from actors.stalls import Stall
from actors.virtual.gate import Gate
from actors.virtual.queues import HostQueue, Ticket
from costeer.cloud import CloudEngine
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudOp,
    Command,
    Compute,
    ComputeDone,
    Event,
    FrameArrived,
    Release,
    Send,
    SetTimer,
    Timer,
    TimerFired,
)
from costeer.serving import EngineCounters, EngineSpec
from netsim.hardware.variation import varied_ns
from netsim.heap import EventHeap
from netsim.random import Stream, stream_key, uniform_at


@dataclass(frozen=True, slots=True)
class Around:
    """What a replica needs of the driver.

    Args:
        heap: the run's events.
        flush: carries out what is queued, at all hosts.
        send: puts a frame on the way down from a replica of this number.
    """

    heap: EventHeap[Handler]
    flush: Callable[[], None]
    send: Callable[[int, Send, int], None]


class Replica:
    """Carries out what its engine commands."""

    def __init__(
        self,
        number: int,
        spec: EngineSpec,
        costs: Costs,
        queue: HostQueue,
        around: Around,
        seed: int,
        stalls: Sequence[Stall] = (),
    ) -> None:
        """Begin with no session.

        Args:
            number: which replica.
            spec: what it serves.
            costs: what its operations are charged.
            queue: of its host.
            around: the rest of the run.
            seed: of the run.
            stalls: when replicas do nothing.
        """
        self.number = number
        self.up = True
        """Whether it is there at all."""
        self.life = 0
        """How often it has failed or come back."""
        self._spec = spec
        self._costs = costs
        self._drawn = stream_key(seed, Stream.FORWARD_TIME, number)
        self._forwards = 0
        self._queue = queue
        self._around = around
        self._gate = Gate(around.heap, [each for each in stalls if each.concerns(number)])
        self._engine = CloudEngine(spec)
        self._lookout = Lookout(self._engine, spec.limits)
        self._steps = 0
        self._held: set[int] = set()

    @property
    def counters(self) -> EngineCounters:
        """What its engine counted."""
        return self._engine.counters

    def look(self, egress_busy_ns: int) -> CloudLook:
        """Return how it stands."""
        return self._lookout.look(egress_busy_ns)

    def fail(self) -> None:
        """Forget every session, and take nothing until it is back."""
        self.up = False
        self.life += 1
        for session in sorted(self._held):
            self._queue.add(Release(session))
        self._held.clear()
        self._engine = CloudEngine(self._spec, self._engine.counters)
        self._lookout.turn_to(self._engine)

    def come_back(self) -> None:
        """Serve again; what was sent to it meanwhile is lost as well."""
        self.up = True
        self.life += 1

    def hear(
        self, life: int, name: tuple[int, int], frame: bytes, arrival_ns: int, transit_ns: int
    ) -> None:
        """Take a frame at an instant to come; during a stall it is held, or lost.

        Args:
            life: that it was sent to; in any other it is lost.
            name: its device, and the how manieth of its frames it is.
            frame: its bytes.
            arrival_ns: when it comes.
            transit_ns: how long it is under way.
        """
        if self._gate.loses(arrival_ns):
            return

        def take(now_ns: int) -> None:
            if life == self.life and self.up:
                held_ns = now_ns - arrival_ns
                self._tell(FrameArrived(frame, transit_ns, held_ns=held_ns), now_ns)

        self._gate.push(arrival_ns, Lane.FRAME_UP, *name, 0, take)

    def _tell(self, event: Event, now_ns: int) -> None:
        for command in self._engine.handle(event, now_ns):
            self._do(command, now_ns)

    def _do(self, command: Command, now_ns: int) -> None:
        if isinstance(command, Send):
            self._around.send(self.number, command, now_ns)
        elif isinstance(command, SetTimer):
            self._set_timer(command)
        elif isinstance(command, Compute) and isinstance(command.op, CloudOp):
            self._compute(command.op, now_ns)
        elif isinstance(command, Release):
            self._held.discard(command.session)
            self._queue.add(command)
        else:
            raise LocalProtocolError(f"virtual: the engine has no command {command!r}")

    def _set_timer(self, command: SetTimer) -> None:
        step = command.timer is Timer.STEP
        self._gate.push(
            command.at_ns,
            Lane.STEP_TIMER if step else Lane.IDLE_TIMER,
            self.number if step else command.session,
            0 if step else self.number,
            self.life,
            partial(self._fire, self.life, TimerFired(command.timer, command.session)),
        )

    def _fire(self, life: int, event: TimerFired, now_ns: int) -> None:
        if life == self.life:
            self._tell(event, now_ns)

    def _compute(self, op: CloudOp, now_ns: int) -> None:
        ticket = Ticket(op, self._duration_ns(op))
        self._queue.add(op, ticket)
        if isinstance(op, CloudForward):
            self._held.update(row.session for row in op.rows)
        self._steps += 1
        self._gate.push(
            now_ns + ticket.duration_ns,
            Lane.CLOUD_DONE,
            self.number,
            self._steps,
            0,
            partial(self._computed, self.life, ticket),
        )

    def _duration_ns(self, op: CloudOp) -> int:
        duration_ns, permille = self._costs.cloud_ns(op), self._costs.cloud_variation
        if not isinstance(op, CloudForward) or not permille:
            return duration_ns
        self._forwards += 1
        return varied_ns(duration_ns, permille, uniform_at(self._drawn, self._forwards - 1))

    def _computed(self, life: int, ticket: Ticket, now_ns: int) -> None:
        if life != self.life:
            return
        # A forward's logits stay with the host; what was selected from them decides.
        if not ticket.done and not isinstance(ticket.op, CloudForward):
            self._around.flush()
        self._tell(ComputeDone(ticket.op, ticket.value, ticket.duration_ns), now_ns)
