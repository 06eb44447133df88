"""The devices of a scenario: class, link, cell, and when each asks.

Every draw is a pure function of (seed, stream, device, counter), so all arms see the same users
at the same times, whatever their number and wherever they run.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.plan import Cell, DevicePlan, Request
from experiments.links import class_links
from experiments.scenario import PoissonArrivals, Scenario
from experiments.workload import assign_classes
from netsim.profiles import drawn
from netsim.random import Stream, exponential, uniform

_NS = 1e9


def requests_per_device(scenario: Scenario) -> int:
    """How often a device asks, at most."""
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return -(-arrivals.requests // scenario.fleet.devices)
    return arrivals.requests_per_device


def plan_devices(
    scenario: Scenario, requests: Sequence[tuple[Request, ...]]
) -> tuple[DevicePlan, ...]:
    """Give each device its class, its link and the times of its requests.

    Args:
        scenario: says how many devices of which kinds.
        requests: what each device asks, in the order of the devices.
    """
    fleet = scenario.fleet
    links = class_links(fleet, scenario.seed)
    chosen = assign_classes([each.share for each in fleet.classes], fleet.devices)
    arrivals_ns = _arrivals_ns(scenario)
    cells = _cells(scenario, chosen)
    plans = []
    for device in range(fleet.devices):
        mine = arrivals_ns[device] if arrivals_ns else None
        link = links[chosen[device]]
        plans.append(
            DevicePlan(
                device=device,
                link_class=link.name,
                link=drawn(link, scenario.seed, device),
                device_class=fleet.classes[chosen[device]].hardware,
                requests=requests[device] if mine is None else requests[device][: len(mine)],
                think_ns=_think_ns(scenario, device, len(requests[device])) if mine is None else (),
                arrivals_ns=mine,
                cell=cells[device],
            )
        )
    return tuple(plans)


def _cells(scenario: Scenario, chosen: Sequence[int]) -> list[Cell | None]:
    """The cell of each device: so many members of a class, in the order of the devices, share one.

    ``chosen`` is each device's class.
    """
    members = [0] * len(scenario.fleet.classes)
    numbers: dict[tuple[int, int], int] = {}
    cells: list[Cell | None] = []
    for index in chosen:
        each = scenario.fleet.classes[index]
        group = (index, members[index] // each.shared_by)
        members[index] += 1
        number = numbers.setdefault(group, len(numbers))
        cells.append(Cell(number, each.sharing) if each.shared_by > 1 else None)
    return cells


def _think_ns(scenario: Scenario, device: int, requests: int) -> tuple[int, ...]:
    """Closed loop: pauses before each request; the first within one mean pause of the start."""
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return ()
    mean_ns = arrivals.think_s * _NS
    first = uniform(scenario.seed, Stream.ARRIVAL, device, 0)
    later = [exponential(scenario.seed, Stream.ARRIVAL, device, one) for one in range(1, requests)]
    return tuple(int(draw * mean_ns) for draw in (first, *later))


def _arrivals_ns(scenario: Scenario) -> list[tuple[int, ...]] | None:
    """Open loop: one Poisson process over the fleet, dealt out to the devices in turn."""
    arrivals = scenario.fleet.arrivals
    if not isinstance(arrivals, PoissonArrivals):
        return None
    per_device: list[list[int]] = [[] for _ in range(scenario.fleet.devices)]
    at_s = 0.0
    for index in range(arrivals.requests):
        at_s += exponential(scenario.seed, Stream.ARRIVAL, 0, index) / arrivals.rate_per_s
        per_device[index % scenario.fleet.devices].append(int(at_s * _NS))
    return [tuple(mine) for mine in per_device]
