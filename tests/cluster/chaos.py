"""Kills parts of a running laboratory at seeded points, and compares what was said with a calm run.

A process of its own (``python -m tests.cluster.chaos``), because it starts raylets and kills them.
It prints one JSON line per kill and ends with exit code 1 if any digest differs.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import count
from random import Random
from typing import Any

from ray.cluster_utils import Cluster

from actors.plan import ArmPlan
from cluster.ray_port import RayPort
from cluster.supervised import SupervisedHandle
from experiments.results import digest
from tests.actors.fleets import MS, Hosts, arm_plan, device, driver_of, generated_hosts, link

SHARDS = 2
METHODS = {
    "cloud": ("costeer", "llm_with"),
    "shard": ("costeer", "slm_with"),
    "raylet": ("costeer", "llm_with"),
}
"""Methods that need what is killed."""


@dataclass(frozen=True)
class Point:
    """One kill.

    Args:
        target: what is killed.
        method: of the arm.
        after_share: of the events of an undisturbed run, those before it.
    """

    target: str
    method: str
    after_share: float


def points(number: int, seed: int, targets: list[str]) -> list[Point]:
    """Draw kills; every target in turn."""
    random = Random(seed)
    found = []
    for index in range(number):
        target = targets[index % len(targets)]
        share = round(random.uniform(0.02, 0.8), 3)
        found.append(Point(target, random.choice(METHODS[target]), share))
    return found


class Nodes:
    """A head without room for hosts, and raylets that hosts live on."""

    def __init__(self) -> None:
        make: Any = Cluster  # not annotated there
        quick = {"health_check_failure_threshold": 2, "health_check_period_ms": 500}
        self._cluster = make(
            initialize_head=True,
            head_node_args={"num_cpus": 0, "include_dashboard": False, "_system_config": quick},
        )
        for _ in range(2):
            self.add()
        self._cluster.wait_for_nodes()

    @property
    def address(self) -> str:
        found: str = self._cluster.address
        return found

    def add(self) -> None:
        self._cluster.add_node(num_cpus=4)

    def kill_one(self, handle: SupervisedHandle) -> None:
        """Kill the raylet that a host lives under, and put another in its place."""
        node_id, _ = handle.place()
        for node in list(self._cluster.worker_nodes):
            if node.node_id == node_id:
                self._cluster.remove_node(node, allow_graceful=False)
        self.add()

    def shutdown(self) -> None:
        self._cluster.shutdown()


def kill_process(handle: SupervisedHandle) -> None:
    """SIGKILL the process that a host lives in."""
    os.kill(handle.place()[1], signal.SIGKILL)


def fleet(method: str) -> ArmPlan:
    devices = [device(number, 2, where=link(2 * MS, jitter_ns=MS)) for number in range(4)]
    return arm_plan(method, devices, max_new_tokens=6)


def run(method: str, hosts: Hosts | None, at: int, kill: Callable[[], None]) -> tuple[str, int]:
    """Run an arm, with a kill after so many events; return its digest and how many there were."""
    events = count()

    def stopped() -> bool:
        if next(events) == at:
            kill()
        return False

    return digest(driver_of(fleet(method), hosts).run(stopped)), next(events)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--targets", default="cloud,shard,raylet")
    arguments = parser.parse_args()
    nodes = Nodes()
    failed = 0
    try:
        port = RayPort(nodes.address, min_cpus=SHARDS + 1)
        calm = {
            method: run(method, None, -1, lambda: None)
            for methods in METHODS.values()
            for method in methods
        }
        hosts = generated_hosts(SHARDS, port)

        def kill(point: Point) -> None:
            host = hosts[1][0] if point.target == "shard" else hosts[0]
            assert isinstance(host, SupervisedHandle)
            if point.target == "raylet":
                nodes.kill_one(host)
            else:
                kill_process(host)

        for point in points(arguments.points, arguments.seed, arguments.targets.split(",")):
            before, began_s = len(port.recoveries), time.monotonic()
            expected, events = calm[point.method]
            found, _ = run(
                point.method, hosts, int(point.after_share * events), partial(kill, point)
            )
            same = found == expected
            failed += not same
            news = port.recoveries[before:]
            line = {
                **asdict(point),
                "same": same,
                "wall_s": round(time.monotonic() - began_s, 2),
                "recovery_s": [round(each.took_s, 2) for each in news],
            }
            print(json.dumps(line), flush=True)  # noqa: T201 - read by whoever started this
        port.close()
    finally:
        nodes.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
