"""Law 5 for devices that draft: the compiled way does event by event what `virtual` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.values.null import NullConfig
from costeer.errors import ConfigError
from costeer.methods import METHODS, method_named
from costeer.speculation import SpeculationConfig
from tests.actors.compiled_fleets import fleets, run_fleet, same, sharing
from tests.actors.fleets import VOCAB, arm_plan, driver_of, null_hosts
from tests.actors.test_fleet_cells import check_result

STEERED = [method.name for method in METHODS if method.steered]


def constants(plan: ArmPlan, acceptance: float) -> Outcomes:
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100, acceptance=acceptance)
    limits = [plan.new_tokens(each) for device in plan.devices for each in device.requests]
    return Outcomes.constant(config, np.array(limits, np.int64), plan.eos, drafting=plan.arm.seed)


def drafting(plan: ArmPlan, speculation: SpeculationConfig, tokens: int) -> ArmPlan:
    """The plan with drafts and longer texts."""
    longer = plan.max_new_tokens + tokens
    kv_tokens = plan.limits.kv_tokens + 4 * tokens
    return replace(
        plan,
        max_new_tokens=longer,
        limits=replace(plan.limits, kv_tokens=kv_tokens, preempts=False),
        speculation=speculation,
    )


ways = st.just(SpeculationConfig(drafts="adaptive")) | st.builds(
    SpeculationConfig, drafts=st.integers(1, 6), ahead=st.sampled_from((0, 0, 1, 2, 5, 12))
)


def verified(plan: ArmPlan) -> ArmPlan:
    """The plan with drafts that the cloud judges by its own choice."""
    told = plan.speculation or SpeculationConfig()
    return replace(
        plan,
        arm=replace(plan.arm, method=method_named("token_speculation")),
        speculation=told.model_copy(update={"draft": "generic"}),
    )


@st.composite
def drafting_fleets(draw: st.DrawFn) -> tuple[ArmPlan, float]:
    """Any small fleet that drafts, and how often its drafts are right."""
    speculation = draw(ways)
    plan = drafting(draw(fleets(methods=STEERED)), speculation, draw(st.integers(0, 12)))
    if draw(st.booleans()):
        plan = verified(plan)
    if draw(st.booleans()):
        plan = draw(sharing(plan))
    eos = draw(st.sampled_from((frozenset[int](), frozenset({14}), frozenset({11, 15}))))
    return replace(plan, eos=eos), draw(st.sampled_from((0.0, 0.4, 0.8, 0.95, 1.0)))


some = settings(max_examples=40, deadline=None)


@some
@given(drafting_fleets())
def test_fleets_that_draft_equal_virtual_event_by_event(of: tuple[ArmPlan, float]) -> None:
    plan, acceptance = of
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    same(run_fleet(plan, constants(plan, acceptance)), run)


@some
@given(drafting_fleets(), st.integers(1, 110), st.integers(0, 60), st.sampled_from((0, 1, 10**6)))
def test_so_do_those_that_are_cut_off_or_turned_away_and_rows_add_up(
    of: tuple[ArmPlan, float], percent: int, warmup_percent: int, max_waiting: int
) -> None:
    plan, acceptance = of
    end_ns = driver_of(plan, null_hosts(acceptance=acceptance)).run().end_ns
    plan = replace(
        plan,
        until_ns=max(1, end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    outcomes = constants(plan, acceptance)
    same(run_fleet(plan, outcomes), run)
    check_result(plan, outcomes, end_ns * warmup_percent // 100)


def test_what_of_drafts_cannot_be_expressed_is_refused() -> None:
    plan = arm_plan(speculation=SpeculationConfig())
    assert "cloud.when_full" in refusal(replace(plan, limits=replace(plan.limits, preempts=True)))


def refusal(plan: ArmPlan) -> str:
    with pytest.raises(ConfigError) as caught:
        run_fleet(plan, constants(plan, 0.5))
    return str(caught.value)
