"""Harms a running laboratory at seeded points, and compares what was said with a calm run.

A process of its own (``python -m tests.cluster.chaos``), because it starts raylets and kills them.
It prints one JSON line per point and ends with exit code 1 if any digest differs.

============  ==============================================================================
cloud, shard  SIGKILL of the process that a host lives in
replica       likewise, of one of two replicas (live: its sessions go on at the other one)
raylet        SIGKILL of the node that the cloud lives on; another takes its place
stall         SIGSTOP of the cloud's process, and SIGCONT a second later
messages      the driver's own messages come late, overtake each other and come twice
driver        SIGKILL of ``costeer run``, then ``--resume``
============  ==============================================================================

Around all of them Ray itself can be told to lose or delay messages (``make chaos`` does).
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import count
from pathlib import Path
from random import Random
from threading import Timer
from typing import Any
from unittest.mock import patch

from ray.cluster_utils import Cluster

from actors.live.driver import run_live
from actors.plan import ArmPlan
from actors.port import Handle
from cluster.handle import _Call
from cluster.ray_port import UNWATCHED, RayPort
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
from tests.cluster.driver_kills import killed

SHARDS = 2
METHODS = {
    "cloud": ("costeer", "llm_with"),
    "shard": ("costeer", "slm_with"),
    "replica": ("costeer", "llm_with"),
    "raylet": ("costeer", "llm_with"),
    "stall": ("costeer", "llm_with"),
    "messages": ("costeer", "llm_with"),
    "driver": ("costeer", "llm_with"),
}
"""Methods that need what is harmed."""
_STALL_S = 1.0
_LATE_S = 0.03


@dataclass(frozen=True)
class Point:
    """One harm.

    Args:
        target: what is harmed.
        method: of the arm.
        after_share: of the events (live: of the tokens) of an undisturbed run, those before it.
    """

    target: str
    method: str
    after_share: float


def points(number: int, seed: int, targets: list[str]) -> list[Point]:
    """Draw them; every target in turn."""
    random = Random(seed)
    found = []
    for index in range(number):
        target = targets[index % len(targets)]
        share = round(random.uniform(0.02, 0.8), 3)
        found.append(Point(target, random.choice(METHODS[target]), share))
    return found


class Nodes:
    """A head without room for hosts, and raylets that hosts live on."""

    def __init__(self, caches: Path | None = None) -> None:
        """Start two; each has a folder of its own below ``caches`` for what it keeps, if given."""
        self._caches = caches
        self.caches: list[Path] = []
        make: Any = Cluster  # not annotated there
        quick = {"health_check_failure_threshold": 2, "health_check_period_ms": 500} | UNWATCHED
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
        more: dict[str, Any] = {}
        if self._caches is not None:
            self.caches.append(self._caches / f"cache-{len(self.caches)}")
            more = {"env_vars": {"XDG_CACHE_HOME": str(self.caches[-1])}}
        self._cluster.add_node(num_cpus=4, **more)

    def kill_one(self, handle: SupervisedHandle) -> None:
        """Kill the raylet that a host lives under, and put another in its place."""
        node_id, _ = handle.place()
        for node in list(self._cluster.worker_nodes):
            if node.node_id == node_id:
                self._cluster.remove_node(node, allow_graceful=False)
        self.add()

    def shutdown(self) -> None:
        self._cluster.shutdown()


def host_of(handle: Handle) -> SupervisedHandle:
    """Return a host as what knows its process and node."""
    assert isinstance(handle, SupervisedHandle)
    return handle


def kill_process(handle: SupervisedHandle) -> None:
    """SIGKILL the process that a host lives in."""
    os.kill(handle.place()[1], signal.SIGKILL)


def stall_process(handle: SupervisedHandle) -> None:
    """Stop the process that a host lives in, for a while."""
    pid = handle.place()[1]
    os.kill(pid, signal.SIGSTOP)
    Timer(_STALL_S, os.kill, (pid, signal.SIGCONT)).start()


@contextmanager
def unruly_messages(seed: int) -> Iterator[None]:
    """Send some of this process's messages late, behind later ones, and some twice."""
    random, send = Random(seed), _Call._send

    def unruly(call: _Call) -> Any:
        fate = random.random()
        if fate < 0.2:
            Timer(random.uniform(0, _LATE_S), send, (call,)).start()
        if fate < 0.1:
            time.sleep(random.uniform(0, _LATE_S))
        return send(call)

    with patch.object(_Call, "_send", unruly):
        yield


TOKENS = 12
"""Of each answer."""


def fleet(method: str, tokens: int = TOKENS, replicas: int = 1) -> ArmPlan:
    devices = [
        replace(device(number, 2, where=link(2 * MS, jitter_ns=MS)), replica=number % replicas)
        for number in range(4)
    ]
    return replace(arm_plan(method, devices, max_new_tokens=tokens), replicas=replicas)


def simulated(
    plan: ArmPlan, hosts: Hosts | None, share: float, kill: Callable[[], None]
) -> tuple[str, dict[str, Any]]:
    """Run an arm in simulated time, with a kill after a share of its events; return its digest."""
    events = count()
    arm = (plan.arm.method.name, plan.replicas)
    at = int(share * EVENTS.get(arm, 0)) if hosts is not None else -1

    def stopped() -> bool:
        if next(events) == at:
            kill()
        return False

    found = digest(driver_of(plan, hosts).run(stopped))
    EVENTS[arm] = next(events)
    return found, {}


EVENTS: dict[tuple[str, int], int] = {}
"""Events of an undisturbed run by method and replicas, once there was one."""


def live(
    plan: ArmPlan,
    hosts: Hosts | None,
    share: float,
    kill: Callable[[], None],
    second: Handle | None = None,
) -> tuple[str, dict[str, Any]]:
    """Run an arm live, with a kill after a share of its tokens.

    Returns:
        The digest of what it said; how long, seconds, the session that stood still longest did, and
        how long after each death the first one that it moved chose a token again.
    """
    if hosts is None:
        return output_digest(driver_of(plan).run().tokens), {}
    recorder = recorder_of(plan)
    left = [int(share * plan.expected_tokens)]

    def wait(pause_s: float) -> None:
        if left and len(recorder.run.tokens) >= left[0]:
            left.clear()
            kill()
        time.sleep(pause_s / 20)

    terms = begin(plan, hosts)
    needed: list[Handle] = []
    if plan.arm.method.cloud is not CloudRole.ABSENT:
        needed.append(hosts[0])
    if needed and second is not None and plan.replicas > 1:
        second.call("begin_arm", plan.arm)
        needed.append(second)
    run = run_live(plan, terms, needed, hosts[1], recorder, wait)
    still = [row.record.stages_ns[0] for row in run.tokens if row.record.position]
    first_s = [each.first_token_s for each in run.standstills]
    return output_digest(run.tokens), {
        "stood_still_s": round(max(still, default=0) / 1e9, 2),
        "first_token_s": [None if each is None else round(each, 2) for each in first_s],
    }


class Laboratory:
    """Hosts on a cluster of several nodes, and what they say when nothing happens."""

    def __init__(self, way: str, nodes: Nodes, tokens: int) -> None:
        self._nodes = nodes
        self._tokens = tokens
        self._port = RayPort(nodes.address, min_cpus=SHARDS + 2)
        self._calm: dict[tuple[str, int], str] = {}
        self._harmed = 0
        self._hosts = generated_hosts(SHARDS, self._port)
        # In a simulated run one host stands for both replicas.
        self._second = self._hosts[0]
        if way == "live":
            self._second, _ = generated_hosts(0, self._port, threads=2 * SHARDS + 1)
        self._run = partial(live, second=self._second) if way == "live" else simulated

    def close(self) -> None:
        self._port.close()

    def harmed(self, point: Point, number: int) -> dict[str, Any]:
        """Go through a point; return what became of it."""
        plan = fleet(point.method, self._tokens, 1 + (point.target == "replica"))
        arm = (point.method, plan.replicas)
        if arm not in self._calm:
            self._calm[arm] = self._run(plan, None, 0, lambda: None)[0]
        before, harmed = len(self._port.recoveries), self._harmed
        unruly = unruly_messages(number) if point.target == "messages" else nullcontext()
        with unruly:
            harm = partial(self._harm, point.target)
            found, felt = self._run(plan, self._hosts, point.after_share, harm)
        return {
            "same": found == self._calm[arm],
            # A live arm may be over before its driver looks again.
            "harmed": self._harmed > harmed,
            "recovery_s": [round(each.took_s, 2) for each in self._port.recoveries[before:]],
            **felt,
        }

    def _harm(self, target: str) -> None:
        self._harmed += 1
        harmed = {"shard": self._hosts[1][0], "replica": self._second}
        host = host_of(harmed.get(target, self._hosts[0]))
        if target == "raylet":
            self._nodes.kill_one(host)
        elif target == "stall":
            stall_process(host)
        elif target in {"cloud", "shard", "replica"}:
            kill_process(host)


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int, default=24)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--targets", default=",".join(METHODS))
    parser.add_argument("--tokens", type=int, default=TOKENS, help="of each answer")
    parser.add_argument("--way", choices=("virtual", "live"), default="virtual")
    arguments = parser.parse_args()
    chosen = points(arguments.points, arguments.seed, arguments.targets.split(","))
    nodes = Nodes()
    failed = 0
    try:
        laboratory = Laboratory(arguments.way, nodes, arguments.tokens)
        for number, point in enumerate(chosen):
            began_s = time.monotonic()
            if point.target == "driver":
                same, pieces = killed(
                    arguments.way, point.method, number, nodes.address, point.after_share
                )
                found: dict[str, Any] = {"same": same, "pieces": pieces}
            else:
                found = laboratory.harmed(point, number)
            failed += not found["same"]
            wall_s = round(time.monotonic() - began_s, 2)
            line = {"way": arguments.way, **asdict(point), **found, "wall_s": wall_s}
            print(json.dumps(line), flush=True)  # noqa: T201 - read by whoever started this
        laboratory.close()
    finally:
        nodes.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
