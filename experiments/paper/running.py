"""A table's runs: the same pair and fleet for every task, models loaded once."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from costeer.errors import ConfigError
from experiments.hosting import NO_CLUSTER, open_laboratory
from experiments.paper.tasks import Task
from experiments.planning import plan_workload
from experiments.progress import Progress
from experiments.results.run import Run, load
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario
from experiments.scoring.measure import Scorers, Scores, score, write_scores
from experiments.workload import count_rows

SHIPPED = "shipped"
"""The name of the shipped pair among the pairs."""

_EXACT = {"select": {"kind": "top_k", "k": 64}, "values": "bf16", "layout": "packed"}
"""With the default refinement its tokens are those of dense logits."""


@dataclass(frozen=True, slots=True)
class Done:
    """One task, run and scored."""

    task: Task
    run: Run
    scores: Scores


def pair_scenario(pair: str, numerics: str | None = None) -> Scenario:
    """Return the scenario of a pair: `shipped`, or what a scenario is called.

    Args:
        pair: its name.
        numerics: arithmetic of its models; the scenario's own if None.

    Raises:
        ConfigError: there is none, or its values are not of models.
    """
    scenario = load_scenario("demo" if pair == SHIPPED else pair)
    if scenario.values != "models":
        raise ConfigError(
            f"--pair {pair}: runs on {scenario.values} values, which have no texts; give a scenario"
            " with `values: models`"
        )
    if numerics is None:
        return scenario
    changed = scenario.model_dump(mode="json")
    changed["models"]["numerics"] = numerics
    return Scenario.model_validate(changed)


def scenario_of(
    base: Scenario, task: Task, methods: Sequence[str], rows: int, limit: int | None
) -> Scenario:
    """Return what a task runs: every row once, on as many devices as the pair's fleet has.

    Args:
        base: the pair's scenario.
        task: which prompts.
        methods: one arm each.
        rows: in the task's file.
        limit: take so many, from the first; all if None.
    """
    count = rows if limit is None else min(rows, limit)
    devices = min(base.fleet.devices, count)
    changed: dict[str, Any] = base.model_dump(mode="json")
    changed["name"] = f"{base.name}-{task.name}" + (
        f"-{task.preference}" if task.preference else ""
    )
    changed["fleet"]["devices"] = devices
    changed["fleet"]["shards"] = min(base.fleet.shards, devices)
    changed["fleet"]["arrivals"] = {
        "kind": "closed",
        "think_s": 2.0,
        "requests_per_device": math.ceil(count / devices),
    }
    changed["workload"] |= {
        "prompts": task.prompts,
        "preference": task.preference,
        "limit": count,
    }
    changed["arms"] = [_arm(method) for method in methods]
    return Scenario.model_validate(changed)


def run_tasks(
    base: Scenario,
    tasks: Sequence[Task],
    methods: Sequence[str],
    out: Path,
    scorers: Scorers,
    progress: Progress,
    limit: int | None = None,
) -> list[Done]:
    """Run and score tasks one after the other, each into a folder of its own.

    Args:
        base: the pair's scenario.
        tasks: what is asked.
        methods: one arm each.
        out: a new directory.
        scorers: what texts are scored by.
        progress: told of arms and tokens.
        limit: rows of each task.

    Raises:
        ConfigError: something cannot be had; found out before the first task where it can be.
    """
    scenarios = [
        scenario_of(base, task, methods, count_rows(task.prompts), limit) for task in tasks
    ]
    workloads = [plan_workload(scenario) for scenario in scenarios]
    done = []
    tell: Callable[[str], None] = progress.note
    with open_laboratory(scenarios[0], NO_CLUSTER) as laboratory:
        for task, scenario, workload in zip(tasks, scenarios, workloads, strict=True):
            folder = out / scenario.name
            run_in(laboratory, scenario, workload, folder, progress)
            run = load(folder)
            scores = score(run, _needed(scorers, task), tell)
            write_scores(scores, folder)
            done.append(Done(task, run, scores))
    return done


def _needed(scorers: Scorers, task: Task) -> Scorers:
    """Leave out what a task is not scored by: judges cost money, reward models time."""
    judged = any(metric.startswith("judge_") for metric in task.metrics)
    return replace(
        scorers,
        judge=scorers.judge if judged else None,
        reward=scorers.reward if "reward" in task.metrics else None,
    )


def _arm(method: str) -> dict[str, Any]:
    return {"method": method} | ({"codec": _EXACT} if method.endswith("costeer") else {})
