"""Law 5 for devices that work in another order, and for clouds that follow two prompts."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.plan import ArmPlan
from costeer.errors import ConfigError
from costeer.overlap import OverlapConfig
from costeer.sampling import Sampling
from tests.actors.compiled_fleets import fleets, neighbours, run_and_outcomes, run_fleet, same
from tests.actors.fleets import arm_plan, driver_of, generated_hosts
from tests.actors.test_fleet_cells import check_result

some = settings(max_examples=25, deadline=None)
STEERED = ("costeer", "light_costeer", "costeer_floor", "proxy_tuning")
overlaps = st.sampled_from(
    (
        OverlapConfig(forward=False),
        OverlapConfig(delta=True),
        OverlapConfig(delta=True, sparse=True),
    )
)


@st.composite
def reordered(draw: st.DrawFn, *, sharing: bool = False) -> ArmPlan:
    """Any small fleet of steered devices in any order of work."""
    plan = draw(neighbours(STEERED) if sharing else fleets(STEERED))
    overlap = draw(overlaps)
    sampling = Sampling() if overlap.sparse else plan.arm.sampling
    return replace(plan, arm=replace(plan.arm, overlap=overlap, sampling=sampling))


@st.composite
def guided(draw: st.DrawFn, *, sharing: bool = False) -> ArmPlan:
    """Any small fleet whose cloud follows two prompts a session, in memory that holds few."""
    method = ("context_steering",)
    plan = draw(neighbours(method) if sharing else fleets(method))
    tokens = plan.max_new_tokens
    needs = max(
        len(one.personal) + len(one.public) + 2 * tokens
        for each in plan.devices
        for one in each.requests
    )
    memory = needs + draw(st.sampled_from((0, needs, 10_000)))
    return replace(plan, limits=replace(plan.limits, preempts=False, kv_tokens=memory))


@some
@given(st.one_of(reordered(), guided(), reordered(sharing=True), guided(sharing=True)))
def test_fleets_equal_virtual_event_by_event(plan: ArmPlan) -> None:
    run, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes), run)


@some
@given(
    st.one_of(reordered(), guided()),
    st.integers(1, 110),
    st.integers(0, 60),
    st.sampled_from((0, 1, 10**6)),
)
def test_so_do_those_that_are_cut_off_or_turned_away_and_rows_add_up(
    plan: ArmPlan, percent: int, warmup_percent: int, max_waiting: int
) -> None:
    whole, outcomes = run_and_outcomes(plan)
    plan = replace(
        plan,
        until_ns=max(1, whole.end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    same(run_fleet(plan, outcomes), driver_of(plan, generated_hosts()).run())
    check_result(plan, outcomes, whole.end_ns * warmup_percent // 100)


def test_what_does_not_fit_is_refused() -> None:
    plan = arm_plan("context_steering")
    _, outcomes = run_and_outcomes(plan)
    short = replace(plan, limits=replace(plan.limits, kv_tokens=30))
    with pytest.raises(ConfigError, match="two prompts needs"):
        run_fleet(short, outcomes)
    with pytest.raises(ConfigError, match="preempt takes a session's cache away"):
        run_fleet(replace(plan, limits=replace(plan.limits, preempts=True)), outcomes)
