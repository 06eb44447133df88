"""Live runs for a long time, with a kill each minute: what was said, and whether anything leaks.

``python -m tests.cluster.soak --minutes 30``; ``--kill-every 0`` tells what grows without a death.
Prints a JSON line per arm, then the slope of each process's memory after its warm-up; exit code 1
if a digest differs or something is left behind.

Theory of operation
-------------------
The cloud and the first shard are killed in turn; the second shard, the driver and Ray's own
processes live through it all, so theirs are the slopes that tell of leaks. Memory is what a process
has for itself (RssAnon): pages of Ray's object store are counted by every process that looked at
them. A process is warm so many minutes after its first arm. ``bare_ray`` says how much of a slope
is what Ray keeps of each death.
"""

from __future__ import annotations

import argparse
import os
import sys
import threading
import time
from collections.abc import Callable
from itertools import cycle
from pathlib import Path
from typing import Any

from ray._private.state import actors

from cluster.ray_port import RayPort
from cluster.supervised import SupervisedHandle
from tests.actors.fleets import generated_hosts
from tests.cluster.chaos import SHARDS, Nodes, fleet, kill_process, live
from tests.cluster.processes import Life, json_lines, servers

_METHODS = ("costeer", "llm_with")


def look(lives: dict[str, Life], named: dict[str, SupervisedHandle], now_s: float) -> None:
    """Measure every process of the laboratory."""
    pids = {"driver": os.getpid()}
    for name, handle in named.items():
        pid = handle.place()[1]
        pids[f"{name}, process {pid}"] = pid
    pids |= {f"{name}, process {pid}": pid for pid, name in servers(os.getpid()).items()}
    for name, pid in pids.items():
        lives.setdefault(name, Life()).look(pid, now_s)


def left_behind(port: RayPort) -> dict[str, int]:
    """What must not grow: living actors, threads of live runs, entries of shared memory.

    Asked for after the first arm and the last alone: Ray lists its actors, dead ones included, to
    whoever asks.
    """
    states: Any = actors()
    return {
        "actors": sum(one["State"] != "DEAD" for one in states.values()),
        "threads": sum(thread.name.startswith("live") for thread in threading.enumerate()),
        "shared": len(list(Path("/dev/shm").iterdir())),  # noqa: S108 - counted, not written
        "recoveries": len(port.recoveries),
    }


def report(life: Life, warm_up_s: float) -> dict[str, float | int | list[int] | None]:
    """How a process ended, and its slopes after its warm-up; None where it did not live so long."""
    slope = life.slope_kib(warm_up_s)
    return {
        "minutes": round((life.at[-1] - life.at[0]) / 60, 1),
        "kib": life.memory_kib[-1],
        "kib_by_quarter": life.quarters_kib(),
        "kib_per_minute": None if slope is None else round(60 * slope, 1),
        "files": life.files[-1],
        "more_files": None if slope is None else life.more_files(warm_up_s),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=3.0, help="minutes of a process's life")
    parser.add_argument("--kill-every", type=float, default=60.0, help="seconds; 0 for never")
    arguments = parser.parse_args()
    with json_lines() as tell:
        return soak(arguments.minutes, arguments.warm_up, arguments.kill_every, tell)


def soak(minutes: float, warm_up: float, kill_every_s: float, tell: Callable[..., None]) -> int:
    """Run for so long, tell a line per arm and process; 1 if anything failed."""
    nodes = Nodes()
    failed = arms = 0
    lives: dict[str, Life] = {}
    try:
        port = RayPort(nodes.address, min_cpus=SHARDS + 1)
        calm = {method: live(fleet(method), None, 0, lambda: None)[0] for method in _METHODS}
        hosts = generated_hosts(SHARDS, port)
        named: dict[str, SupervisedHandle] = {}
        for name, host in zip(("cloud", "shard 0", "shard 1"), (hosts[0], *hosts[1]), strict=True):
            assert isinstance(host, SupervisedHandle)
            named[name] = host
        doomed = cycle([named["cloud"], named["shard 0"]])
        began_s = killed_s = time.monotonic()
        first: dict[str, int] = {}
        for method in cycle(_METHODS):
            elapsed_s = time.monotonic() - began_s
            if elapsed_s > 60 * minutes:
                break
            due = 0 < kill_every_s < time.monotonic() - killed_s
            killed_s = time.monotonic() if due else killed_s

            def kill(*, due: bool = due) -> None:
                if due:
                    kill_process(next(doomed))

            same = live(fleet(method), hosts, 0.3, kill)[0] == calm[method]
            failed += not same
            arms += 1
            look(lives, named, time.monotonic() - began_s)
            tell(elapsed_s=round(elapsed_s, 1), method=method, same=same)
            first = first or left_behind(port)
        left = left_behind(port)
        leaks = {name: left[name] - first[name] for name in ("actors", "threads", "shared")}
        failed += any(more > 0 for more in leaks.values())
        for name, life in lives.items():
            tell(process=name, **report(life, 60 * warm_up))
        tell(arms=arms, kills=left["recoveries"], failed=failed, more_than_at_first=leaks)
        port.close()
    finally:
        nodes.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
