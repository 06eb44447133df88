"""A fleet's scenario, carried out cell by cell and written down.

The arms run one after the other, each as so many independent cells, in this process or on a
cluster. Results are merged as they come with integer sums, and rows lie in the order of the cells,
so neither depends on how many workers there were; what has been merged is kept no longer. A cell
whose process dies is run again, alone. Ctrl-C and failures leave a run that can be read: what there
was until then, marked incomplete. One that goes on takes the cells that had ended from its disk.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from actors.failures import Incident, in_order
from actors.fleet.loops import advance_of, rules_of
from actors.fleet.machine_code import is_kept
from actors.fleet.result import CellResult
from actors.fleet.sharing import fluid_egress
from actors.fleet.trouble.plan import is_troubled
from actors.fleet.watching import Watch
from actors.metrics import CellMetrics, Metrics
from actors.plan import ArmPlan
from actors.sink import RunSink
from costeer.methods import CloudRole
from experiments.cost_facts import CostFacts
from experiments.fleet.kept import KeptCell, keep_cell, kept_cell, made_by, reopen_cells
from experiments.fleet.limits import check_size, load_of
from experiments.fleet.log import CellLog
from experiments.fleet.mapping import cell_outcomes, open_pool
from experiments.fleet.task import CellOutcome, CellTask, arm_of_cells
from experiments.hosting import NO_CLUSTER
from experiments.interrupt import deferred_interrupt
from experiments.links import class_links
from experiments.manifest import manifest_of
from experiments.outcome import RunOutcome, arm_keys, arm_title, check_out_dir, given_origins
from experiments.planning import cost_facts, plan_costs
from experiments.planning.size import SAMPLE_REQUESTS, Size
from experiments.planning.standing import replicas_of_cells
from experiments.progress import Progress
from experiments.results.cells import FleetArm, histograms_frame, series_frame, summarise_cells
from experiments.results.incidents import told_incidents
from experiments.results.summary import READING_SPEED_TOKENS_PER_S
from experiments.scenario import Scenario, dump_scenario

if TYPE_CHECKING:
    from cluster.cells import CellPool

_S_PER_HOUR = 3600.0
_WORTH_A_CLUSTER_S = 20.0
"""Below so much work the start of a cluster takes longer than it saves."""


@dataclass(frozen=True, slots=True)
class _Values:
    """What stands for the hosts of values that no host computes."""

    cloud_name: str
    edge_name: str


@dataclass(frozen=True, slots=True)
class _Arm:
    """What is known of an arm before it runs."""

    index: int
    plan: ArmPlan
    keys: dict[str, str]
    origins: dict[str, str]
    facts: CostFacts


def run_fleet(
    scenario: Scenario,
    out_dir: Path,
    address: str,
    progress: Progress,
    jobs: int | None = None,
    *,
    lighter: int = 1,
    metrics: Metrics | None = None,
    resume: bool = False,
) -> RunOutcome:
    """Run a fleet's cells and write down what they come to; no report is written.

    Args:
        scenario: what to run; ``way: fleet``.
        out_dir: a directory that does not hold a run yet, or the one that is to go on.
        address: ``none``, ``local``, ``auto`` or HOST:PORT.
        progress: told of arms and tokens.
        jobs: cells at the same time; as many as there are CPUs if None.
        lighter: payloads weigh one part in so many, for what-ifs.
        metrics: count the cells as they end; None for nobody.
        resume: go on with the run that ``out_dir`` holds: only cells that have not ended are run.

    Raises:
        ConfigError: it does not fit, cannot be expressed, or no cluster answers.
        Exception: what a cell raised, Ctrl-C too; after what there is was written.
    """
    if not resume:
        check_out_dir(out_dir)
    at_once = 1 if address == NO_CLUSTER else jobs or os.cpu_count() or 1
    size = check_size(scenario, at_once)
    arms = [_plan(scenario, index, progress) for index in range(len(scenario.arms))]
    progress.note(size.told(len(arms), at_once))
    if not all(map(is_kept, loops_of_cells(scenario, [arm.plan for arm in arms]))):
        progress.note("machine code of the fleet's rules is made first: no tokens for a while")
    if size.cells == 1 or size.seconds(len(arms), 1) < _WORTH_A_CLUSTER_S:
        # A cluster that was asked for by name is used in any case.
        address = NO_CLUSTER if address == "local" and jobs is None else address
    manifest = manifest_of(scenario, scenario.way, _Values(scenario.values, scenario.values))
    manifest |= made_by(scenario)
    kept: dict[tuple[int, int], Path] = {}
    if resume:
        kept = reopen_cells(out_dir, scenario)
        manifest |= {"resumed_after_cells": len(kept)}
        progress.note(f"{len(kept)} of {size.cells * len(arms)} cells are done already")
    run = _Run(scenario, size, progress, lighter, kept, metrics)
    with (
        open_pool(address, jobs) as pool,
        RunSink(
            out_dir,
            dump_scenario(scenario),
            manifest,
            pieces=0 if resume else None,
            keep_pieces=True,
        ) as sink,
        deferred_interrupt() as stopped,
    ):
        try:
            for arm in arms:
                if not stopped():
                    run.carry_out(arm, pool, sink, stopped)
        finally:
            summary = run.write(sink)
        complete = len(run.done) == len(arms) and all(arm.complete for arm in run.done)
        sink.close(complete=complete, sample=run.sampled())
    if stopped() or not complete:
        raise KeyboardInterrupt
    return RunOutcome(out_dir, summary)


def loops_of_cells(scenario: Scenario, plans: Sequence[ArmPlan]) -> set[Callable[..., bool]]:
    """Return the loops that cells run; of a fleet whose replicas fail some cells may be calm."""
    radio = any(each.shared_by > 1 for each in scenario.fleet.classes)
    links = class_links(scenario.fleet, scenario.seed)
    found = set()
    for plan in plans:
        failing = {each.replica for each in plan.failures}
        if plan.arm.method.cloud is CloudRole.ABSENT:
            failing = set()
        for fails in {not failing.isdisjoint(cell) for cell in replicas_of_cells(scenario)}:
            of_cell = plan if fails else replace(plan, failures=())
            rules = rules_of(
                of_cell,
                sharing=radio or fluid_egress(plan),
                troubled=is_troubled(of_cell, links),
                several=fails,
            )
            found.add(advance_of(rules))
    return found


def _plan(scenario: Scenario, index: int, progress: Progress) -> _Arm:
    """Find out what can be known of an arm before it runs, its overload included."""
    workload, plan, terms = arm_of_cells(scenario, index)
    costs = plan_costs(scenario, terms, beside=plan.arm.beside)
    keys = arm_keys(scenario, plan, terms, scenario.way)
    load = load_of(scenario, plan, costs)
    if load is not None and load.backlog:
        progress.note(f"{arm_title(keys)}: {load.told()}")
    origins = given_origins(scenario) | {"compute": costs.origin}
    return _Arm(index, plan, keys, origins, cost_facts(scenario, plan, terms, workload))


class _Run:
    """The arms of a run: those that have ended, and the one that is under way."""

    def __init__(
        self,
        scenario: Scenario,
        size: Size,
        progress: Progress,
        lighter: int,
        kept: Mapping[tuple[int, int], Path],
        metrics: Metrics | None,
    ) -> None:
        self._scenario = scenario
        self._lighter = lighter
        self._size = size
        self._progress = progress
        self._kept = kept
        self._metrics = metrics
        self._kinds = [
            (link.name, each.device_class)
            for link, each in zip(
                class_links(scenario.fleet, scenario.seed), scenario.fleet.classes, strict=True
            )
        ]
        self._sampled = 0
        self.done: list[FleetArm] = []

    def carry_out(
        self, arm: _Arm, pool: CellPool | None, sink: RunSink, stopped: Callable[[], bool]
    ) -> None:
        """Run an arm's cells; what was merged is kept, also of an arm that fails."""
        size, progress = self._size, self._progress
        expected = round(size.tokens / len(self._scenario.arms))
        progress.begin(arm_title(arm.keys), expected)
        log = CellLog(sink, arm.index, size.cells, expected)

        def told(tokens: int) -> None:
            progress.advance(tokens)
            log.advance(tokens)

        merged = _Merged(self._counting(arm, expected))
        try:
            for sums in self._kept_of(arm):
                cell = kept_cell(sums)
                merged.add(cell, ended=True)
                self._sampled += cell.sampled
                progress.advance(cell.tokens)
                log.take(cell.tokens)
            tasks = self._missing(arm)
            for task, outcome in cell_outcomes(pool, tasks, told, stopped):
                keep_cell(sink, arm.index, arm.keys, task.cell, outcome)
                merged.add(outcome, ended=outcome.ended)
                self._sampled += len(outcome.rows.requests)
                if outcome.ended:
                    log.cell()
        finally:
            if merged.result is not None:
                self._keep(arm, merged.result, merged, sink)
        progress.end()

    def _kept_of(self, arm: _Arm) -> list[Path]:
        return [sums for (index, _), sums in sorted(self._kept.items()) if index == arm.index]

    def _missing(self, arm: _Arm) -> list[CellTask]:
        watch = Watch(
            reading_speed_tokens_per_s=READING_SPEED_TOKENS_PER_S,
            sample_every=sample_every(self._scenario, self._size),
        )
        return [
            CellTask(self._scenario, arm.index, cell, watch, self._lighter)
            for cell in range(self._size.cells)
            if (arm.index, cell) not in self._kept
        ]

    def _counting(self, arm: _Arm, expected: int) -> CellMetrics | None:
        if self._metrics is None:
            return None
        return CellMetrics(
            self._metrics,
            arm.plan,
            codec=arm.keys["codec"],
            links=[link for link, _ in self._kinds],
            devices=self._size.devices,
            cells=self._size.cells,
            expected_tokens=expected,
        )

    def _keep(self, arm: _Arm, merged: CellResult, of: _Merged, sink: RunSink) -> None:
        done = FleetArm(
            arm.index,
            arm.keys,
            arm.origins,
            merged,
            self._kinds,
            arm.plan.limits.kv_tokens,
            arm.facts,
            of.ended == self._size.cells,
            in_order(of.incidents),
            of.growth_per_hour,
        )
        self.done.append(done)
        for each in told_incidents(done.incidents):
            sink.log(event="incident", arm=arm.index, **each)
        sink.log(
            event="arm", arm=arm.index, end_ns=merged.end_ns, complete=done.complete, **arm.keys
        )
        if merged.overloaded:
            self._progress.note(
                f"{arm_title(arm.keys)}: {merged.overloaded} of {merged.cells} replicas were"
                f" stopped: {merged.cloud('backlog'):,} requests were waiting, and"
                f" {of.growth_per_hour / _S_PER_HOUR:,.3g} more came each second than were served;"
                " add replicas, or lower the rate"
            )

    def write(self, sink: RunSink) -> dict[str, Any]:
        """Write the summary and the tables beside it; return the summary."""
        summary = summarise_cells(self.done, warmup_s=self._scenario.workload.warmup_s)
        sink.write_summary(summary)
        if self.done:
            sink.write_frame("histograms", histograms_frame(self.done))
            sink.write_frame("series", series_frame(self.done))
        return summary

    def sampled(self) -> dict[str, int]:
        """Return of how many requests tokens and requests were written down."""
        return {
            "requests": self._sampled,
            "of": sum(arm.result.figure("arrived") for arm in self.done),
        }


class _Merged:
    """What an arm's cells have come to so far: sums, so in whatever order they ended."""

    def __init__(self, counting: CellMetrics | None) -> None:
        self._counting = counting
        self.result: CellResult | None = None
        self.ended = self.growth_per_hour = 0
        self.incidents: list[Incident] = []

    def add(self, cell: CellOutcome | KeptCell, *, ended: bool) -> None:
        result = cell.result
        self.result = result if self.result is None else self.result.merged(result)
        self.ended += ended
        self.growth_per_hour += cell.growth_per_hour
        self.incidents += cell.incidents
        if self._counting is not None:
            self._counting(result)


def sample_every(scenario: Scenario, size: Size) -> int:
    """Return of how many devices one is written down in full; 0 for none of them."""
    wanted = SAMPLE_REQUESTS if scenario.fleet.sample is None else scenario.fleet.sample
    if wanted == 0:
        return 0
    return max(1, round(size.requests / wanted))
