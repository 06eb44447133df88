"""Which replicas of a fleet are one cell: those that may stand in for one another.

A compiled fleet runs a cell per replica, and nothing passes from one to another. Where a replica
fails its devices turn to others: to those of its region while one of these is left, else to any.
So with failures a region is one cell; where a region is ever left without a replica, or there are
no regions, all replicas are. Which it is follows from the scenario alone, before anything runs.
"""

from __future__ import annotations

import math

from actors.failures import ALIKE, Standing
from experiments.planning.members import most_devices
from experiments.scenario import Scenario, Sticky, Weighted
from experiments.scenario.events import failures_of

_NS = 1e9


def standing_of(scenario: Scenario) -> Standing:
    """Return who stands in for whom: as devices are placed."""
    placement = scenario.fleet.placement
    if isinstance(placement, Weighted):
        return Standing(weights=placement.weights)
    if isinstance(placement, Sticky):
        regions = [
            index for index, each in enumerate(placement.regions) for _ in range(each.replicas)
        ]
        return Standing(regions=tuple(regions))
    return ALIKE


def replicas_of_cells(scenario: Scenario) -> tuple[tuple[int, ...], ...]:
    """Return the numbers of each cell's replicas, in ascending order."""
    everyone = range(scenario.cloud.replicas)
    failing = {each.replica for each in failures_of(scenario.events)}
    if not failing:
        return tuple((replica,) for replica in everyone)
    standing = standing_of(scenario)
    if _emptied(scenario, standing):
        return (tuple(everyone),)
    disturbed = {standing.region(replica) for replica in failing}
    cells: dict[tuple[int, int], list[int]] = {}
    for replica in everyone:
        region = standing.region(replica)
        key = (region, -1 if region in disturbed else replica)
        cells.setdefault(key, []).append(replica)
    return tuple(tuple(each) for each in cells.values())


def most_devices_of_a_cell(scenario: Scenario) -> int:
    """Return about how many devices the cell with the most has, without placing any."""
    cells, placement = replicas_of_cells(scenario), scenario.fleet.placement
    largest = max(map(len, cells))
    devices = scenario.fleet.devices
    if largest == scenario.cloud.replicas:
        return devices
    if largest == 1 or not isinstance(placement, Sticky):
        return most_devices(scenario)
    standing = standing_of(scenario)
    shares = (
        placement.regions[standing.region(each[0])].share
        * (len(each) / placement.regions[standing.region(each[0])].replicas)
        for each in cells
    )
    return math.ceil(devices * max(shares)) + 1


def _emptied(scenario: Scenario, standing: Standing) -> bool:
    """Whether devices of a region ever find none of its replicas there."""
    changes: list[tuple[int, bool, int]] = []
    for each in failures_of(scenario.events):
        noticed_ns = round((each.at_s + each.noticed_after_s) * _NS)
        changes.append((noticed_ns, True, each.replica))
        if each.back_s is not None:
            changes.append((max(noticed_ns + 1, round(each.back_s * _NS)), False, each.replica))
    away: set[int] = set()
    for _, fails, replica in sorted(changes):
        if fails:
            away.add(replica)
        else:
            away.discard(replica)
        region = standing.region(replica)
        mine = {each for each in range(scenario.cloud.replicas) if standing.region(each) == region}
        if mine <= away:
            return True
    return False
