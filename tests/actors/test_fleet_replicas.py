"""Law 5 where replicas fail: a compiled cell of several does event by event what `virtual` does."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.failures import ReplicaFailure, Standing
from actors.plan import ArmPlan
from actors.records import ArmRun
from costeer.errors import ConfigError
from costeer.methods import CloudRole
from netsim.sharing import Discipline
from tests.actors.compiled_fleets import (
    crowds,
    fleets,
    neighbours,
    run_and_outcomes,
    run_fleet,
    same,
)
from tests.actors.fleets import (
    CLOUD_COST,
    MS,
    arm_plan,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
)
from tests.actors.test_failures import failures
from tests.actors.test_fleet_cells import check_result
from tests.actors.test_fleet_guesses import guessing_fleets
from tests.actors.test_fleet_guesses import outcomes_of as guessed
from tests.actors.test_fleet_orders import guided, reordered
from tests.actors.test_fleet_pauses import hosts as gated
from tests.actors.test_fleet_pauses import outcomes_of as paused
from tests.actors.test_fleet_pauses import pausing_fleets
from tests.actors.test_fleet_trouble import constants, troubled, variations
from tests.actors.test_replicas import placed

METHODS = ("costeer", "llm_without", "llm_with", "slm_with")
plans = st.one_of(fleets(METHODS), crowds(METHODS), neighbours(METHODS))
standings = st.sampled_from(
    (
        Standing(),
        Standing(regions=(0, 0, 1)),
        Standing(weights=(1.0, 2.5, 1.0)),
        Standing(regions=(0, 1, 1), weights=(3.0, 1.0, 2.0)),
    )
)


def queued(plan: ArmPlan) -> ArmPlan:
    """The plan, with replicas' ways out first in, first out."""
    return replace(plan, egress_discipline=Discipline.FIFO)


@st.composite
def spread(draw: st.DrawFn, plan: ArmPlan, replicas: int) -> ArmPlan:
    """The plan on several replicas."""
    homes = draw(st.lists(st.integers(0, replicas - 1), min_size=1, max_size=7))
    return replace(placed(queued(plan), homes, replicas), standing=draw(standings))


@st.composite
def failing_replicas(draw: st.DrawFn, plan: ArmPlan, most_ns: int) -> ArmPlan:
    """The plan with replicas that fail, and perhaps whatever else may fail."""
    plan = replace(plan, failures=draw(failures(plan.replicas, 2 * most_ns)))
    if draw(st.booleans()):
        plan = draw(troubled(plan, most_ns))
        whose = st.sampled_from((None, *range(plan.replicas)))
        stalls = tuple(replace(each, replica=draw(whose)) for each in plan.stalls)
        plan = replace(plan, stalls=stalls)
    return plan


def alike(plan: ArmPlan, compiled: ArmRun, run: ArmRun) -> None:
    """The same rows, what each replica did, and what happened."""
    same(compiled, run)
    assert compiled.incidents == run.incidents
    if plan.arm.method.cloud is not CloudRole.ABSENT:
        assert compiled.replicas == run.replicas


some = settings(max_examples=30, deadline=None)


@settings(max_examples=10, deadline=None)
@given(st.data(), plans, st.integers(2, 3))
def test_several_replicas_that_are_well_are_one_cell_as_well(
    data: st.DataObject, plan: ArmPlan, replicas: int
) -> None:
    plan = data.draw(spread(plan, replicas))
    _, outcomes = run_and_outcomes(plan)
    # Each replica draws its own forwards' times.
    cost = replace(CLOUD_COST, forward_variation=data.draw(variations))
    run = driver_of(plan, generated_hosts(), cloud_cost=cost).run()
    alike(plan, run_fleet(plan, outcomes, cloud_cost=cost), run)


@some
@given(st.data(), plans, st.integers(1, 3))
def test_replicas_fail_as_in_virtual(data: st.DataObject, plan: ArmPlan, replicas: int) -> None:
    plan = data.draw(spread(plan, replicas))
    calm, outcomes = run_and_outcomes(plan)
    plan = data.draw(failing_replicas(plan, calm.end_ns))
    cost = replace(CLOUD_COST, forward_variation=data.draw(variations))
    run = driver_of(plan, generated_hosts(), cloud_cost=cost).run()
    alike(plan, run_fleet(plan, outcomes, cloud_cost=cost), run)


@settings(max_examples=15, deadline=None)
@given(st.data(), plans, st.integers(1, 110), st.integers(0, 60), st.sampled_from((0, 1, 10**6)))
def test_so_they_do_where_they_are_cut_off_or_turned_away_and_rows_add_up(
    data: st.DataObject, plan: ArmPlan, percent: int, warmup_percent: int, max_waiting: int
) -> None:
    plan = data.draw(spread(plan, 3))
    calm, outcomes = run_and_outcomes(plan)
    plan = data.draw(failing_replicas(plan, calm.end_ns))
    end_ns = driver_of(plan, generated_hosts()).run().end_ns
    stays = frozenset(data.draw(st.sets(st.integers(0, 2))))
    last = {each.replica: each for each in plan.failures}
    forever = [replace(each, back_ns=None) for each in last.values() if each.replica in stays]
    before = [each for each in plan.failures if each not in last.values()]
    kept = [each for each in last.values() if each.replica not in stays]
    plan = replace(
        plan,
        failures=(*before, *kept, *forever),
        until_ns=max(1, end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    alike(plan, run_fleet(plan, outcomes), driver_of(plan, generated_hosts()).run())
    if not plan.departures:
        check_result(plan, outcomes, end_ns * warmup_percent // 100)


@settings(max_examples=10, deadline=None)
@given(st.data(), fleets(["costeer"]))
def test_devices_that_go_on_alone_turn_to_nobody(data: st.DataObject, plan: ArmPlan) -> None:
    plan = data.draw(spread(replace(plan, eos=frozenset()), 2))
    calm = driver_of(plan, null_hosts(acceptance=0.6)).run()
    plan = data.draw(failing_replicas(plan, calm.end_ns))
    if plan.retry is not None:
        plan = replace(plan, retry=replace(plan.retry, falls_back=True))
    run = driver_of(plan, null_hosts(acceptance=0.6)).run()
    alike(plan, run_fleet(plan, constants(plan)), run)


@settings(max_examples=15, deadline=None)
@given(st.data(), st.one_of(reordered(sharing=True), guided(sharing=True)))
def test_so_they_do_where_devices_work_in_another_order_and_clouds_follow_two_prompts(
    data: st.DataObject, plan: ArmPlan
) -> None:
    plan = data.draw(spread(plan, 2))
    calm, outcomes = run_and_outcomes(plan)
    plan = data.draw(failing_replicas(plan, calm.end_ns))
    alike(plan, run_fleet(plan, outcomes), driver_of(plan, generated_hosts()).run())


@settings(max_examples=15, deadline=None)
@given(st.data(), guessing_fleets())
def test_so_do_those_that_draft(data: st.DataObject, of: tuple[ArmPlan, float]) -> None:
    plan, acceptance = of
    plan = data.draw(spread(plan, 2))
    calm = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    plan = data.draw(failing_replicas(plan, calm.end_ns))
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    alike(plan, run_fleet(plan, guessed(plan, acceptance)), run)


@settings(max_examples=15, deadline=None)
@given(st.data(), pausing_fleets())
def test_so_do_those_whose_steering_pauses(data: st.DataObject, of: tuple[ArmPlan, float]) -> None:
    plan, share = of
    plan = data.draw(spread(plan, 2))
    calm = driver_of(plan, gated(share)).run()
    plan = data.draw(failing_replicas(plan, calm.end_ns))
    run = driver_of(plan, gated(share)).run()
    alike(plan, run_fleet(plan, paused(plan, share)), run)


def two_replicas(*failing: ReplicaFailure, **changes: object) -> ArmPlan:
    devices = [
        replace(device(number, 2, where=link(10 * MS, 0)), replica=number % 2)
        for number in range(4)
    ]
    plan = replace(arm_plan(devices=devices, max_new_tokens=8), replicas=2, failures=failing)
    return replace(plan, **changes)  # type: ignore[arg-type] # what a test names


def test_sessions_go_on_at_the_other_replica_and_the_next_ones_at_home() -> None:
    plan = two_replicas(ReplicaFailure(0, 150 * MS, 200 * MS, 210 * MS))
    run = run_fleet(plan, constants(plan))
    alike(plan, run, driver_of(plan, null_hosts(acceptance=0.6)).run())
    served = {each: [row.replica for row in run.tokens if row.device == each] for each in range(4)}
    assert served[0] == served[2] == [0] * 5 + [1] * 3 + [0] * 8
    assert served[1] == served[3] == [1] * 16
    assert [(each.kind, each.moved) for each in run.incidents] == [
        ("replica_fails", 2),
        ("replica_is_back", 0),
    ]


def test_what_does_not_go_together_is_refused() -> None:
    failure = ReplicaFailure(0, 150 * MS, 200 * MS, 300 * MS)
    for plan, said in (
        (two_replicas(failure, egress_bps=10**6, egress_discipline=Discipline.PS), "at the same"),
        (two_replicas(*[failure] * 64), "63 among"),
    ):
        with pytest.raises(ConfigError, match=said):
            run_fleet(plan, constants(plan))
