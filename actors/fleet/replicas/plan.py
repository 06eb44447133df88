"""What fails of a cell with several replicas, as arrays; what cannot be told is refused."""

from __future__ import annotations

import numpy as np

from actors.failures import Incident, IncidentKind
from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.layout import FREE_TOKENS, Fleet
from actors.fleet.replicas.banks import MOST_REPLICAS
from actors.fleet.replicas.failing import FAILS, LEAVES, NOTICED, RETURNS
from actors.fleet.replicas.homes import MOVED, WAITED
from actors.fleet.sharing import fluid_egress
from actors.fleet.trouble.slots import NEXT_DEVICE, NEXT_HAPPENING, TROUBLE_FIGURES
from actors.plan import ArmPlan
from costeer.errors import ConfigError
from costeer.methods import CloudRole

MOST_FAILURES = 63
"""A session opens twice for a failure at most, and its epoch has one byte of a frame."""
_INCIDENTS: dict[int, IncidentKind] = {
    RETURNS: "replica_is_back",
    FAILS: "replica_fails",
    LEAVES: "device_leaves",
}


def replicas_of(cell: CellPlan, plan: ArmPlan) -> int:
    """Return how many replicas a cell has that may fail; 0 where there is one that does not.

    Raises:
        ConfigError: what the compiled way cannot carry out.
    """
    failing = [each for each in plan.failures if each.replica in cell.replicas]
    if plan.arm.method.cloud is CloudRole.ABSENT or (len(cell.replicas) == 1 and not failing):
        return 0
    if len(cell.replicas) > MOST_REPLICAS or len(failing) > MOST_FAILURES:
        raise ConfigError(
            f"events: {len(failing)} failures among {len(cell.replicas)} replicas that stand in for"
            f" one another, {MOST_FAILURES} among {MOST_REPLICAS} are the most in way: fleet;"
            " choose way: virtual, or place devices by regions (fleet.placement: sticky) of which"
            " each keeps a replica"
        )
    return len(cell.replicas)


def check_replicas(plan: ArmPlan) -> None:
    """Refuse what the compiled way does not know together with replicas that fail.

    Raises:
        ConfigError: what, and the way out.
    """
    if plan.arm.method.cloud is CloudRole.ABSENT or not plan.failures:
        return
    if plan.speculation is not None:
        raise ConfigError(
            "events: way: fleet does not know replicas that fail (replica_fails) together with"
            " drafts of devices (arms' speculation); choose way: virtual, or leave one of them out"
        )
    if fluid_egress(plan):
        raise ConfigError(
            "events: way: fleet has no replicas that fail where frames leave the cloud at the same"
            " time; choose way: virtual, or fifo for cloud.egress_sharing"
        )


def happenings_of(cell: CellPlan, plan: ArmPlan) -> Array:
    """Return what fails in a cell, in order: when, what, and the index of who."""
    at_ns = {each.device: each.at_ns for each in plan.departures}
    found = [
        (at_ns[number], LEAVES, index)
        for index, number in enumerate(cell.device_D.tolist())
        if number in at_ns
    ]
    index = {number: place for place, number in enumerate(cell.replicas)}
    failing = plan.failures if plan.arm.method.cloud is not CloudRole.ABSENT else ()
    for each in failing:
        if each.replica not in index:
            continue
        place = index[each.replica]
        found.append((each.at_ns, FAILS, place))
        found.append((each.noticed_ns, NOTICED, place))
        if each.back_ns is not None:
            found.append((each.back_ns, RETURNS, place))
    # Those who are found out together hear of it in the order of the events.
    found.sort(key=lambda one: (one[0], one[1], 0 if one[1] == NOTICED else one[2]))
    return np.array(found, np.int64).reshape(-1, 3)


def lay_out_engines(fleet: Fleet, cell: CellPlan, narrow: Array) -> Array:
    """Return the replicas' engines; the devices' homes are set."""
    replicas = fleet.trouble.replicas
    engines = np.zeros((replicas, col.REPLICA_FIGURES), np.int64)
    if replicas == 0:
        return engines
    engines[:, FREE_TOKENS] = fleet.kv_tokens
    engines[:, col.STANDS] = 1
    engines[:, col.HOMES] = np.bincount(cell.replica_D, minlength=replicas)
    for figure in (col.SERVED, col.HOME, col.OWN_REPLICA):
        narrow[: fleet.devices, figure] = cell.replica_D
    return engines


def incidents_of(cell: CellPlan, fleet: Fleet, trouble: Array) -> list[Incident]:
    """Return what has failed so far in a cell, in order."""
    done = int(trouble[NEXT_HAPPENING]) + int(trouble[NEXT_DEVICE] > 0)
    numbers = cell.device_D
    found = []
    for at, (at_ns, what, who) in enumerate(np.asarray(fleet.trouble.happenings)[:done].tolist()):
        if what not in _INCIDENTS:
            continue
        subject = int(numbers[who]) if what == LEAVES else cell.replicas[who]
        counts = TROUBLE_FIGURES + 2 * at
        moved, waited = int(trouble[counts + MOVED]), int(trouble[counts + WAITED])
        found.append(Incident(_INCIDENTS[what], at_ns, subject, moved, waited))
    return found
