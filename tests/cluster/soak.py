"""Live runs for a long time, with a kill each minute: what was said, and whether anything leaks.

``python -m tests.cluster.soak --minutes 30``. Prints a JSON line per arm, then the slope of each
process's memory after its warm-up; exit code 1 if a digest differs or something is left behind.

Theory of operation
-------------------
The cloud and the first shard are killed in turn; the second shard, the driver and Ray's own
processes live through it all, so theirs are the slopes that tell of leaks. Memory is what a process
has for itself (RssAnon): pages of Ray's object store are counted by every process that looked at
them. A process is warm so many minutes after its first arm.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from ray._private.state import actors

from cluster.ray_port import RayPort
from cluster.supervised import SupervisedHandle
from tests.actors.fleets import generated_hosts
from tests.cluster.chaos import SHARDS, Nodes, fleet, kill_process, live

_KILL_EVERY_S = 60.0
_METHODS = ("costeer", "llm_with")
_SERVERS = ("raylet", "gcs_server")


@dataclass
class Life:
    """One process over time.

    Args:
        at_s: instants.
        memory_kib: its own memory then.
        files: its open files then.
    """

    at_s: list[float] = field(default_factory=list)
    memory_kib: list[int] = field(default_factory=list)
    files: list[int] = field(default_factory=list)

    def look(self, pid: int, now_s: float) -> None:
        """Measure it; a process that is gone is left as it was."""
        process = Path(f"/proc/{pid}")
        try:
            status = (process / "status").read_text()
            files = len(list((process / "fd").iterdir()))
        except OSError:
            return
        said = next(line for line in status.splitlines() if line.startswith("RssAnon"))
        self.at_s.append(now_s)
        self.memory_kib.append(int(said.split()[1]))
        self.files.append(files)

    def report(self, warm_up_s: float) -> dict[str, float | int | None]:
        """Its end, and its slopes after its warm-up; None where it did not live so long."""
        at_s = np.array(self.at_s) - self.at_s[0]
        warm = at_s >= warm_up_s
        slope = growth = None
        if warm.sum() > 2:
            minutes = at_s[warm] / 60
            slope = round(float(np.polyfit(minutes, np.array(self.memory_kib)[warm], 1)[0]), 1)
            growth = self.files[-1] - self.files[int(np.argmax(warm))]
        return {
            "minutes": round(float(at_s[-1]) / 60, 1),
            "kib": self.memory_kib[-1],
            "kib_per_minute": slope,
            "files": self.files[-1],
            "more_files": growth,
        }


def servers(root: int) -> dict[int, str]:
    """Ray's own processes below a process, by id."""
    parents: dict[int, int] = {}
    names: dict[int, str] = {}
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            before, _, after = stat.read_text().rpartition(")")
        except OSError:
            continue
        pid, _, name = before.partition(" (")
        names[int(pid)] = name
        parents[int(pid)] = int(after.split()[1])

    def is_ours(pid: int) -> bool:
        while pid in parents and pid != root:
            pid = parents[pid]
        return pid == root

    return {pid: name for pid, name in names.items() if name in _SERVERS and is_ours(pid)}


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
    """What must not grow: living actors, threads of live runs, entries of shared memory."""
    states: Any = actors()
    return {
        "actors": sum(one["State"] != "DEAD" for one in states.values()),
        "threads": sum(thread.name.startswith("live") for thread in threading.enumerate()),
        "shared": len(list(Path("/dev/shm").iterdir())),  # noqa: S108 - counted, not written
        "recoveries": len(port.recoveries),
    }


def tell(**said: object) -> None:
    """Print one line of the report."""
    print(json.dumps(said), flush=True)  # noqa: T201 - read by whoever started this


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    parser.add_argument("--warm-up", type=float, default=3.0, help="minutes of a process's life")
    arguments = parser.parse_args()
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
        left = first
        for method in cycle(_METHODS):
            elapsed_s = time.monotonic() - began_s
            if elapsed_s > 60 * arguments.minutes:
                break
            due = time.monotonic() - killed_s > _KILL_EVERY_S
            killed_s = time.monotonic() if due else killed_s

            def kill(*, due: bool = due) -> None:
                if due:
                    kill_process(next(doomed))

            same = live(fleet(method), hosts, 0.3, kill)[0] == calm[method]
            failed += not same
            arms += 1
            look(lives, named, time.monotonic() - began_s)
            left = left_behind(port)
            first = first or left
            tell(elapsed_s=round(elapsed_s, 1), method=method, same=same, **left)
        leaks = {name: left[name] - first[name] for name in ("actors", "threads", "shared")}
        failed += any(more > 0 for more in leaks.values())
        for name, life in lives.items():
            tell(process=name, **life.report(60 * arguments.warm_up))
        tell(arms=arms, kills=left["recoveries"], failed=failed, more_than_at_first=leaks)
        port.close()
    finally:
        nodes.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
