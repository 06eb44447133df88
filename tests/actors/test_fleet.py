"""Law 5 for the compiled way: event by event what `virtual` does, on equal values."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.costs import Costs
from actors.fleet.driver import FleetDriver
from actors.fleet.machine_code import kept_compiler
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan, Cell
from actors.values.null import NullConfig
from costeer.errors import ConfigError
from costeer.methods import METHODS, CloudRole
from netsim.hardware.calibrated import Calibrated, Linear
from netsim.link import Bursts
from netsim.sharing import Discipline
from netsim.trace import make_trace
from netsim.transport import Transport
from tests.actors.compiled_fleets import (
    as_python,
    crowds,
    fleets,
    neighbours,
    run_and_outcomes,
    run_fleet,
    same,
    traced,
)
from tests.actors.fleets import (
    EDGE_COSTS,
    LIMITS,
    MS,
    VOCAB,
    arm_plan,
    begin,
    costs_of,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
    recorder_of,
)
from tests.netsim.measured import made_of

some = settings(max_examples=60, deadline=None)


@some
@given(fleets())
def test_fleet_equals_virtual_event_by_event(plan: ArmPlan) -> None:
    run, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes), run)


@settings(max_examples=40, deadline=None)
@given(fleets(), st.integers(1, 110), st.sampled_from((0, 1, 10**6)))
def test_a_fleet_that_is_cut_off_or_turned_away_equals_virtual(
    plan: ArmPlan, percent: int, max_waiting: int
) -> None:
    whole, outcomes = run_and_outcomes(plan)
    plan = replace(
        plan,
        until_ns=max(1, whole.end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    same(run_fleet(plan, outcomes), driver_of(plan, generated_hosts()).run())


@some
@given(crowds(), st.integers(1, 110), st.sampled_from((0, 1, 10**6)))
def test_sessions_that_are_evicted_go_on_as_in_virtual(
    plan: ArmPlan, percent: int, max_waiting: int
) -> None:
    whole, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes), whole)
    plan = replace(
        plan,
        until_ns=max(1, whole.end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    same(run_fleet(plan, outcomes), driver_of(plan, generated_hosts()).run())


@settings(max_examples=60, deadline=None)
@given(neighbours(), st.integers(1, 110))
def test_devices_that_share_a_way_meet_as_in_virtual(plan: ArmPlan, percent: int) -> None:
    whole, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes), whole)
    plan = replace(plan, until_ns=max(1, whole.end_ns * percent // 100))
    same(run_fleet(plan, outcomes), driver_of(plan, generated_hosts()).run())


def calibrated(scale: int) -> Calibrated:
    """A model that was measured on few points: lines between them, and beyond the last ones.

    Of forwards of one shape a sixth is a quarter longer, and one a half shorter.
    """
    line = Linear(base_ns=70_003.0, per_value_ns=1.5)
    points = [
        (batch, new, context, scale * (7 + 3 * batch + new * new + context // 7))
        for batch in (1, 2, 5)
        for new in (1, 3)
        for context in (0, 6, 40)
    ]
    return made_of(
        points,
        line,
        kv_tokens=10_000,
        forward_variation=(497, 1000, 1000, 1000, 1000, 1251),
    )


@settings(max_examples=20, deadline=None)
@given(fleets())
def test_forwards_between_measured_points_are_those_of_virtual(plan: ArmPlan) -> None:
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(EDGE_COSTS, "slow", calibrated(100_003))
        cloud = calibrated(70_001)
        _, outcomes = run_and_outcomes(plan)
        run = driver_of(plan, generated_hosts(), cloud_cost=cloud).run()
        same(run_fleet(plan, outcomes, cloud_cost=cloud), run)


@pytest.mark.parametrize("preempts", [False, True])
@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_machine_code_does_what_python_does_beyond_saturation(method: str, preempts: bool) -> None:
    where = replace(link(jitter_ns=MS, loss=0.1), transport=Transport())
    trace = make_trace("made", [(7_000, 3_000_000), (9_000, 0), (2_000, 900_000)])
    down = replace(traced(where.down, trace.starting_at(5 * MS)), bursts=Bursts(MS, 9 * MS, 0.4))
    where = replace(where, down=down)
    plan = arm_plan(
        method,
        [
            device(
                number,
                3,
                where=where,
                think_ns=number * MS,
                hardware=("slow", "fast")[number % 2],
            )
            for number in range(12)
        ],
        limits=replace(LIMITS, max_batch=2, kv_tokens=60, chunk_tokens=5, preempts=preempts),
        egress_bps=200_000,
        codec="top1-bf16-naive",
        max_new_tokens=8,
    )
    _, outcomes = run_and_outcomes(plan)
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(EDGE_COSTS, "fast", calibrated(90_001))
        run = driver_of(plan, generated_hosts(), cloud_cost=calibrated(70_001)).run()
        compiled_run = run_fleet(plan, outcomes, kept_compiler(), cloud_cost=calibrated(70_001))
        same(compiled_run, run)
    alone = plan.arm.method.cloud is CloudRole.ABSENT
    assert (run.engine.preempted_sessions > 0) == (preempts and not alone)
    if plan.arm.method.steered:
        assert any(each.record.rounds for each in run.tokens)


@pytest.mark.parametrize("method", ["costeer", "llm_with"])
@pytest.mark.parametrize(
    ("cells", "egress"),
    [("fifo", "fifo"), ("ps", "fifo"), ("ps", "ps"), ("fifo", "ps"), (None, "ps")],
)
def test_devices_that_share_wait_for_each_other(
    method: str, cells: str | None, egress: str
) -> None:
    where = replace(link(jitter_ns=MS), transport=Transport())
    shared = [Cell(number, Discipline(cells)) if cells else None for number in range(3)]
    devices = [
        replace(device(number, 2, where=where, think_ns=number * MS), cell=shared[number % 3])
        for number in range(12)
    ]
    plan = replace(
        arm_plan(method, devices, egress_bps=400_000, codec="top1-bf16-naive"),
        egress_discipline=Discipline(egress),
    )
    run, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes), run)
    if method == "costeer":
        assert any(each.record.rounds for each in run.tokens)
    alone = tuple(replace(each, cell=None) for each in devices)
    alone_run, _ = run_and_outcomes(replace(plan, devices=alone, egress_bps=0))
    assert alone_run.end_ns < run.end_ns, "nobody met anybody"


def test_constants_are_those_of_null_hosts() -> None:
    plan = arm_plan(max_new_tokens=40, eos=frozenset({47}))
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100)
    outcomes = Outcomes.constant(config, np.full(3, plan.max_new_tokens), plan.eos)
    run = driver_of(plan, null_hosts()).run()
    assert {request.reason for request in run.requests} == {"eos"}
    same(run_fleet(plan, outcomes), run)


def test_a_stopped_fleet_censors_what_had_come() -> None:
    plan = arm_plan(devices=[device(0, arrivals_ns=(0,)), device(1, arrivals_ns=(10**12,))])
    _, outcomes = run_and_outcomes(plan)
    terms = begin(plan, generated_hosts())
    recorder = recorder_of(plan)
    driver = FleetDriver(plan, terms, costs_of(terms), outcomes, recorder, compiler=as_python)
    run = driver.run(lambda: True)
    assert not run.complete
    assert [request.reason for request in run.requests] == ["censored"]


def refused(plan: ArmPlan, costs: Costs | None = None) -> str:
    terms = begin(plan, generated_hosts())
    outcomes = Outcomes.constant(
        NullConfig(vocab_size=VOCAB, first_token=0, period=9), np.full(3, 5), plan.eos
    )
    with pytest.raises(ConfigError) as caught:
        FleetDriver(
            plan, terms, costs or costs_of(terms), outcomes, recorder_of(plan), compiler=as_python
        ).run()
    return str(caught.value)


def test_what_cannot_be_expressed_is_refused() -> None:
    plan = arm_plan()
    assert "max_new_tokens" in refused(replace(plan, limits=replace(LIMITS, max_context=8)))
