"""The network of a simulated run: every device's link, what devices share, replicas' ways out.

Where everything is served first in, first out, an arrival is known when its frame is sent. Under
processor sharing it depends on who comes later: then the frame is handed to the fluid model, and
the driver is told when to look again.

A frame that crosses something shared meets two limits, and arrives when both let it: its own
connection, as if it had the shared rate alone (window, jitter, losses), and its part of the shared
rate, after which it still has to travel.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from actors.device import AccessLink, CloudEgress
from actors.plan import ArmPlan, DevicePlan
from netsim.carriage import UNLIMITED
from netsim.egress import Egress
from netsim.link import Delivery, Direction
from netsim.sharing import Discipline, SharedLinks

Deliver = Callable[[int], None]
"""Takes the time of arrival."""


@dataclass(slots=True)
class _Way:
    """One device's way in one direction, beside its own link.

    Args:
        path: what it shares with others under processor sharing, a replica's egress not counted.
        cell: what it shares with others first in, first out; None for nothing.
        ordered: whether frames arrive in the order in which they were sent.
        last_ns: when the frame sent last arrives.
    """

    path: tuple[int, ...] = ()
    cell: Egress | None = None
    ordered: bool = True
    last_ns: int = 0


class Network:
    """Carries frames between devices and cloud."""

    __slots__ = ("_down", "_egresses", "_shared", "_shares_egress", "_up")

    def __init__(self, plan: ArmPlan) -> None:
        """Lay it out, idle."""
        sharing = plan.egress_discipline is Discipline.PS and plan.egress_bps != UNLIMITED
        self._shares_egress = sharing
        fifo_bps = UNLIMITED if sharing else plan.egress_bps
        self._egresses = [CloudEgress(fifo_bps) for _ in range(plan.replicas)]
        capacity_bps = [plan.egress_bps] * plan.replicas if sharing else []
        cells: dict[tuple[str, int], _Way] = {}

        def way(device: DevicePlan, name: str, direction: Direction) -> _Way:
            cell, rate_bps = device.cell, direction.rate_bps
            key = (name, -1 - device.device if cell is None else cell.number)
            if key not in cells:
                # Beside a shared egress a link of one's own is a limit like any other.
                fluid = cell.discipline is Discipline.PS if cell else sharing and name == "down"
                made = cells[key] = _Way()
                if rate_bps != UNLIMITED and fluid:
                    made.path = (len(capacity_bps),)
                    capacity_bps.append(rate_bps)
                elif rate_bps != UNLIMITED and cell is not None:
                    made.cell = Egress(rate_bps)
            return _Way(cells[key].path, cells[key].cell, device.link.transport.ordered)

        self._down = {each.device: way(each, "down", each.link.down) for each in plan.devices}
        self._up = {each.device: way(each, "up", each.link.up) for each in plan.devices}
        self._shared = SharedLinks[Callable[[int], None]](capacity_bps)

    def egress_busy_ns(self, replica: int = 0) -> int:
        """How long a replica's way out was sending."""
        if self._shares_egress:
            return self._shared.busy_ns[replica]
        return self._egresses[replica].busy_ns

    def up(self, access: AccessLink, now_ns: int, frame_bytes: int, deliver: Deliver) -> None:
        """Send a frame up; `deliver` is called as soon as its arrival is known."""
        sent = access.up(now_ns, frame_bytes)
        device = access.device
        way = self._up[device]
        self._cross(("up", device, 0), way, way.path, now_ns, sent, deliver)

    def down(
        self,
        access: AccessLink,
        now_ns: int,
        frame_bytes: int,
        payload_bytes: int,
        deliver: Deliver,
        replica: int = 0,
    ) -> None:
        """Send a frame down; `deliver` is called as soon as its arrival is known."""
        left_ns = self._egresses[replica].depart(now_ns, frame_bytes)
        sent = access.down(left_ns, frame_bytes, payload_bytes)
        device = access.device
        way = self._down[device]
        path = (replica, *way.path) if self._shares_egress else way.path
        self._cross(("down", device, replica), way, path, left_ns, sent, deliver)

    def next_event_ns(self) -> int | None:
        """When to call `advance` next; None while all arrivals are known."""
        return self._shared.next_event_ns()

    def advance(self, now_ns: int) -> None:
        """Deliver what has crossed what it shares by now."""
        for done_ns, crossed in self._shared.advance(now_ns):
            crossed(done_ns)

    def _cross(
        self,
        flow: tuple[str, int, int],
        way: _Way,
        path: tuple[int, ...],
        now_ns: int,
        sent: Delivery,
        deliver: Deliver,
    ) -> None:
        arrive = partial(_arrive, way, sent, deliver)
        if path:
            self._shared.add(now_ns, flow, path, sent.wire_bytes, arrive)
        elif way.cell is not None:
            arrive(now_ns)
        else:
            deliver(sent.arrival_ns)


def _arrive(way: _Way, sent: Delivery, deliver: Deliver, done_ns: int) -> None:
    """Deliver a frame that has crossed what it shares with others at the same time."""
    if way.cell is not None:
        done_ns = way.cell.depart(done_ns, sent.wire_bytes)
    travelled_ns = done_ns + sent.arrival_ns - sent.departure_ns
    arrival_ns = max(sent.arrival_ns, travelled_ns)
    if way.ordered:
        arrival_ns = way.last_ns = max(arrival_ns, way.last_ns)
    deliver(arrival_ns)
