"""Live runs for a long time, with a kill each minute: what was said, and whether anything leaks.

``python -m tests.cluster.soak --minutes 30``. Prints a JSON line per arm, then the slope of each
process's memory; exit code 1 if a digest differs or something is left behind.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import threading
import time
from itertools import cycle
from pathlib import Path
from typing import Any

import numpy as np
from ray._private.state import actors

from cluster.ray_port import RayPort
from cluster.supervised import SupervisedHandle
from tests.actors.fleets import generated_hosts
from tests.cluster.chaos import SHARDS, Nodes, kill_process, live

_KILL_EVERY_S = 60.0
_METHODS = ("costeer", "llm_with")
_PAGE_KB = os.sysconf("SC_PAGE_SIZE") / 1024


def memory_kb(pid: int) -> float:
    """Resident memory of a process, KiB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE_KB


def left_behind(port: RayPort) -> dict[str, int]:
    """What must not grow: living actors, threads of live runs, open files of the driver."""
    states: Any = actors()
    alive = sum(one["State"] != "DEAD" for one in states.values())
    threads = sum(thread.name.startswith("live") for thread in threading.enumerate())
    files = len(list(Path("/proc/self/fd").iterdir()))
    shared = len(list(Path("/dev/shm").iterdir()))  # noqa: S108 - counted, not written
    return {
        "actors": alive,
        "threads": threads,
        "files": files,
        "shared": shared,
        "recoveries": len(port.recoveries),
    }


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("--minutes", type=float, default=30.0)
    arguments = parser.parse_args()
    nodes = Nodes()
    failed = 0
    memory: dict[str, list[tuple[float, float]]] = {}
    try:
        port = RayPort(nodes.address, min_cpus=SHARDS + 1)
        calm = {method: live(method, None, 0, lambda: None)[0] for method in _METHODS}
        hosts = generated_hosts(SHARDS, port)
        named = {"cloud": hosts[0], "shard 0": hosts[1][0], "shard 1": hosts[1][1]}
        doomed = cycle(handle for handle in named.values())
        began_s = killed_s = time.monotonic()
        first: dict[str, int] = {}
        for method in cycle(_METHODS):
            elapsed_s = time.monotonic() - began_s
            if elapsed_s > 60 * arguments.minutes:
                break
            due = time.monotonic() - killed_s > _KILL_EVERY_S
            killed_s = time.monotonic() if due else killed_s

            def kill(*, due: bool = due) -> None:
                if due:
                    host = next(doomed)
                    assert isinstance(host, SupervisedHandle)
                    kill_process(host)

            same = live(method, hosts, 0.3, kill)[0] == calm[method]
            failed += not same
            for name, handle in named.items():
                assert isinstance(handle, SupervisedHandle)
                pid = handle.place()[1]
                memory.setdefault(f"{name}, process {pid}", []).append((elapsed_s, memory_kb(pid)))
            memory.setdefault("driver", []).append((elapsed_s, memory_kb(os.getpid())))
            left = left_behind(port)
            first = first or left
            line = {"elapsed_s": round(elapsed_s, 1), "method": method, "same": same, **left}
            print(json.dumps(line), flush=True)  # noqa: T201 - a report
        leaks = {name: left[name] - first[name] for name in ("actors", "threads", "shared")}
        failed += any(more > 0 for more in leaks.values())
        print(json.dumps({"more than at first": leaks}))  # noqa: T201 - a report
        for name, points in memory.items():
            if len(points) > 2:
                at_s, kb = np.array(points).T
                slope = np.polyfit(at_s / 60, kb, 1)[0]
                told = {"process": name, "kib": round(kb[-1]), "kib_per_minute": round(slope, 1)}
                print(json.dumps(told))  # noqa: T201 - a report
        port.close()
    finally:
        nodes.shutdown()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
