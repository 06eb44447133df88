"""A fleet beside this machine: live runs, and what is predicted of them from other prompts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import mean, stdev

import numpy as np

from actors.costs import Costs
from actors.fleet.driver import FleetDriver
from actors.fleet.machine_code import kept_compiler
from actors.plan import codec_terms
from actors.port import Port
from actors.records import Recorder
from costeer.methods import method_named
from experiments.fleet_validation.contention import (
    Contended,
    Reals,
    cloud_costs,
    edge_costs,
    mean_of,
)
from experiments.fleet_validation.design import (
    CALIBRATING,
    JUDGING,
    LivePoint,
    live_half,
    live_scenario,
    replaying,
    write_prompts,
)
from experiments.fleet_validation.runs import Runs
from experiments.fleet_validation.timed import Timed, TimedCloudActor, TimedEdgeActor
from experiments.host_makers import host_makers
from experiments.hosting import Laboratory
from experiments.planning import plan_arm, plan_workload
from experiments.profile.outcomes import outcomes_of
from experiments.profile.record import record_profile
from experiments.results.frames import Frames, frames_of
from experiments.results.run import Run
from experiments.scenario import Scenario
from netsim.hardware import Fixed

ALLOWED = 0.05
SPREADS = 2.0
"""A figure is within what is allowed up to so much, or so many standard deviations of its runs."""

FIGURES = ("tokens/s in all", "ITL mean, ms", "ITL p50, ms", "ITL p95, ms")


@dataclass(frozen=True, slots=True)
class LiveFigure:
    """One figure of one point.

    Args:
        name: of ``FIGURES``.
        measured: of each live run.
        predicted: of the fleet.
    """

    name: str
    measured: tuple[float, ...]
    predicted: float

    @property
    def spread(self) -> float:
        """Standard deviation from run to run, as a share of the mean."""
        return stdev(self.measured) / self.mean if len(self.measured) > 1 else 0.0

    @property
    def mean(self) -> float:
        """Of the live runs."""
        return mean(self.measured)

    @property
    def error(self) -> float:
        """Of the prediction, as a share of what was measured."""
        return self.predicted / self.mean - 1

    @property
    def allowed(self) -> float:
        """What it may be off."""
        return max(ALLOWED, SPREADS * self.spread)

    @property
    def within(self) -> bool:
        """Whether it is off by no more than that."""
        return abs(self.error) <= self.allowed


@dataclass(frozen=True, slots=True)
class LiveOutcome:
    """One point.

    Args:
        point: what was run.
        costs: that the prediction was charged with.
        rows: mean rows of the cloud's forwards in the live runs, and predicted.
        waiting: share of a token's time in the cloud's queue, measured and predicted.
        figures: side by side.
        itl_ms: of all live runs, and predicted, for the figure.
    """

    point: LivePoint
    costs: Contended
    rows: tuple[float, float]
    waiting: tuple[float, float]
    figures: tuple[LiveFigure, ...]
    itl_ms: tuple[Reals, Reals]


def timed_laboratory(scenario: Scenario, port: Port) -> Laboratory:
    """Return hosts that remember how long everything took."""
    make_cloud, make_edge, names = host_makers(scenario)
    cloud = port.start(TimedCloudActor, make_cloud, threads=3)
    return Laboratory((cloud,), (port.start(TimedEdgeActor, make_edge, threads=2),), *names, port)


def run_point(point: LivePoint, laboratory: Laboratory, runs: Runs, repeats: int) -> LiveOutcome:
    """Calibrate on some prompts, judge on others, predict these.

    Args:
        point: the load.
        laboratory: of ``timed_laboratory``.
        runs: where runs are kept; live ones are run again in any case.
        repeats: live runs to judge by.
    """
    costs, judged = [], []

    def calibrate(number: int) -> None:
        run = runs.run(live_scenario_of(point, CALIBRATING, number, runs), laboratory)
        costs.append(_costs(point, run, laboratory))

    def judge(number: int) -> None:
        run = runs.run(live_scenario_of(point, JUDGING, number, runs), laboratory)
        judged.append(_Measured.of_run(run))

    # A first run pays for what is done once; it is run again, and counts then.
    runs.run(live_scenario_of(point, CALIBRATING, 0, runs), laboratory)
    for number in range(repeats):
        # In turn and in turns, so that whatever else the machine does meets both alike.
        for measure in (calibrate, judge) if number % 2 == 0 else (judge, calibrate):
            measure(number)
    mean_costs = mean_of(costs)
    predicted = [_predict(_replaying(point, number, runs), mean_costs) for number in range(repeats)]
    told, measured = ([each.figures() for each in runs_] for runs_ in (predicted, judged))
    return LiveOutcome(
        point,
        mean_costs,
        (mean(each.rows for each in judged), mean(each.rows for each in predicted)),
        (mean(each.waiting for each in judged), mean(each.waiting for each in predicted)),
        tuple(
            LiveFigure(
                name, tuple(each[name] for each in measured), mean(each[name] for each in told)
            )
            for name in FIGURES
        ),
        (_itl_ms(judged), _itl_ms(predicted)),
    )


def _itl_ms(runs: Sequence[_Measured]) -> Reals:
    return np.concatenate([each.itl_ms for each in runs])


def _replaying(point: LivePoint, number: int, runs: Runs) -> Scenario:
    """Return a judging run's links, with what the calibrating run of the same number said."""
    judging = live_scenario_of(point, JUDGING, number, runs)
    calibrating = live_scenario_of(point, CALIBRATING, number, runs)
    path = runs.folder / calibrating.name / "profile.parquet"
    record_profile(path.parent, path)
    return replaying(judging, path, f"{point.name}-predicted-{number}")


def live_scenario_of(point: LivePoint, role: str, number: int, runs: Runs) -> Scenario:
    """Return what runs a load, its prompts written."""
    half = live_half(point, role, number)
    prompts = runs.kept(f"{half.name}-{half.devices}.jsonl", partial(write_prompts, half))
    return live_scenario(point, role, number, prompts)


def _costs(point: LivePoint, run: Run, laboratory: Laboratory) -> Contended:
    method = method_named(point.method)
    timed = laboratory.cloud.call("take_timed")
    edges = [each for shard in laboratory.shards for each in _listed(shard.call("take_timed"))]
    edge = edge_costs(run.tokens, edges) if method.steered else Fixed()
    cloud = cloud_costs(
        _listed(timed), streamed=method.streamed, saturated=method.streamed and point.beyond
    )
    return Contended(cloud, edge)


def _listed(timed: object) -> list[Timed]:
    return timed if isinstance(timed, list) else []


@dataclass(frozen=True, slots=True)
class _Measured:
    """What a run came to, whatever ran it."""

    frames: Frames
    rows: float

    @classmethod
    def of_run(cls, run: Run) -> _Measured:
        arm = next(arm for arm in run.arms if arm["link_class"] == "all")
        return cls(run.frames, arm["rows_per_forward_mean"])

    @property
    def itl_ms(self) -> Reals:
        tokens = self.frames.tokens
        later = tokens[tokens["position"] > 0]
        itl_ms: Reals = later["latency_ns"].to_numpy(np.float64) / 1e6
        return itl_ms

    @property
    def waiting(self) -> float:
        tokens = self.frames.tokens
        return float(tokens["stage_cloud_queue_ns"].sum() / tokens["latency_ns"].sum())

    def figures(self) -> dict[str, float]:
        tokens, itl_ms = self.frames.tokens, self.itl_ms
        first_ns, last_ns = self.frames.requests["arrival_ns"].min(), tokens["chosen_at_ns"].max()
        values = (
            len(tokens) / float(last_ns - first_ns) * 1e9,
            float(itl_ms.mean()),
            *(float(np.percentile(itl_ms, share)) for share in (50, 95)),
        )
        return dict(zip(FIGURES, values, strict=True))


def _predict(scenario: Scenario, costs: Contended) -> _Measured:
    """Run a compiled fleet that is charged with given costs."""
    workload = plan_workload(scenario)
    plan = plan_arm(scenario, workload, scenario.arms[0])
    terms = codec_terms(plan, workload.vocab_size)
    classes = {device.device_class for device in plan.devices}
    charged = Costs(costs.cloud, dict.fromkeys(classes, costs.edge), terms.ladder)
    sessions = sum(len(device.requests) for device in plan.devices)
    recorder = Recorder(sessions, lambda _tokens, _requests: None)
    run = FleetDriver(
        plan, terms, charged, outcomes_of(scenario, plan), recorder, compiler=kept_compiler()
    ).run()
    rows = run.engine.batches
    return _Measured(frames_of([({}, run, None)]), sum(rows) / len(rows))
