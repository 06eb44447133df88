"""What a simulated run does when something fails in the model: who goes where, and who waits.

A replica that fails forgets its sessions and takes nothing until it is back; frames that were sent
to it before do not arrive. As soon as that is noticed, its devices open their sessions at others,
in a new epoch, from the tokens chosen so far; where none is left they wait for the first that is
back. A device that leaves does so without a word: what the cloud keeps for it, it keeps until its
session has been silent for too long.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from actors.device import DeviceRun
from actors.failures import Incident, ReplicaFailure
from actors.homes import Homes
from actors.plan import ArmPlan
from actors.virtual.lanes import Handler, Lane
from actors.virtual.replica import Replica
from netsim.heap import EventHeap


@dataclass(frozen=True, slots=True)
class Sessions:
    """What a driver does with a device's session.

    Args:
        start: begins it, at (device, intended arrival, now).
        reopen: opens it again from its tokens so far, at (device, now).
        leave: ends it, because its device has left, at (device, now).
    """

    start: Callable[[DeviceRun, int, int], None]
    reopen: Callable[[DeviceRun, int], None]
    leave: Callable[[DeviceRun, int], None]


class Failing:
    """The failures of one arm."""

    def __init__(
        self,
        plan: ArmPlan,
        devices: Sequence[DeviceRun],
        replicas: Sequence[Replica],
        sessions: Sessions,
    ) -> None:
        """Begin with all there.

        Args:
            plan: says what fails when.
            devices: the fleet.
            replicas: of the large model; none for methods without a cloud.
            sessions: the driver's.
        """
        self._plan = plan
        self._device_of: Mapping[int, DeviceRun] = {each.plan.device: each for each in devices}
        self._replicas = replicas
        self._sessions = sessions
        own = {number: each.plan.replica for number, each in self._device_of.items()}
        self._homes = Homes(own, len(replicas), plan.standing) if replicas else None
        self._waiting: dict[int, int | None] = {}
        self._unnoticed: dict[int, Incident] = {}
        self._last: Incident | None = None
        self.incidents: list[Incident] = []
        """What has happened so far."""

    def plan(self, heap: EventHeap[Handler]) -> None:
        """Put what fails on the heap."""
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
            leaves = partial(self._leave, departure.device)
            heap.push(departure.at_ns, Lane.DEPARTURE, departure.device, 0, 0, leaves)

    def begins(self, device: DeviceRun, intended_ns: int) -> bool:
        """Send a session that begins to its replica; whether there is one, or it has to wait."""
        if self._homes is None:
            return True
        number = device.plan.device
        home = self._homes.of(number)
        if home is None:
            self._waiting[number] = intended_ns
            if self._last is not None:
                self._last.waited += 1
            return False
        device.replica = home
        return True

    def ended(self, device: DeviceRun) -> None:
        """Hear that a device's session is over."""
        self._waiting.pop(device.plan.device, None)

    # ------------------------------------------------------------------ replicas

    def _fail(self, failure: ReplicaFailure, now_ns: int) -> None:
        self._replicas[failure.replica].fail()
        self._last = Incident("replica_fails", now_ns, failure.replica)
        self._unnoticed[failure.replica] = self._last
        self.incidents.append(self._last)

    def _notice(self, failures: Sequence[ReplicaFailure], now_ns: int) -> None:
        # One that is back by now has been noticed.
        found = {
            each.replica: self._unnoticed.pop(each.replica)
            for each in failures
            if each.replica in self._unnoticed
        }
        if self._homes is not None:
            self._homes.lose(list(found))
        for replica, incident in found.items():
            for device in self._served_by(replica):
                self._turn(device, incident, now_ns)

    def _return(self, failure: ReplicaFailure, now_ns: int) -> None:
        if self._homes is None:
            return
        replica = failure.replica
        self._replicas[replica].come_back()
        self._homes.gain(replica)
        incident = Incident("replica_is_back", now_ns, replica)
        self.incidents.append(incident)
        if self._unnoticed.pop(replica, None) is not None:
            for device in self._served_by(replica):
                self._turn(device, incident, now_ns)
        for number, intended_ns in sorted(self._waiting.items()):
            device, home = self._device_of[number], self._homes.of(number)
            if home is None:
                continue
            del self._waiting[number]
            if intended_ns is None:
                if device.machine is not None and not device.machine.alone:
                    self._turn(device, incident, now_ns)
            else:
                device.replica = home
                self._sessions.start(device, intended_ns, now_ns)

    def _served_by(self, replica: int) -> list[DeviceRun]:
        return [
            device
            for number, device in sorted(self._device_of.items())
            if device.machine is not None
            and not device.machine.alone
            and device.replica == replica
            and number not in self._waiting
        ]

    def _turn(self, device: DeviceRun, incident: Incident, now_ns: int) -> None:
        """Open a device's session again at its home, or have it wait for one."""
        home = self._homes.of(device.plan.device) if self._homes is not None else None
        if home is None:
            self._waiting[device.plan.device] = None
            incident.waited += 1
            return
        incident.moved += 1
        device.replica = home
        self._sessions.reopen(device, now_ns)

    # ------------------------------------------------------------------ devices

    def _leave(self, number: int, now_ns: int) -> None:
        self._waiting.pop(number, None)
        if self._homes is not None:
            self._homes.leave(number)
        incident = Incident("device_leaves", now_ns, number)
        self.incidents.append(incident)
        self._sessions.leave(self._device_of[number], now_ns)
