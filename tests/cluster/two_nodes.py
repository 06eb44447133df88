"""Starts two local Ray nodes, runs a fleet on both, joins again; prints what it found as JSON."""

from __future__ import annotations

import json
from typing import Any

from ray._private.state import actors
from ray.cluster_utils import Cluster

from cluster.ray_port import RayPort
from cluster.supervised import SupervisedHandle
from costeer.errors import ConfigError
from experiments.results import digest
from tests.actors.fleets import MS, arm_plan, device, generated_hosts, link, run_virtual


def main() -> None:
    make: Any = Cluster  # not annotated there
    nodes = make(initialize_head=True, head_node_args={"num_cpus": 2, "include_dashboard": False})
    try:
        nodes.add_node(num_cpus=2)
        nodes.wait_for_nodes()
        found: dict[str, object] = {}
        port = RayPort(nodes.address, min_cpus=3)
        hosts = generated_hosts(2, port)
        places = {
            one.place()[0] for one in (hosts[0], *hosts[1]) if isinstance(one, SupervisedHandle)
        }
        found["nodes"] = len(places)
        devices = [device(number, where=link(2 * MS, jitter_ns=MS)) for number in range(4)]
        found["digest"] = digest(run_virtual(arm_plan("costeer", devices), hosts))
        port.close()
        # Still there: it can be joined again, and none of our actors is left.
        again = RayPort(nodes.address)
        states: Any = actors()
        found["living_actors"] = sum(one["State"] != "DEAD" for one in states.values())
        again.close()
        for name, cpus, gpus in (("too_many", 99, 0.0), ("no_gpu", 1, 1.5)):
            try:
                RayPort(nodes.address, min_cpus=cpus, min_gpus=gpus)
            except ConfigError as error:
                found[name] = str(error)
    finally:
        nodes.shutdown()
    print(json.dumps(found))  # noqa: T201 - read by the test that starts this


if __name__ == "__main__":
    main()
