"""What crosses the network for each method: one run of all of them as arms, at their strengths."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from costeer.methods import FLOOR, method_named
from experiments.baselines.study import Crossing, Standing
from experiments.hosting import NO_CLUSTER, open_laboratory
from experiments.paper.running import scenario_of
from experiments.paper.tasks import shipped_task
from experiments.planning import plan_workload
from experiments.progress import Progress
from experiments.results.labels import whole_arms
from experiments.results.run import load
from experiments.run import run_in
from experiments.scenario import Scenario
from experiments.workload import count_rows

_PACKED = {"values": "bf16", "layout": "packed"}
_TOP = {"select": {"kind": "top_k", "k": 64}} | _PACKED
_PLAUSIBLE = {"select": {"kind": "floor", "a": FLOOR}} | _PACKED
"""What a cloud sends to a method with a floor: the tokens that may be chosen, and no other."""


def measure_crossing(
    base: Scenario,
    standings: Sequence[Standing],
    prompts: str,
    rows: int,
    out: Path,
    told: Progress,
) -> tuple[Standing, ...]:
    """Run every method as an arm, and return the standings with what crossed.

    Args:
        base: the pair, its fleet and links.
        standings: the methods, and the strength of each.
        prompts: which.
        rows: how many of them.
        out: a new directory for the run.
        told: of arms and tokens.

    Raises:
        ConfigError: models or prompts cannot be had.
    """
    task = replace(shipped_task(), name="baselines", prompts=prompts)
    one = scenario_of(base, task, ("costeer",), count_rows(prompts), rows).model_dump(mode="json")
    one["arms"] = [_arm(each) for each in standings]
    scenario = Scenario.model_validate(one)
    workload = plan_workload(scenario)
    with open_laboratory(scenario, NO_CLUSTER) as laboratory:
        run_in(laboratory, scenario, workload, out, told)
    found = {str(row["method"]): row for row in whole_arms(load(out).arms)}
    return tuple(replace(each, crossing=_crossing(found[each.key])) for each in standings)


def _arm(standing: Standing) -> dict[str, Any]:
    method = method_named(standing.key)
    arm: dict[str, Any] = {"method": method.name}
    if standing.strength is not None:
        arm["strength"] = standing.strength
    if method.steered:
        arm["codec"] = _TOP if method.floor is None else _PLAUSIBLE
    return arm


def _crossing(row: Any) -> Crossing:  # noqa: ANN401 - a summary's row
    return Crossing(
        float(row["frame_bytes_down_per_token"]),
        float(row["frame_bytes_up_per_token"]),
        float(row["tokens_per_second"]),
        float(row["certified_share"]),
    )
