"""One cell of one arm, from its number to its result: what a worker is given and what it does.

A worker gets the scenario and two numbers, plans the cell, runs it and returns sums and histograms;
so what is sent to it and what it returns does not grow with the fleet.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from actors.failures import Incident
from actors.fleet.cells import CellRun
from actors.fleet.machine_code import kept_compiler
from actors.fleet.result import CellResult, Sample
from actors.fleet.watching import Watch
from actors.plan import ArmPlan, CodecTerms, codec_terms
from actors.port import never
from experiments.fleet.overload import Overload
from experiments.fleet.sample import SampledRows, sampled_rows
from experiments.planning import plan_arm, plan_cell, plan_cells, plan_costs
from experiments.planning.workload import Workload
from experiments.profile.outcomes import outcomes_for
from experiments.scenario import Scenario


@dataclass(frozen=True, slots=True)
class CellTask:
    """What a worker is given.

    Args:
        scenario: the whole one.
        arm: which of its arms.
        cell: which of its replicas.
        watch: what is written down.
        lighter: payloads weigh one part in so many, for what-ifs.
    """

    scenario: Scenario
    arm: int
    cell: int
    watch: Watch
    lighter: int = 1


@dataclass(frozen=True, slots=True)
class CellOutcome:
    """What a worker returns.

    Args:
        result: what the cell came to; its sample is left out.
        rows: the sample.
        tokens: how many were simulated, those of the warm-up included.
        growth_per_hour: by so many requests an hour its backlog grew, if it was stopped for that.
        incidents: what failed in it, in the model, in order.
        ended: whether the cell reached its end, or was stopped because it never would.
    """

    result: CellResult
    rows: SampledRows
    tokens: int
    growth_per_hour: int
    incidents: tuple[Incident, ...]
    ended: bool


def arm_of_cells(scenario: Scenario, arm: int) -> tuple[Workload, ArmPlan, CodecTerms]:
    """Return an arm as every cell has it: without devices.

    Raises:
        ConfigError: a session that no replica could hold, or more sessions than ids.
    """
    workload = plan_cells(scenario)
    plan = plan_arm(scenario, workload, scenario.arms[arm])
    return workload, plan, codec_terms(plan, workload.vocab_size)


def run_task(
    task: CellTask,
    told: Callable[[int], None] | None = None,
    stopped: Callable[[], bool] = never,
) -> CellOutcome:
    """Plan a cell and run it.

    Args:
        task: which one.
        told: told how many tokens more there are, now and then.
        stopped: whether to stop, asked now and then; what there is then, is returned.

    Raises:
        ConfigError: something that the compiled way cannot express.
    """
    scenario, compiler = task.scenario, kept_compiler()
    _, plan, terms = arm_of_cells(scenario, task.arm)
    cell = plan_cell(scenario, task.cell, compiler)
    owner_S = cell.owner_S
    outcomes = outcomes_for(
        scenario, plan, cell.device_D[owner_S], cell.request_S, cell.new_tokens_S
    )
    if task.lighter > 1:
        lighter_P = -(-outcomes.payload_bytes_P // task.lighter)
        outcomes = replace(outcomes, payload_bytes_P=lighter_P)
    run = CellRun(
        cell,
        plan,
        terms,
        plan_costs(scenario, terms, beside=plan.arm.beside),
        outcomes,
        watch=task.watch,
        compiler=compiler,
    )
    sample, known, overload = Sample.none(), 0, Overload(cell)
    while not run.over and not stopped() and not overload.found:
        run.simulate()
        sample = sample.merged(Sample(*run.take_rows()))
        run.take_batches()
        overload.look(run.now_ns, run.finished)
        if told is not None:
            told(max(0, run.tokens - known))
        known = max(known, run.tokens)
    sample = sample.merged(Sample(*run.take_unfinished()))
    result = run.result(overloaded=overload.found)
    rows = sampled_rows(sample, cell, plan, outcomes, result.end_ns)
    return CellOutcome(
        result,
        rows,
        run.tokens,
        overload.growth_per_hour,
        tuple(run.incidents),
        ended=run.over or overload.found,
    )
