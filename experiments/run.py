"""One scenario, carried out and written down.

The arms run one after the other on the same hosts, each with the same fleet, prompts and draws.
Rows are committed while they come; the summary and the report are written from them at the end.
Ctrl-C ends the arm that is running, a failure too: what there is, is written, the run and that arm
marked incomplete; arms that had ended before keep their digests and are complete.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from actors.earlier import read_earlier, reopen_pieces
from actors.metrics import ArmMetrics, Metrics
from actors.plan import ArmPlan, codec_terms
from actors.port import Recovery
from actors.records import (
    ArmRun,
    Earlier,
    News,
    Recorder,
    RequestRow,
    Standstill,
    TokenRow,
)
from actors.sink import RunSink
from experiments.calibration import PairCalibration
from experiments.cost_facts import CostFacts
from experiments.hosting import NO_CLUSTER, Laboratory, open_laboratory
from experiments.interrupt import deferred_interrupt
from experiments.manifest import manifest_of
from experiments.metrics import MetricsAt, RestartCount, serve_metrics
from experiments.outcome import (
    RunOutcome,
    arm_keys,
    arm_title,
    check_out_dir,
    given_origins,
)
from experiments.planning import Workload, cost_facts, plan_arm, plan_workload
from experiments.planning.size import runs_in_cells
from experiments.progress import Progress, Watch
from experiments.report import write_report
from experiments.results.frames import Arm, arm_of, frames_of
from experiments.results.incidents import told_incidents
from experiments.results.narrow import narrow_choices
from experiments.results.samples import MARKED
from experiments.results.summary import summarise
from experiments.scenario import Scenario, dump_scenario
from experiments.texts import TextBook
from experiments.ways import ArmHosts, Way, scenario_way

_TELL_EVERY_TOKENS = 16
_SHOW_EVERY_TOKENS = 128


def run_scenario(
    scenario: Scenario,
    out_dir: Path,
    address: str,
    progress: Progress,
    metrics_at: MetricsAt | None = None,
    *,
    jobs: int | None = None,
    resume: bool = False,
) -> RunOutcome:
    """Run a scenario from its hosts to its report.

    Args:
        scenario: what to run.
        out_dir: a directory that does not hold a run yet, or the one that is to go on.
        address: ``none``, ``local``, ``auto`` or HOST:PORT.
        progress: told of arms and tokens.
        metrics_at: where to serve metrics while it runs; None for nowhere.
        jobs: a large fleet's cells at the same time; as many as there are CPUs if None.
        resume: go on with the run that ``out_dir`` holds, see ``experiments.resume``.

    Raises:
        ConfigError: something in the scenario cannot be had, or nothing can listen there.
        Exception: what a host raised, Ctrl-C too; after what there is was written.
    """
    metrics = Metrics(scenario=scenario.name, way=scenario.way, values=scenario.values)
    watched = metrics if metrics_at is not None else None
    if runs_in_cells(scenario):
        from experiments.fleet.run import run_fleet  # noqa: PLC0415 - only where it is asked for

        with serve_metrics(metrics, metrics_at, progress.note):
            outcome = run_fleet(
                scenario, out_dir, address, progress, jobs, metrics=watched, resume=resume
            )
        write_report(outcome.run_dir)
        return outcome
    if not resume:
        check_out_dir(out_dir)
    workload = plan_workload(scenario)
    with ExitStack() as stack:
        serving = stack.enter_context(serve_metrics(metrics, metrics_at, progress.note))
        laboratory = stack.enter_context(open_laboratory(scenario, address, serving))
        way = scenario_way(laboratory, scenario)
        outcome = run_arms(
            laboratory, way, scenario, workload, out_dir, progress, watched, resume=resume
        )
    write_report(outcome.run_dir)
    return outcome


def run_in(
    laboratory: Laboratory,
    scenario: Scenario,
    workload: Workload,
    out_dir: Path,
    progress: Progress,
    calibration: PairCalibration | None = None,
) -> RunOutcome:
    """Run a scenario's arms on hosts that are up; no report is written.

    Args:
        laboratory: the hosts.
        scenario: what to run.
        workload: its prompts and devices.
        out_dir: a directory that does not hold a run yet.
        progress: told of arms and tokens.
        calibration: measured costs to charge, instead of what the scenario names.

    Raises:
        ConfigError: an arm cannot be run; found out before the first begins.
        Exception: what a host raised, Ctrl-C too; after what there is was written.
    """
    if runs_in_cells(scenario) and calibration is None:
        from experiments.fleet.run import run_fleet  # noqa: PLC0415 - only where it is asked for

        return run_fleet(scenario, out_dir, NO_CLUSTER, progress)
    way = scenario_way(laboratory, scenario, calibration)
    return run_arms(laboratory, way, scenario, workload, out_dir, progress)


def run_arms(
    hosts: ArmHosts,
    way: Way,
    scenario: Scenario,
    workload: Workload,
    out_dir: Path,
    progress: Progress,
    metrics: Metrics | None = None,
    *,
    resume: bool = False,
) -> RunOutcome:
    """Run a scenario's arms in a given way; no report is written.

    Args:
        hosts: prepared for each arm before it begins.
        way: what carries an arm out.
        scenario: what to run.
        workload: its prompts and devices.
        out_dir: a directory that does not hold a run yet.
        progress: told of arms and tokens.
        metrics: count the rows while they come; None for nobody.
        resume: go on with the run that ``out_dir`` holds.

    Raises:
        ConfigError: an arm cannot be run; found out before the first begins.
        Exception: what a host raised, Ctrl-C too; after what there is was written.
    """
    texts = TextBook(scenario, workload)
    plans = [plan_arm(scenario, workload, config) for config in scenario.arms]
    recovered = len(hosts.recoveries)
    # Before anything is written: of hosts that cannot be made, on a cluster told by their first
    # call, there is no run to go on with.
    vocab_size = hosts.begin_arm(plans[0].arm)
    manifest = manifest_of(scenario, way.name, hosts)
    pieces, earlier = None, dict[int, Earlier]()
    if resume:
        pieces = reopen_pieces(out_dir)
        earlier = read_earlier(out_dir)
        manifest |= {"resumed_after_tokens": sum(len(each.tokens) for each in earlier.values())}
    with (
        RunSink(out_dir, dump_scenario(scenario), manifest, pieces=pieces) as sink,
        deferred_interrupt() as stopped,
    ):
        arms = _Arms(sink, scenario)
        marked: list[dict[str, Any]] = []
        try:
            for index, plan in enumerate(plans):
                if index:
                    vocab_size = hosts.begin_arm(plan.arm)
                terms = codec_terms(plan, vocab_size)
                keys = arm_keys(scenario, plan, terms, way.name)
                progress.begin(arm_title(keys), plan.expected_tokens)
                commit = _Commit(sink, index, keys, texts, plan)
                recorder = Recorder(
                    sum(len(device.requests) for device in plan.devices),
                    commit,
                    tell=progress.advance,
                    tell_every=_TELL_EVERY_TOKENS,
                    watch=_together(
                        ArmMetrics(metrics, plan, keys["codec"]) if metrics else None,
                        RestartCount(metrics, hosts) if metrics else None,
                        progress.watch(plan),
                    ),
                    watch_every=_SHOW_EVERY_TOKENS,
                    earlier=earlier.get(index),
                )
                commit.remember(recorder.earlier.requests)
                drive, origins = way.begin(plan, terms, recorder)
                origins = given_origins(scenario) | origins
                facts = cost_facts(scenario, plan, terms)
                with arms.keeping(keys, recorder, commit.texts, origins, plan, facts):
                    drive(stopped)
                marked += [
                    {"arm": index, "method": keys["method"], **text}
                    for text in texts.marked(recorder.run.requests, hosts.take_witnessed())
                ]
                progress.end()
                if stopped() or not arms.complete:
                    break
        finally:
            summary = arms.write()
            if marked:
                sink.write_text(MARKED, json.dumps(marked, ensure_ascii=False) + "\n")
            _tell_recoveries(hosts.recoveries[recovered:], arms.standstills, sink, progress)
        complete = len(arms.described) == len(plans) and arms.complete
        sink.close(complete=complete)
    if stopped() or not complete:
        raise KeyboardInterrupt
    return RunOutcome(out_dir, summary)


def _tell_recoveries(
    recoveries: Sequence[Recovery],
    standstills: Sequence[Standstill],
    sink: RunSink,
    progress: Progress,
) -> None:
    """Write down which hosts died and were made again; the results do not know of it."""
    for each in recoveries:
        sink.log(event="recovery", **asdict(each))
    if not recoveries:
        return
    longest_s = max(each.took_s for each in recoveries)
    spoke_s = [each.first_token_s for each in standstills if each.first_token_s is not None]
    again = f"; sessions spoke again after {max(spoke_s):.1f} s at most" if spoke_s else ""
    progress.note(
        f"{len(recoveries)} hosts died and were made again ({longest_s:.1f} s at most){again};"
        " see log.jsonl"
    )


def _together(*watches: Watch | None) -> Watch | None:
    """Return what tells all of those who watch; None where nobody does."""
    watching = [watch for watch in watches if watch is not None]

    def tell(news: News) -> None:
        for watch in watching:
            watch(news)

    return tell if watching else None


class _Arms:
    """The arms that have ended, in whatever way, and the summary of them."""

    def __init__(self, sink: RunSink, scenario: Scenario) -> None:
        self._sink = sink
        self._scenario = scenario
        self._rows: list[tuple[Mapping[str, str], ArmRun, Mapping[int, Mapping[str, Any]]]] = []
        self.described: list[Arm] = []
        self.standstills: list[Standstill] = []

    @property
    def complete(self) -> bool:
        return all(arm.complete for arm in self.described)

    @contextmanager
    def keeping(
        self,
        keys: Mapping[str, str],
        recorder: Recorder,
        texts: Mapping[int, Mapping[str, Any]],
        origins: Mapping[str, str],
        plan: ArmPlan,
        facts: CostFacts,
    ) -> Iterator[None]:
        """Keep the arm that is run in the block; one that fails is kept as incomplete."""
        index, ended = len(self.described), False
        try:
            yield
            ended = True
        finally:
            run = recorder.run
            capacity = plan.limits.kv_tokens
            arm = arm_of(index, keys, run, origins, kv_capacity_tokens=capacity, facts=facts)
            arm = replace(arm, complete=ended and run.complete)
            self._rows.append((keys, run, texts))
            self.described.append(arm)
            for each in told_incidents(arm.incidents):
                self._sink.log(event="incident", arm=index, **each)
            for still in run.standstills:
                self._sink.log(event="standstill", arm=index, **asdict(still))
                self.standstills.append(still)
            self._sink.log(event="arm", arm=index, end_ns=run.end_ns, complete=arm.complete, **keys)

    def write(self) -> dict[str, Any]:
        """Write the summary and return it."""
        frames = frames_of(self._rows)
        summary = summarise(
            frames,
            self.described,
            warmup_s=self._scenario.workload.warmup_s,
            seed=self._scenario.seed,
        )
        if self._scenario.values == "models":
            narrow = narrow_choices(frames.tokens, self._scenario.models.numerics)
            summary |= {"numerics": narrow} if narrow else {}
        self._sink.write_summary(summary)
        return summary


class _Commit:
    """Hands rows of one arm to the sink, and keeps what the requests' texts are worth."""

    def __init__(
        self, sink: RunSink, index: int, keys: Mapping[str, str], texts: TextBook, plan: ArmPlan
    ) -> None:
        self._sink = sink
        self._index = index
        self._keys = keys
        self._book = texts
        self._method = plan.arm.method
        self.texts: dict[int, Mapping[str, Any]] = {}

    def remember(self, requests: Sequence[RequestRow]) -> dict[int, Mapping[str, Any]]:
        """Keep the texts of requests that were handed on before."""
        found = self._book.columns(self._method, requests)
        self.texts |= found
        return found

    def __call__(self, tokens: Sequence[TokenRow], requests: Sequence[RequestRow]) -> None:
        found = self.remember(requests)
        self._sink.write(self._index, self._keys, tokens, requests, found)
