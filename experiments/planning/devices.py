"""The devices of a scenario as objects: class, link, cell, and when each asks.

The rules are those of ``members`` and ``timing``; here the arrays of all replicas become what the
drivers of machines take.
"""

from __future__ import annotations

from collections.abc import Sequence

from actors.plan import Cell, DevicePlan, Request
from experiments.planning.members import plan_members
from experiments.planning.timing import Timing
from experiments.scenario import Scenario
from netsim.profiles import drawn


def plan_devices(
    scenario: Scenario, timing: Timing, requests: Sequence[tuple[Request, ...]]
) -> tuple[DevicePlan, ...]:
    """Give each device its class, its link and the times of its requests.

    Args:
        scenario: says how many devices of which kinds.
        timing: when the fleet's users ask.
        requests: what each device asks, in the order of the devices; those that never come are
            left out.
    """
    found: dict[int, DevicePlan] = {}
    radios = 0
    for replica in range(scenario.cloud.replicas):
        members = plan_members(scenario, replica)
        for index, device in enumerate(members.device_D.tolist()):
            of, radio = members.classes[members.class_D[index]], int(members.radio_D[index])
            due_ns = timing.of(device)
            found[device] = DevicePlan(
                device=device,
                link_class=of.link.name,
                link=drawn(of.link, scenario.seed, device),
                device_class=of.device_class,
                requests=requests[device][: len(due_ns)],
                think_ns=() if timing.opened else due_ns,
                arrivals_ns=due_ns if timing.opened else None,
                cell=Cell(radios + radio, of.discipline) if radio >= 0 else None,
                replica=replica,
            )
        radios += int(members.radio_D.max(initial=-1)) + 1
    return tuple(found[device] for device in sorted(found))
