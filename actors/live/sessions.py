"""The sessions of a shard's devices: their machines, what they wait to have computed, their books.

Whoever runs a shard on the wall's clock brings the clock, the way up and the computing; what
happens to the sessions between is the same, whether the frames cross modelled links or sockets.
All calls come from one thread, ``take_news`` alone from any.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from threading import Lock

from actors.device import DeviceRun, by_session
from actors.failing import Failing
from actors.failing import Hooks as FailingHooks
from actors.failures import Incident, Incidents
from actors.lanes import Handler, Lane
from actors.plan import ArmPlan, CodecTerms
from actors.progress import Progress, Resumption
from actors.records import RequestRow, TokenRow
from costeer.endpoint import Endpoint
from costeer.errors import LocalProtocolError
from costeer.machine import (
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Emit,
    Event,
    Finish,
    Release,
    Send,
    SetTimer,
    Start,
    TimerFired,
)
from netsim.heap import EventHeap

_ORDER: tuple[type[EdgeOp], ...] = (EdgeDecode, EdgeSteer, EdgeChoose, EdgeDelta, EdgeForward)
"""What is computed first when several kinds are due: the short ones that a token waits for."""

Asked = tuple[EdgeOp, Endpoint]
"""An operation, and the machine that asked for it."""


@dataclass(slots=True)
class ShardNews:
    """What happened in a shard since it was last asked.

    Args:
        tokens: rows of tokens.
        requests: rows of requests that ended.
        lateness_ns: how late each frame was handed over or taken.
        now_ns: the shard's clock.
        failure: what one of its threads raised; the rows up to then are here nevertheless.
        clouds_lost: replicas whose hosts have died, and nobody was told so far.
        left: devices that have left, and how many requests of each will never come.
        incidents: what failed in the model, with those of the sessions here that it happened to.
    """

    tokens: list[TokenRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)
    lateness_ns: list[int] = field(default_factory=list)
    now_ns: int = 0
    failure: BaseException | None = None
    clouds_lost: frozenset[int] = frozenset()
    left: dict[int, int] = field(default_factory=dict)
    incidents: list[Incident] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Hooks:
    """What a shard's sessions need of whoever runs them.

    Args:
        now_ns: the shard's clock.
        at: calls a handler at an instant of that clock; one that is past means at once.
        send: puts a frame on a device's way up.
        release: has a host free a session's slots, after what was asked of it before.
    """

    now_ns: Callable[[], int]
    at: Callable[[int, Callable[[], None]], None]
    send: Callable[[DeviceRun, Send], None]
    release: Callable[[Release], None]


class Sessions:
    """The devices of one shard, from their first request to their last."""

    def __init__(
        self,
        plan: ArmPlan,
        terms: CodecTerms,
        devices: Sequence[DeviceRun],
        hooks: Hooks,
        come_back: Callable[[int], None] = lambda _: None,
        own: Mapping[int, int] | None = None,
        replicas: int = 0,
    ) -> None:
        """Take devices whose users have not asked yet; ``plan_first`` lets them.

        Args:
            plan: the arm; its devices are this shard's alone.
            terms: the arm's codec.
            devices: one for each of the plan's.
            hooks: clock, way up, and host.
            come_back: told of a replica that is back after a failure of the model.
            own: device -> its replica, for the whole fleet.
            replicas: that sessions may be moved between; 0 where they stay where they are.
        """
        self._plan = plan
        self._terms = terms
        self._devices = devices
        self._hooks = hooks
        self._by_session = by_session(devices)
        self._ops: list[Asked] = []
        self._lock = Lock()
        self._news = ShardNews()
        self._incidents = Incidents()
        self.open_requests = len(self._by_session)
        failing = FailingHooks(
            start=self._start,
            reopen=self._reopen,
            leave=self._leave,
            fail=lambda _: None,  # it does so by itself, by its own clock
            come_back=come_back,
            note=self._note,
        )
        self._failing = Failing(plan, devices, own or {}, replicas, failing)

    def plan_first(
        self, resumption: Resumption | None = None, dead: frozenset[int] = frozenset()
    ) -> None:
        """Let every device's first request come at its time, or go on where the device was.

        Args:
            resumption: how far the devices have come; None for a run that begins.
            dead: replicas whose hosts have died, and are not there again.
        """
        heap: EventHeap[Handler] = EventHeap()
        self._failing.plan(heap)
        now_ns = resumption.now_ns if resumption else 0
        gone = resumption.left if resumption else frozenset()
        departed: list[Handler] = []
        # What failed before this shard was there is known before its sessions go on.
        while heap and heap.peek_time_ns() < now_ns:
            at_ns, lane, number, _, _, handler = heap.pop()
            if lane != Lane.DEPARTURE:
                handler(at_ns)
            elif number not in gone:
                departed.append(handler)
        for replica in dead:
            self._failing.lose(replica, now_ns)
        for device in self._devices:
            number = device.plan.device
            if resumption is None:
                self._plan_request(device, 0)
            elif number in gone:
                device.left = True
                self.open_requests -= len(device.plan.requests)
            else:
                self._restore(device, resumption.devices[number], resumption)
        # Whoever left goes on first, so that what it was at is booked.
        for handler in departed:
            self._hooks.at(now_ns, partial(self._happen, handler))
        while heap:
            at_ns, _, _, _, _, handler = heap.pop()
            self._hooks.at(at_ns, partial(self._happen, handler))

    def _restore(self, device: DeviceRun, progress: Progress, resumption: Resumption) -> None:
        device.restore(progress, resumption.epoch)
        self.open_requests -= progress.request
        if not progress.tokens:
            self._plan_request(device, progress.last_ns)
        elif progress.alone or self._failing.goes_on(device):
            self._hooks.at(resumption.now_ns, partial(self._continue, device))

    def _happen(self, handler: Handler) -> None:
        handler(self._hooks.now_ns())

    # ------------------------------------------------------------------ replicas and devices

    def lose(self, replica: int) -> None:
        """Open the sessions of a replica whose host has died at others, or have them wait."""
        self._failing.lose(replica, self._hooks.now_ns())

    def gain(self, replica: int) -> None:
        """Let a replica whose host was made again have its devices' next requests."""
        self._failing.gain(replica, self._hooks.now_ns())

    def _note(self, incident: Incident) -> None:
        with self._lock:
            self._incidents.add(incident)

    def _drop(self, machine: Endpoint) -> None:
        """Forget what a machine wanted computed."""
        self._ops = [each for each in self._ops if each[1] is not machine]

    def _reopen(self, device: DeviceRun, now_ns: int) -> None:
        del now_ns
        device.epoch += 1
        machine = device.machine
        if machine is None:
            self._continue(device)
            return
        self._drop(machine)
        # The device did not die: its small model goes on with what it holds, where it can.
        kept = device.keeps(self._plan)
        if not kept:
            self._release(device)
        self._continue(device, kept=kept)

    def _leave(self, device: DeviceRun, now_ns: int) -> None:
        """End what a device is at; what it would still have asked for never comes."""
        if device.machine is not None:
            self._drop(device.machine)
            self._release(device)
        rows = device.leave(now_ns)
        never = len(device.plan.requests) - device.next_request
        self.open_requests -= len(rows) + never
        with self._lock:
            self._news.requests += rows
            self._news.left[device.plan.device] = never

    def _release(self, device: DeviceRun) -> None:
        if self._plan.arm.method.edge_branches:
            self._hooks.release(Release(device.session))

    def device_of(self, session: int) -> DeviceRun:
        """Return the device of a session."""
        return self._by_session[session]

    def tell(self, device: DeviceRun, event: Event, now_ns: int) -> None:
        """Feed the machine of a device's session, and do what it commands."""
        machine = device.machine
        if machine is None:
            return
        for command in machine.handle(event, now_ns):
            if isinstance(command, Compute) and isinstance(command.op, _ORDER):
                self._ops.append((command.op, machine))
            elif isinstance(command, Send):
                self._hooks.send(device, command)
            elif isinstance(command, Emit):
                row = device.record(command.record, now_ns)
                with self._lock:
                    self._news.tokens.append(row)
            elif isinstance(command, Release):
                # What a session that failed still waits for would take its slots again.
                self._drop(machine)
                self._hooks.release(command)
            elif isinstance(command, SetTimer):
                self._hooks.at(command.at_ns, partial(self._fire, device, machine, command))
            elif isinstance(command, Finish):
                self._finish(device, command)
            else:
                raise LocalProtocolError(f"live: a session has no command {command!r}")

    def _fire(self, device: DeviceRun, asker: Endpoint, timer: SetTimer) -> None:
        if device.machine is asker:
            fired = TimerFired(timer.timer, timer.session)
            self.tell(device, fired, self._hooks.now_ns())

    # ------------------------------------------------------------------ computing

    @property
    def has_work(self) -> bool:
        """Whether something waits to be computed."""
        return bool(self._ops)

    def next_batch(self) -> list[Asked]:
        """Take all waiting operations of the kind that goes first."""
        kind = next(kind for kind in _ORDER if any(isinstance(op, kind) for op, _ in self._ops))
        batch = [each for each in self._ops if isinstance(each[0], kind)]
        self._ops = [each for each in self._ops if not isinstance(each[0], kind)]
        return batch

    def computed(self, batch: Sequence[Asked], values: Sequence[object], began_ns: int) -> None:
        """Hand a batch's values to the machines that asked, if they are still there."""
        ended_ns = self._hooks.now_ns()
        for (op, asker), value in zip(batch, values, strict=True):
            device = self._by_session[op.session]
            if device.machine is asker:
                self.tell(device, ComputeDone(op, value, ended_ns - began_ns), ended_ns)

    # ------------------------------------------------------------------ books

    def note_late(self, lateness_ns: int) -> None:
        """Book how late a frame was handed over or taken."""
        with self._lock:
            self._news.lateness_ns.append(lateness_ns)

    def take_news(self, failure: BaseException | None) -> ShardNews:
        """Return what happened since the last call, beside what went wrong."""
        with self._lock:
            news, self._news = self._news, ShardNews()
            news.incidents, self._incidents = self._incidents.all(), Incidents()
        news.now_ns = self._hooks.now_ns()
        news.failure = failure
        return news

    def censor(self) -> None:
        """Book the requests that had come and have not ended: the run was stopped."""
        now_ns = self._hooks.now_ns()
        rows = [row for device in self._devices for row in device.censor(now_ns)]
        with self._lock:
            self._news.requests.extend(rows)

    # ------------------------------------------------------------------ requests

    def _plan_request(self, device: DeviceRun, now_ns: int) -> None:
        intended_ns = device.next_intended_ns(now_ns)
        if intended_ns is not None:
            begin = partial(self._begin, device, intended_ns)
            self._hooks.at(max(now_ns, intended_ns), begin)

    def _begin(self, device: DeviceRun, intended_ns: int) -> None:
        if device.left:
            return
        device.begin(self._plan, self._terms, intended_ns)
        if self._failing.begins(device, intended_ns):
            self._start(device, intended_ns, self._hooks.now_ns())

    def _start(self, device: DeviceRun, intended_ns: int, now_ns: int) -> None:
        self.tell(device, Start(intended_ns), now_ns)

    def _continue(self, device: DeviceRun, *, kept: bool = False) -> None:
        """Go on with a session from its tokens so far; how long it stood still is its wait."""
        ended = device.resume(self._plan, self._terms, kept=kept)
        if ended:
            self._finish(device, Finish(device.session, ended))
        else:
            self.tell(device, Start(device.last_ns), self._hooks.now_ns())

    def _finish(self, device: DeviceRun, finish: Finish) -> None:
        self._failing.ended(device)
        now_ns = self._hooks.now_ns()
        row = device.close(finish.reason, now_ns, failed=finish.failed)
        with self._lock:
            self._news.requests.append(row)
        self.open_requests -= 1
        self._plan_request(device, now_ns)
