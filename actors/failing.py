"""What a driver does when something fails in the model: who goes where, and who waits.

A replica that fails forgets its sessions and takes nothing until it is back; frames that were sent
to it before do not arrive. As soon as that is noticed, its devices open their sessions at others,
in a new epoch, from the tokens chosen so far; where none is left they wait for the first that is
back. A device that leaves does so without a word: what the cloud keeps for it, it keeps until its
session has been silent for too long.

A replica whose host dies in the laboratory (``lose``, ``gain``) is left and found again in the same
way, and is no incident.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from actors.device import DeviceRun
from actors.failures import Departure, Incident, ReplicaFailure
from actors.homes import Homes
from actors.lanes import Handler, Lane
from actors.plan import ArmPlan
from netsim.heap import EventHeap


@dataclass(frozen=True, slots=True)
class Hooks:
    """What is done with a session, and with a replica.

    Args:
        start: begins a session, at (device, intended arrival, now).
        reopen: opens it again from its tokens so far, at (device, now).
        leave: ends it, because its device has left, at (device, now).
        fail: has a replica forget all; one that does so by itself needs not be told.
        come_back: has a replica serve again, likewise.
        note: told of what happened, and of more sessions that it happened to.
    """

    start: Callable[[DeviceRun, int, int], None]
    reopen: Callable[[DeviceRun, int], None]
    leave: Callable[[DeviceRun, int], None]
    fail: Callable[[int], None]
    come_back: Callable[[int], None]
    note: Callable[[Incident], None]


class Failing:
    """The failures of one arm, for some of its devices."""

    def __init__(
        self,
        plan: ArmPlan,
        devices: Sequence[DeviceRun],
        own: Mapping[int, int],
        replicas: int,
        hooks: Hooks,
    ) -> None:
        """Begin with all there.

        Args:
            plan: says what fails when.
            devices: those that are served here.
            own: device -> its replica, for the whole fleet: all of them seek a place at once.
            replicas: of the large model; 0 for methods without a cloud.
            hooks: what is done.
        """
        self._plan = plan
        self._device_of: Mapping[int, DeviceRun] = {each.plan.device: each for each in devices}
        self._hooks = hooks
        self._replicas = replicas
        self._homes = Homes(own, replicas, plan.standing) if replicas else None
        self._waiting: dict[int, int | None] = {}
        self._unnoticed: dict[int, Incident] = {}
        self._noticed: set[int] = set()
        self._dead: set[int] = set()
        self._last: Incident | None = None

    def plan(self, heap: EventHeap[Handler]) -> None:
        """Put what fails on a heap."""
        noticed: dict[int, list[ReplicaFailure]] = {}
        for index, failure in enumerate(self._plan.failures if self._replicas else ()):
            key = (failure.replica, index, 0)
            heap.push(failure.at_ns, Lane.FAILURE, *key, partial(self._fail, failure))
            noticed.setdefault(failure.noticed_ns, []).append(failure)
            if failure.back_ns is not None:
                heap.push(failure.back_ns, Lane.RETURN, *key, partial(self._return, failure))
        for at_ns, together in noticed.items():
            # All at once, so that nobody turns to one that is found out in the same instant.
            heap.push(at_ns, Lane.NOTICE, 0, 0, 0, partial(self._notice, together))
        for departure in self._plan.departures:
            leaves = partial(self._leave, departure)
            heap.push(departure.at_ns, Lane.DEPARTURE, departure.device, 0, 0, leaves)

    def begins(self, device: DeviceRun, intended_ns: int) -> bool:
        """Send a session that begins to its replica; whether there is one, or it has to wait."""
        return self._sent(device, intended_ns)

    def goes_on(self, device: DeviceRun) -> bool:
        """Send a session that began elsewhere to its replica, or have it wait likewise."""
        return self._sent(device, None)

    def ended(self, device: DeviceRun) -> None:
        """Hear that a device's session is over."""
        self._waiting.pop(device.plan.device, None)

    def _sent(self, device: DeviceRun, intended_ns: int | None) -> bool:
        if self._homes is None:
            return True
        number = device.plan.device
        home = self._homes.of(number)
        if home is None:
            self._waiting[number] = intended_ns
            if self._last is not None and self._noticed:
                self._hooks.note(replace(self._last, waited=1))
            return False
        device.replica = home
        return True

    # ------------------------------------------------------------------ replicas

    def _fail(self, failure: ReplicaFailure, now_ns: int) -> None:
        del now_ns
        self._hooks.fail(failure.replica)
        self._last = Incident("replica_fails", failure.at_ns, failure.replica)
        self._unnoticed[failure.replica] = self._last
        self._hooks.note(self._last)

    def _notice(self, failures: Sequence[ReplicaFailure], now_ns: int) -> None:
        # One that is back by now has been noticed.
        found = {
            each.replica: self._unnoticed.pop(each.replica)
            for each in failures
            if each.replica in self._unnoticed
        }
        self._noticed.update(found)
        if self._homes is not None:
            self._homes.lose(list(found))
        for replica, incident in found.items():
            self._turn(self._served_by(replica), incident, now_ns)

    def _return(self, failure: ReplicaFailure, now_ns: int) -> None:
        replica = failure.replica
        self._hooks.come_back(replica)
        self._noticed.discard(replica)
        incident = Incident("replica_is_back", now_ns, replica)
        if failure.back_ns is not None:
            incident = replace(incident, at_ns=failure.back_ns)
        self._hooks.note(incident)
        forgotten = self._unnoticed.pop(replica, None) is not None
        if self._homes is None or replica in self._dead:
            return
        self._homes.gain(replica)
        if forgotten:
            self._turn(self._served_by(replica), incident, now_ns)
        self._let_in(incident, now_ns)

    def lose(self, replica: int, now_ns: int) -> None:
        """Have a replica's devices turn to others, for its host has died."""
        if self._homes is None:
            return
        self._dead.add(replica)
        self._homes.lose([replica])
        self._turn(self._served_by(replica), None, now_ns)

    def gain(self, replica: int, now_ns: int) -> None:
        """Let a replica whose host was made again have its devices' next requests."""
        self._dead.discard(replica)
        if self._homes is None or replica in self._noticed:
            return
        self._homes.gain(replica)
        self._let_in(None, now_ns)

    def _let_in(self, incident: Incident | None, now_ns: int) -> None:
        """Let those who wait go on where they can be served now."""
        for number, intended_ns in sorted(self._waiting.items()):
            device = self._device_of[number]
            home = self._homes.of(number) if self._homes is not None else None
            if home is None:
                continue
            del self._waiting[number]
            if intended_ns is None:
                if device.machine is None or not device.machine.alone:
                    self._turn([device], incident, now_ns)
            else:
                device.replica = home
                self._hooks.start(device, intended_ns, now_ns)

    def _served_by(self, replica: int) -> list[DeviceRun]:
        return [
            device
            for number, device in sorted(self._device_of.items())
            if device.machine is not None
            and not device.machine.alone
            and device.replica == replica
            and number not in self._waiting
        ]

    def _turn(self, devices: Sequence[DeviceRun], incident: Incident | None, now_ns: int) -> None:
        """Open devices' sessions again at their homes, or have them wait for one."""
        for device in devices:
            home = self._homes.of(device.plan.device) if self._homes is not None else None
            if incident is not None:
                waits = home is None
                self._hooks.note(replace(incident, moved=not waits, waited=waits))
            if home is None:
                self._waiting[device.plan.device] = None
                continue
            device.replica = home
            self._hooks.reopen(device, now_ns)

    # ------------------------------------------------------------------ devices

    def _leave(self, departure: Departure, now_ns: int) -> None:
        number = departure.device
        self._waiting.pop(number, None)
        if self._homes is not None:
            self._homes.leave(number)
        device = self._device_of.get(number)
        if device is not None:
            self._hooks.note(Incident("device_leaves", departure.at_ns, number))
            self._hooks.leave(device, now_ns)
