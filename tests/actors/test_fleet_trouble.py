"""Law 5 where something may fail: the compiled way does event by event what `virtual` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.failures import Departure
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.retry import RetryPolicy
from actors.stalls import Stall
from actors.values.null import NullConfig
from costeer.gate import GateConfig
from costeer.methods import CloudRole
from costeer.overlap import OverlapConfig
from netsim.hardware import Fixed
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
    EDGE_COSTS,
    MS,
    VOCAB,
    arm_plan,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
)
from tests.actors.test_fleet_cells import check_result
from tests.actors.test_fleet_guesses import guessing_fleets
from tests.actors.test_fleet_guesses import outcomes_of as guessed
from tests.actors.test_fleet_orders import guided, reordered
from tests.actors.test_fleet_pauses import hosts as doubting
from tests.actors.test_fleet_pauses import outcomes_of as paused
from tests.actors.test_fleet_pauses import pausing_fleets

LONG_NS = 10**12
METHODS = ("costeer", "llm_without", "llm_with", "slm_with")
variations = st.sampled_from(((), (300, 1000, 1004, 1900)))
"""Of forwards of one shape."""
plans = st.one_of(
    fleets(METHODS),
    crowds(METHODS),
    neighbours(METHODS),
    guided(),
    reordered(),
    reordered(sharing=True),
)


@st.composite
def troubled(draw: st.DrawFn, plan: ArmPlan, most_ns: int) -> ArmPlan:
    """The plan with stalls, devices that leave, and patience and silence that come to their end."""
    times, names = st.integers(0, 2 * most_ns), [each.device for each in plan.devices]
    retry = draw(
        st.none()
        | st.builds(
            RetryPolicy,
            timeout_ns=st.sampled_from((MS, 30 * MS, 200 * MS, LONG_NS)),
            tries=st.integers(1, 3),
            backoff=st.sampled_from((1.0, 2.0)),
            jitter=st.sampled_from((0.0, 0.3)),
        )
    )
    stalls = draw(
        st.lists(
            st.builds(
                lambda at, most, lost: Stall(at, at + most + 1, lost and retry is not None),
                times,
                st.integers(0, 600 * MS),
                st.booleans(),
            ),
            max_size=2,
        )
    )
    leaving = draw(st.sets(st.sampled_from(names), max_size=2))
    silence_ns = draw(st.sampled_from((3 * MS, 40 * MS, 300 * MS, LONG_NS, LONG_NS)))
    return replace(
        plan,
        retry=retry,
        stalls=tuple(stalls),
        departures=tuple(Departure(each, draw(times)) for each in sorted(leaving)),
        limits=replace(plan.limits, idle_timeout_ns=silence_ns),
    )


some = settings(max_examples=30, deadline=None)


@some
@given(st.data(), plans)
def test_whatever_fails_fails_as_in_virtual(data: st.DataObject, plan: ArmPlan) -> None:
    calm, outcomes = run_and_outcomes(plan)
    plan = data.draw(troubled(plan, calm.end_ns))
    varied = replace(CLOUD_COST, forward_variation=data.draw(variations))
    run = driver_of(plan, generated_hosts(), cloud_cost=varied).run()
    same(run_fleet(plan, outcomes, cloud_cost=varied), run)


@settings(max_examples=15, deadline=None)
@given(st.data(), plans, st.integers(1, 110), st.integers(0, 60), st.sampled_from((0, 1, 10**6)))
def test_so_it_does_where_it_is_cut_off_or_turned_away_and_rows_add_up(
    data: st.DataObject, plan: ArmPlan, percent: int, warmup_percent: int, max_waiting: int
) -> None:
    calm, outcomes = run_and_outcomes(plan)
    plan = data.draw(troubled(plan, calm.end_ns))
    end_ns = driver_of(plan, generated_hosts()).run().end_ns
    plan = replace(
        plan,
        until_ns=max(1, end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    run = driver_of(plan, generated_hosts()).run()
    same(run_fleet(plan, outcomes), run)
    if not plan.departures and plan.egress_discipline is Discipline.FIFO:
        check_result(plan, outcomes, end_ns * warmup_percent // 100)


@some
@given(st.data(), guessing_fleets(), st.integers(1, 110))
def test_clouds_that_draft_fail_as_in_virtual(
    data: st.DataObject, of: tuple[ArmPlan, float], percent: int
) -> None:
    plan, acceptance = of
    calm = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    plan = data.draw(troubled(plan, calm.end_ns))
    if percent < 100:
        plan = replace(plan, until_ns=max(1, calm.end_ns * percent // 100))
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    same(run_fleet(plan, guessed(plan, acceptance)), run)


@some
@given(st.data(), pausing_fleets(), st.integers(1, 110))
def test_devices_whose_steering_pauses_fail_as_in_virtual(
    data: st.DataObject, of: tuple[ArmPlan, float], percent: int
) -> None:
    plan, share = of
    calm = driver_of(plan, doubting(share)).run()
    plan = data.draw(troubled(plan, calm.end_ns))
    if plan.retry is not None:
        plan = replace(plan, retry=replace(plan.retry, falls_back=data.draw(st.booleans())))
    if percent < 100:
        plan = replace(plan, until_ns=max(1, calm.end_ns * percent // 100))
    outcomes = paused(plan, share, drafting=plan.arm.seed)
    same(run_fleet(plan, outcomes), driver_of(plan, doubting(share)).run())


def constants(plan: ArmPlan, acceptance: float = 0.6) -> Outcomes:
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100, acceptance=acceptance)
    limits = [plan.new_tokens(each) for device in plan.devices for each in device.requests]
    return Outcomes.constant(config, np.array(limits, np.int64), plan.eos, drafting=plan.arm.seed)


@settings(max_examples=15, deadline=None)
@given(
    st.data(),
    st.one_of(fleets(["costeer"]), reordered()),
    st.integers(0, 8),
    st.sampled_from((frozenset[int](), frozenset({12}), frozenset({11, 15}))),
)
def test_devices_go_on_alone_as_in_virtual(
    data: st.DataObject, plan: ArmPlan, tokens: int, eos: frozenset[int]
) -> None:
    plan = replace(plan, max_new_tokens=plan.max_new_tokens + tokens, eos=eos)
    limits = replace(plan.limits, kv_tokens=plan.limits.kv_tokens + 4 * tokens)
    plan = replace(plan, limits=limits)
    calm = driver_of(plan, null_hosts(acceptance=0.6)).run()
    plan = data.draw(troubled(plan, calm.end_ns))
    if plan.retry is not None:
        plan = replace(plan, retry=replace(plan.retry, falls_back=True))
    run = driver_of(plan, null_hosts(acceptance=0.6)).run()
    same(run_fleet(plan, constants(plan)), run)


def stalled(method: str = "costeer", **changes: object) -> ArmPlan:
    devices = [device(number, 2, where=link(2 * MS, jitter_ns=MS)) for number in range(3)]
    plan = arm_plan(method, devices, max_new_tokens=8)
    retry = RetryPolicy(60 * MS, 3, jitter=0.1, falls_back=method == "costeer")
    stall = Stall(100 * MS, 900 * MS, loses=True)
    plan = replace(plan, retry=retry, stalls=(stall,))
    return replace(plan, **changes)  # type: ignore[arg-type] # what a test names


@pytest.mark.parametrize("method", ["costeer", "llm_without"])
def test_devices_that_ask_in_vain_go_on_alone_or_give_up(method: str) -> None:
    plan = stalled(method)
    run = run_fleet(plan, constants(plan))
    same(run, driver_of(plan, null_hosts(acceptance=0.6)).run())
    assert any(row.record.repeats for row in run.tokens) == (method == "costeer")
    alone = {row.record.fallback for row in run.tokens}
    assert alone == ({False, True} if method == "costeer" else {False})
    gave_up = [row.reason for row in run.requests if row.failed]
    assert bool(gave_up) == (method != "costeer")
    assert all(reason.startswith("stalled") for reason in gave_up)


waits = pytest.mark.parametrize(
    ("timeout_ns", "forward_ns"), [(23 * MS, 21 * MS), (61 * MS, 21 * MS), (30 * MS, 70 * MS)]
)


def take(forward_ns: int, patched: pytest.MonkeyPatch) -> None:
    cost = Fixed(forward=forward_ns, forward_per_row=3, decode=90_007, steer=41_009, choose=5_021)
    patched.setitem(EDGE_COSTS, "slow", cost)


@waits
@pytest.mark.parametrize(
    "overlap", [OverlapConfig(forward=False), OverlapConfig(delta=True)], ids=lambda one: one.label
)
def test_devices_go_on_alone_in_any_order_of_work(
    overlap: OverlapConfig, timeout_ns: int, forward_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(forward_ns, monkeypatch)
    plan = stalled()
    retry = RetryPolicy(timeout_ns, 1, falls_back=True)
    plan = replace(plan, arm=replace(plan.arm, overlap=overlap), retry=retry)
    run = run_fleet(plan, constants(plan))
    same(run, driver_of(plan, null_hosts(acceptance=0.6)).run())
    assert {row.record.fallback for row in run.tokens} == {False, True}


@waits
def test_devices_go_on_alone_where_steering_paused(
    timeout_ns: int, forward_ns: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take(forward_ns, monkeypatch)
    retry = RetryPolicy(timeout_ns, 1, falls_back=True)
    plan = stalled("adacosteer", gate=GateConfig(after=1), retry=retry)
    outcomes = paused(plan, 0.95, drafting=plan.arm.seed)
    run = run_fleet(plan, outcomes)
    same(run, driver_of(plan, doubting(0.95)).run())
    assert {row.record.fallback for row in run.tokens} == {False, True}


def test_who_is_silent_is_dropped_and_the_cell_begins_again_step_by_step() -> None:
    far = [device(number, 2, where=link(80 * MS), think_ns=number * MS) for number in range(3)]
    near = [device(3 + number, 3, where=link(MS)) for number in range(3)]
    plan = arm_plan("costeer", [*far, *near], max_new_tokens=6)
    _, outcomes = run_and_outcomes(plan)
    plan = replace(plan, limits=replace(plan.limits, idle_timeout_ns=150 * MS))
    run = run_fleet(plan, outcomes)
    same(run, driver_of(plan, generated_hosts()).run())
    assert run.engine.timed_out_sessions > 0
    assert {row.reason for row in run.requests} == {
        "length", "cloud: no word from the device for 0.15 s"
    }  # fmt: skip


@pytest.mark.parametrize("leaves_ns", [0, 50 * MS])
def test_methods_without_a_cloud_have_nothing_that_stalls(leaves_ns: int) -> None:
    plan = stalled("slm_with", departures=(Departure(1, leaves_ns),))
    assert plan.arm.method.cloud is CloudRole.ABSENT
    same(run_fleet(plan, constants(plan)), driver_of(plan, null_hosts(acceptance=0.6)).run())
