"""The compiled way beside SimPy, on the model that both can express, in the same process.

SimPy is a development dependency; where it is not installed, the row says so.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib.util import find_spec
from statistics import median
from typing import Any

from actors.fleet.cells import CellRun
from actors.fleet.machine_code import kept_compiler
from actors.fleet.planned import cell_of
from experiments.bench.reduced import Reduced, as_plan

_MODEL = Reduced(devices=2_000, tokens=20)
_TARGET = 20.0


def run(repeats: int = 20) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats`, `median_s` per token-step, and a `speedup`."""
    case = f"reduced model, {_MODEL.devices:,} devices, {_MODEL.tokens} tokens"
    if find_spec("simpy") is None:
        missing = f"{case}: SimPy is not installed; pip install -e '.[dev]'"
        return [{"bench": "fleet against SimPy", "case": missing}]
    from experiments.bench.simpy_model import simulate  # noqa: PLC0415 - may not be there

    rounds = max(3, repeats // 4)
    simpy_s, fleet_s = [], []
    _fleet()  # the first one may compile
    for _ in range(rounds):
        simpy_s.append(_cpu_s(lambda: simulate(_MODEL)))
        fleet_s.append(_fleet())
    steps = _MODEL.devices * _MODEL.tokens
    figures = (("SimPy", simpy_s), ("fleet", fleet_s))
    rows: list[dict[str, Any]] = [
        {
            "bench": f"{name}, CPU per token-step",
            "case": case,
            "repeats": rounds,
            "median_s": median(taken) / steps,
            "tokens_per_s": steps / median(taken),
        }
        for name, taken in figures
    ]
    rows[-1] |= {"speedup": median(simpy_s) / median(fleet_s), "target": _TARGET}
    return rows


def _fleet() -> float:
    """CPU seconds of the compiled way, without making rows of what it comes to."""
    plan, terms, costs, outcomes = as_plan(_MODEL)
    cell = CellRun(cell_of(plan), plan, terms, costs, outcomes, compiler=kept_compiler())

    def simulate() -> None:
        while not cell.over:
            cell.simulate()

    return _cpu_s(simulate)


def _cpu_s(work: Callable[[], object]) -> float:
    began_s = time.process_time()
    work()
    return time.process_time() - began_s
