"""How many tokens a second one worker makes, and how much more two do.

One fleet, the same cells every time, on a cluster of this machine with one worker and with two.
Workers are warm (their machine code is loaded) before a run is timed; the start of the cluster is
timed by itself. What more workers make of it is stated by a model, not measured:

    T(n) = ceil(cells / n) · cell + cells · merge

A cell's time is measured on one worker; merging is the driver's alone, so it bounds the speed-up
at cell / merge, whatever the cluster.
"""

from __future__ import annotations

import time
from functools import reduce
from statistics import median
from typing import Any

from actors.fleet.result import CellResult
from actors.fleet.watching import Watch
from actors.port import never
from cluster.cells import CellPool, cell_pool
from experiments.fleet.mapping import cell_outcomes
from experiments.fleet.task import CellTask
from experiments.scenario import load_scenario

_CELLS, _DEVICES = 8, 40_000
_WORKERS = 2
_MODELLED = (4, 16, 64)
_MOST_RUNS = 3


def run(repeats: int = 20) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s`; runs also `tokens_per_s` and `speedup`."""
    scenario = load_scenario(
        "million", [f"fleet.devices={_DEVICES}", f"cloud.replicas={_CELLS}", "fleet.sample=0"]
    )
    tasks = [CellTask(scenario, 0, cell, Watch()) for cell in range(_CELLS)]
    runs = min(_MOST_RUNS, repeats)
    began_s = time.perf_counter()
    with cell_pool("local", _WORKERS) as pool:
        list(cell_outcomes(pool, tasks[:_WORKERS], lambda _: None, never))  # warms both workers
        start_s = time.perf_counter() - began_s
        taken_s: dict[int, list[float]] = {workers: [] for workers in range(1, _WORKERS + 1)}
        merge_s: list[float] = []
        for _ in range(runs):
            for workers, times_s in taken_s.items():
                began_s = time.perf_counter()
                outcomes = cell_outcomes(CellPool(workers), tasks, lambda _: None, never)
                results = [outcome.result for _, outcome in outcomes]
                times_s.append(time.perf_counter() - began_s)
                began_s = time.perf_counter()
                tokens = reduce(CellResult.merged, results).figure("tokens")
                merge_s.append((time.perf_counter() - began_s) / len(results))
    common = {"repeats": runs}
    case = f"{_DEVICES:,} devices in {_CELLS} cells"
    one_s = median(taken_s[1])
    rows: list[dict[str, Any]] = [
        {
            "bench": "fleet in cells, start of a cluster and its workers",
            "case": "machine code kept from before",
            "repeats": 1,
            "median_s": start_s,
        }
    ]
    rows += [
        {
            "bench": f"fleet in cells, {workers} worker{'s' if workers > 1 else ''}",
            "case": case,
            **common,
            "median_s": median(each),
            "tokens_per_s": tokens / median(each),
            "speedup": one_s / median(each),
        }
        for workers, each in taken_s.items()
    ]
    rows.append(
        {
            "bench": "fleet in cells, merging one cell",
            "case": case,
            **common,
            "median_s": median(merge_s),
        }
    )
    return rows + [_modelled(workers, tokens, one_s, median(merge_s)) for workers in _MODELLED]


def _modelled(workers: int, tokens: int, one_s: float, merge_s: float) -> dict[str, Any]:
    """What a cluster of so many CPUs would make of so many cells for each of them, by the model."""
    cells = workers * _CELLS
    cell_s = one_s / _CELLS
    taken_s = _CELLS * cell_s + cells * merge_s
    alone_s = cells * (cell_s + merge_s)
    return {
        "bench": f"fleet in cells, {workers} workers (model)",
        "case": f"{cells} such cells: T(n) = ceil(cells / n) · cell + cells · merge",
        "repeats": 0,
        "median_s": taken_s,
        "tokens_per_s": tokens * workers / taken_s,
        "speedup": alone_s / taken_s,
    }
