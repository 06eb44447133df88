"""How long a compiled fleet's first token takes to come: with its machine code to make, and kept.

Each start is a process of its own, from the interpreter's first instruction to the end of a fleet
of four devices: imports, planning, machine code and all, in CPU time.
"""

from __future__ import annotations

import os
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from tempfile import TemporaryDirectory
from typing import Any

_FLEET = ("fleet.devices=4", "cloud.replicas=1", "fleet.sample=0", "workload.max_new_tokens=2")
_LOOPS = {
    "an exchange a token": (),
    "drafts": ("arms.0.speculation={}",),
    "shared radio cells": ("fleet.classes.1.shared_by=2",),
}
"""What the cells of a fleet do, each a loop of its own, and how a scenario says so."""
_MADE_TARGET_S, _KEPT_TARGET_S = 60.0, 2.0


def run(repeats: int = 20) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s`; a loop is made once, whatever `repeats`."""
    rows = []
    for loop, settings in _LOOPS.items():
        with TemporaryDirectory() as folder:
            made_s = _start_s(folder, settings)
            kept_s = sorted(_start_s(folder, settings) for _ in range(min(3, repeats)))
        of = {"made": ([made_s], _MADE_TARGET_S), "kept from before": (kept_s, _KEPT_TARGET_S)}
        rows += [
            {
                "bench": f"fleet, CPU of a start, machine code {state}",
                "case": loop,
                "repeats": len(taken_s),
                "median_s": taken_s[len(taken_s) // 2],
                "target": target_s,
            }
            for state, (taken_s, target_s) in of.items()
        ]
    return rows


def _start_s(folder: str, settings: tuple[str, ...]) -> float:
    """CPU seconds of a new process that runs a fleet and keeps machine code in a folder."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_simulate, folder, settings).result()


def _simulate(folder: str, settings: tuple[str, ...]) -> float:
    os.environ["XDG_CACHE_HOME"] = folder
    from actors.fleet.watching import Watch  # noqa: PLC0415 - imports are part of the start
    from experiments.fleet.task import CellTask, run_task  # noqa: PLC0415 - as above
    from experiments.scenario import load_scenario  # noqa: PLC0415 - as above

    run_task(CellTask(load_scenario("million", [*_FLEET, *settings]), 0, 0, Watch()))
    return time.process_time()
