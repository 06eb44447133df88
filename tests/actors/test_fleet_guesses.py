"""Law 5 for clouds that draft: the compiled way does event by event what `virtual` does."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tests.actors.fleets
from actors.costs import Costs
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.values.null import NullConfig
from costeer.lookup import CloudDraftsConfig
from netsim.hardware import CostModel, Fixed
from tests.actors.compiled_fleets import fleets, run_fleet, same, sharing
from tests.actors.fleets import MS, VOCAB, driver_of, null_hosts
from tests.actors.test_fleet_cells import check_result


def outcomes_of(plan: ArmPlan, acceptance: float) -> Outcomes:
    limits = [plan.new_tokens(each) for device in plan.devices for each in device.requests]
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100, acceptance=acceptance)
    return Outcomes.constant(config, np.array(limits, np.int64), plan.eos, guessing=True)


@st.composite
def guessing_fleets(draw: st.DrawFn) -> tuple[ArmPlan, float]:
    """Any small fleet whose cloud drafts, and how often its drafts are right."""
    plan = draw(fleets(methods=("llm_without", "llm_with")))
    more = draw(st.integers(0, 12))
    limits = replace(plan.limits, kv_tokens=plan.limits.kv_tokens + 3 * more, preempts=False)
    plan = replace(
        plan,
        cloud_drafts=CloudDraftsConfig(drafts=draw(st.integers(1, 6))),
        max_new_tokens=plan.max_new_tokens + more,
        eos=draw(st.sampled_from((frozenset[int](), frozenset({14}), frozenset({11, 15})))),
        limits=limits,
    )
    if draw(st.booleans()):
        plan = draw(sharing(plan))
    return plan, draw(st.sampled_from((0.0, 0.5, 0.8, 0.95, 1.0)))


BESIDE = Fixed(forward=2 * MS, forward_per_row=30_001, forward_per_token=1_003, choose=70_001)

some = settings(max_examples=40, deadline=None)


@some
@given(guessing_fleets(), st.sampled_from((None, BESIDE)))
def test_fleets_whose_clouds_draft_equal_virtual_event_by_event(
    of: tuple[ArmPlan, float], beside: CostModel | None
) -> None:
    plan, acceptance = of
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tests.actors.fleets, "Costs", partial(Costs, beside=beside))
        run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
        same(run_fleet(plan, outcomes_of(plan, acceptance)), run)


@some
@given(guessing_fleets(), st.integers(1, 110), st.integers(0, 60), st.sampled_from((0, 1, 10**6)))
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
    outcomes = outcomes_of(plan, acceptance)
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    same(run_fleet(plan, outcomes), run)
    check_result(plan, outcomes, end_ns * warmup_percent // 100)
