"""The ways of carrying an arm out: who drives the machines, and whose clock it is."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeAlias

from actors.costs import Costs
from actors.live.driver import run_live
from actors.plan import ArmPlan, CodecTerms
from actors.port import Handle, Recovery
from actors.recall import Recall, RecallingCloud, RecallingEdge
from actors.records import ArmRun, Recorder
from actors.values.port import ArmSpec
from actors.values.witness import Witnessed
from actors.virtual.driver import VirtualDriver
from costeer.methods import CloudRole
from experiments.calibration import PairCalibration
from experiments.hosting import Laboratory
from experiments.planning import plan_costs
from experiments.scenario import Scenario

Drive: TypeAlias = Callable[[Callable[[], bool]], ArmRun]
"""Runs an arm to its end, or until the function that it is given says so."""


@dataclass(frozen=True, slots=True)
class Way:
    """A way of carrying arms out.

    Args:
        name: what tables call it.
        begin: prepares an arm (plan, its codec's terms, what takes the rows); returns what runs it
            and where the figures are from that depend on the way.
    """

    name: str
    begin: Callable[[ArmPlan, CodecTerms, Recorder], tuple[Drive, dict[str, str]]]


class ArmHosts(Protocol):
    """The hosts of a run, as far as its arms and its manifest know them."""

    @property
    def cloud_name(self) -> str:
        """What computes the large model's values."""
        ...

    @property
    def edge_name(self) -> str:
        """What computes the small model's values."""
        ...

    @property
    def recoveries(self) -> Sequence[Recovery]:
        """Hosts that died so far and were made again."""
        ...

    def begin_arm(self, arm: ArmSpec) -> int:
        """Prepare all hosts for an arm; return the vocabulary's size."""
        ...

    def take_witnessed(self) -> list[Witnessed]:
        """Return what the devices kept of the arm's witnessed sessions, and forget it."""
        ...


def scenario_way(
    laboratory: Laboratory, scenario: Scenario, calibration: PairCalibration | None = None
) -> Way:
    """Return the way that a scenario asks for, on a laboratory's hosts.

    Args:
        laboratory: the hosts.
        scenario: names the way.
        calibration: measured costs to charge, instead of what the scenario names.
    """
    return Way(scenario.way, partial(_begin, laboratory, scenario, calibration))


def _begin(
    laboratory: Laboratory,
    scenario: Scenario,
    calibration: PairCalibration | None,
    plan: ArmPlan,
    terms: CodecTerms,
    recorder: Recorder,
) -> tuple[Drive, dict[str, str]]:
    """Prepare an arm on a laboratory's hosts, in the scenario's way."""
    method = plan.arm.method
    # A laboratory may have more of them than the scenario asks for.
    replicas = plan.replicas if method.cloud is not CloudRole.ABSENT else 0
    clouds: Sequence[Handle] = laboratory.clouds[:replicas]
    if scenario.way == "live":
        live = partial(
            run_live,
            plan,
            terms,
            clouds,
            laboratory.shards,
            recorder,
            time.sleep,
        )
        return live, {"compute": "measured"}
    costs = plan_costs(scenario, terms, calibration, method, beside=plan.arm.beside)
    if scenario.way == "fleet":
        return _fleet(scenario, costs, plan, terms, recorder), {"compute": costs.origin}
    shards: Sequence[Handle] = laboratory.shards if method.edge_branches else ()
    # What was drafted, of what the cloud was how sure, or what a replica had sent that then failed:
    # no row tells it, and it is computed anew.
    if recorder.earlier.tokens and _is_told(plan):
        recall = Recall(recorder.earlier.tokens, unless=plan.arm.witnessed)
        clouds = [RecallingCloud(cloud, recall) for cloud in clouds]
        shards = [RecallingEdge(shard, recall) for shard in shards]
    driver = VirtualDriver(plan, terms, costs, clouds, shards, recorder)
    return driver.run, {"compute": costs.origin}


def _is_told(plan: ArmPlan) -> bool:
    """Whether a run's rows tell all that its hosts were asked for."""
    drafted = plan.speculation is not None or plan.cloud_drafts is not None
    return not (drafted or plan.gate is not None or plan.failures)


def _fleet(
    scenario: Scenario, costs: Costs, plan: ArmPlan, terms: CodecTerms, recorder: Recorder
) -> Drive:
    """Prepare an arm for the compiled way."""
    from actors.fleet.driver import FleetDriver  # noqa: PLC0415 - only where it is asked for
    from actors.fleet.machine_code import kept_compiler  # noqa: PLC0415
    from experiments.profile.outcomes import outcomes_of  # noqa: PLC0415

    outcomes = outcomes_of(scenario, plan)
    return FleetDriver(plan, terms, costs, outcomes, recorder, compiler=kept_compiler()).run
