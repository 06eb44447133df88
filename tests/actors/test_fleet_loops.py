"""Machine code of each loop that cells run does what its rules do in Python."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.machine_code import kept_compiler
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.retry import RetryPolicy
from tests.actors.compiled_fleets import fleets, neighbours, run_and_outcomes, run_fleet, same
from tests.actors.fleets import MS
from tests.actors.test_fleet_drafts import constants, drafting_fleets
from tests.actors.test_fleet_guesses import guessing_fleets
from tests.actors.test_fleet_guesses import outcomes_of as guessed
from tests.actors.test_fleet_ladders import Case, drafting_and_learning, learning_fleets
from tests.actors.test_fleet_ladders import constants as learnt
from tests.actors.test_fleet_orders import guided, reordered
from tests.actors.test_fleet_pauses import outcomes_of as paused
from tests.actors.test_fleet_pauses import pausing_fleets
from tests.actors.test_fleet_replicas import failing_replicas, spread
from tests.actors.test_fleet_trouble import METHODS, troubled

some = settings(max_examples=25, deadline=None)
few = settings(max_examples=6, deadline=None)


def agree(plan: ArmPlan, outcomes: Outcomes) -> None:
    same(run_fleet(plan, outcomes, kept_compiler()), run_fleet(plan, outcomes))


@some
@given(drafting_fleets())
def test_loop_of_devices_that_draft(of: tuple[ArmPlan, float]) -> None:
    plan, acceptance = of
    agree(plan, constants(plan, acceptance))


@some
@given(pausing_fleets())
def test_loop_of_devices_whose_steering_pauses(of: tuple[ArmPlan, float]) -> None:
    plan, share = of
    agree(plan, paused(plan, share))


@some
@given(neighbours())
def test_loop_of_devices_that_share_a_way(plan: ArmPlan) -> None:
    _, outcomes = run_and_outcomes(plan)
    agree(plan, outcomes)


@few
@given(learning_fleets())
def test_loop_of_clouds_that_learn_a_starting_k(of: Case) -> None:
    plan, config = of
    agree(plan, learnt(plan, config))


@few
@given(drafting_and_learning())
def test_loop_of_drafts_and_a_starting_k_learnt_together(of: Case) -> None:
    plan, config = of
    agree(plan, learnt(plan, config))


@some
@given(guessing_fleets())
def test_loop_of_clouds_that_draft(of: tuple[ArmPlan, float]) -> None:
    plan, acceptance = of
    agree(plan, guessed(plan, acceptance))


@some
@given(st.one_of(reordered(), guided()))
def test_loop_of_other_orders_of_work_and_of_two_prompts(plan: ArmPlan) -> None:
    _, outcomes = run_and_outcomes(plan)
    agree(plan, outcomes)


@st.composite
def failing(draw: st.DrawFn, plan: ArmPlan) -> ArmPlan:
    """The plan with whatever may fail, patience at least."""
    plan = draw(troubled(plan, 500 * MS))
    return replace(plan, retry=plan.retry or RetryPolicy(60 * MS, 2))


@some
@given(st.data(), st.one_of(pausing_fleets(), guessing_fleets()))
def test_loop_of_pauses_and_drafts_where_something_fails(
    data: st.DataObject, of: tuple[ArmPlan, float]
) -> None:
    plan, share = of
    outcomes = guessed(plan, share) if plan.cloud_drafts else paused(plan, share)
    agree(data.draw(failing(plan)), outcomes)


@some
@given(st.data(), drafting_fleets())
def test_loop_of_devices_that_draft_where_something_fails(
    data: st.DataObject, of: tuple[ArmPlan, float]
) -> None:
    plan, acceptance = of
    agree(data.draw(failing(plan)), constants(plan, acceptance))


@some
@given(st.data(), st.one_of(neighbours(METHODS), guided(sharing=True), reordered(sharing=True)))
def test_loop_of_what_is_seldom_asked_for_where_something_fails(
    data: st.DataObject, plan: ArmPlan
) -> None:
    _, outcomes = run_and_outcomes(plan)
    agree(data.draw(failing(plan)), outcomes)


@some
@given(st.data(), fleets(METHODS))
def test_loop_of_cells_whose_replicas_fail(data: st.DataObject, plan: ArmPlan) -> None:
    plan = data.draw(spread(plan, 3))
    calm, outcomes = run_and_outcomes(plan)
    agree(data.draw(failing_replicas(plan, calm.end_ns)), outcomes)
