"""Runs one fleet on 1, 2, 3 and 7 workers of a cluster, and once with a worker that is killed.

Prints the digests. Start it with ``NUMBA_DISABLE_JIT=1``, so that no worker makes machine code.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Iterable
from functools import reduce
from pathlib import Path

from actors.fleet.result import CellResult
from actors.fleet.watching import Watch
from actors.port import never
from cluster.cells import CellPool, cell_pool
from experiments.fleet.mapping import cell_outcomes
from experiments.fleet.task import CellOutcome, CellTask, run_task
from tests.experiments.small_fleets import fleet

KILLED = 3


def run_or_die(given: tuple[CellTask, str]) -> CellOutcome:
    """Run a cell; one of them is killed the first time."""
    task, folder = given
    begun = Path(folder) / str(task.cell)
    first = not begun.exists()
    with begun.open("a", encoding="utf-8") as file:
        file.write("begun\n")
    if task.cell == KILLED and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return run_task(task)


def digest(outcomes: Iterable[CellOutcome]) -> str:
    results = [each.result for each in outcomes]
    return reduce(CellResult.merged, results).digest


def main(folder: str) -> None:
    tasks = [CellTask(fleet(), 0, cell, Watch(sample_every=2)) for cell in range(7)]
    found: dict[str, object] = {"here": digest(run_task(task) for task in tasks)}
    with cell_pool("local", 7) as pool:
        for workers in (1, 2, 3, 7):
            few = CellPool(workers)
            outcomes = cell_outcomes(few, tasks, lambda _: None, never)
            found[f"{workers} workers"] = digest(outcome for _, outcome in outcomes)
        made = dict(pool.map(run_or_die, [(task, folder) for task in tasks], tries=3))
        killed = [made[cell] for cell in range(7)]
        found["killed"] = digest(each for each in killed if isinstance(each, CellOutcome))
    begun = {each.name: len(each.read_text().splitlines()) for each in Path(folder).iterdir()}
    sys.stdout.write(json.dumps(found | {"begun": begun}) + "\n")


if __name__ == "__main__":
    main(sys.argv[1])
