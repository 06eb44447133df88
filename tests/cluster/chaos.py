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

from actors.live.driver import run_live
from actors.plan import ArmPlan
from cluster.ray_port import RayPort
from cluster.supervised import SupervisedHandle
from costeer.methods import CloudRole
from experiments.results import digest, output_digest
from tests.actors.fleets import (
    MS,
    Hosts,
    arm_plan,
    begin,
    device,
    driver_of,
    generated_hosts,
    link,
    recorder_of,
)

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
        after_share: of the events (live: of the tokens) of an undisturbed run, those before it.
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
    return arm_plan(method, devices, max_new_tokens=12)


def simulated(
    method: str, hosts: Hosts | None, share: float, kill: Callable[[], None]
) -> tuple[str, float]:
    """Run an arm in simulated time, with a kill after a share of its events; return its digest."""
    events = count()
    at = int(share * EVENTS.get(method, 0)) if hosts is not None else -1

    def stopped() -> bool:
        if next(events) == at:
            kill()
        return False

    found = digest(driver_of(fleet(method), hosts).run(stopped))
    EVENTS[method] = next(events)
    return found, 0.0


EVENTS: dict[str, int] = {}
"""Events of an undisturbed run, once there was one."""


def live(
    method: str, hosts: Hosts | None, share: float, kill: Callable[[], None]
) -> tuple[str, float]:
    """Run an arm live, with a kill after a share of its tokens.

    Returns:
        The digest of what it said, and how long the session that stood still longest did, seconds.
    """
    plan = fleet(method)
    if hosts is None:
        return output_digest(driver_of(plan).run().tokens), 0.0
    recorder = recorder_of(plan)
    left = [int(share * plan.expected_tokens)]

    def wait(pause_s: float) -> None:
        if left and len(recorder.run.tokens) >= left[0]:
            left.clear()
            kill()
        time.sleep(pause_s / 20)

    terms = begin(plan, hosts)
    needed = (hosts[0],) if plan.arm.method.cloud is not CloudRole.ABSENT else ()
    run = run_live(plan, terms, needed, hosts[1], recorder, wait)
    still = [row.record.stages_ns[0] for row in run.tokens if row.record.position]
    return output_digest(run.tokens), round(max(still, default=0) / 1e9, 2)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--targets", default="cloud,shard,raylet")
    parser.add_argument("--way", choices=("virtual", "live"), default="virtual")
    arguments = parser.parse_args()
    run = live if arguments.way == "live" else simulated
    nodes = Nodes()
    failed = 0
    try:
        port = RayPort(nodes.address, min_cpus=SHARDS + 1)
        wanted = sorted({method for methods in METHODS.values() for method in methods})
        calm = {method: run(method, None, 0, lambda: None)[0] for method in wanted}
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
            found, stood_still_s = run(point.method, hosts, point.after_share, partial(kill, point))
            same = found == calm[point.method]
            failed += not same
            line = {
                "way": arguments.way,
                **asdict(point),
                "same": same,
                "wall_s": round(time.monotonic() - began_s, 2),
                "recovery_s": [round(each.took_s, 2) for each in port.recoveries[before:]],
                "stood_still_s": stood_still_s,
            }
            print(json.dumps(line), flush=True)  # noqa: T201 - read by whoever started this
        port.close()
    finally:
        nodes.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
