"""Hosts on two nodes: where they are put, what they say, and where there is no room for them."""

from __future__ import annotations

from typing import Any

from ray._private.state import actors
from ray.util import placement_group_table

from cluster.ray_port import RayPort
from cluster.room import Room
from cluster.supervised import SupervisedHandle
from costeer.errors import ConfigError
from experiments.results import digest
from tests.actors.fleets import MS, arm_plan, device, generated_hosts, link, run_virtual


def placed(address: str) -> dict[str, object]:
    """Hosts near each other, apart from each other, and where there is no room for either."""
    found: dict[str, object] = {}
    pairs: list[list[float]] = [[0.0, 0.0], [0.0, 0.0]]
    port = RayPort(address, min_cpus=4, groups=pairs, placement="pack")
    hosts = [port.start(list, group=group) for group in (0, 1, 0, 1)]
    found["packed"] = [host.place()[0] for host in hosts]
    try:
        Room([[0.0, 0.0, 0.0]], "pack", wait_s=0.1)  # each node has two left
    except ConfigError as error:
        found["in_use"] = str(error)
    port.close()
    port = RayPort(address, groups=[[0.0, 0.0]], placement="spread")
    found["spread"] = [port.start(list, group=0).place()[0] for _ in range(2)]
    port.close()
    try:
        RayPort(address, groups=[[0.0] * 5], placement="pack")
    except ConfigError as error:
        found["too_near"] = str(error)
    port = RayPort(address)
    groups: Any = placement_group_table()
    found["reserved"] = sum(each["state"] != "REMOVED" for each in groups.values())
    port.close()
    return found


def on_two_nodes(address: str) -> dict[str, object]:
    """Run a fleet on two nodes of four CPUs, join again; return what was found."""
    found: dict[str, object] = {}
    port = RayPort(address, min_cpus=3)
    hosts = generated_hosts(2, port)
    places = {one.place()[0] for one in (hosts[0], *hosts[1]) if isinstance(one, SupervisedHandle)}
    found["nodes"] = len(places)
    devices = [device(number, where=link(2 * MS, jitter_ns=MS)) for number in range(4)]
    found["digest"] = digest(run_virtual(arm_plan("costeer", devices), hosts))
    port.close()
    # Still there: it can be joined again, and none of our actors is left.
    again = RayPort(address)
    states: Any = actors()
    found["living_actors"] = sum(one["State"] != "DEAD" for one in states.values())
    again.close()
    found |= placed(address)
    for name, cpus, gpus in (("too_many", 99, 0.0), ("no_gpu", 1, 1.5)):
        try:
            RayPort(address, min_cpus=cpus, min_gpus=gpus)
        except ConfigError as error:
            found[name] = str(error)
    return found
