"""Law 5 for steering that pauses: the compiled way does event by event what `virtual` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.values.null import NullCloudHost, NullConfig, NullEdgeHost
from costeer.gate import GateConfig
from tests.actors.compiled_fleets import fleets, run_fleet, same, sharing
from tests.actors.fleets import VOCAB, Hosts, arm_plan, device, driver_of, hosts_of, link
from tests.actors.test_fleet_cells import check_result

gates = st.builds(
    GateConfig,
    sure=st.sampled_from((0.1, 1.0)),
    after=st.integers(1, 3),
    unsure=st.sampled_from((1.0,)),
) | st.builds(GateConfig, after=st.integers(1, 3), unsure=st.sampled_from((0.3, 1.0)))


def constants(share: float) -> NullConfig:
    return NullConfig(vocab_size=VOCAB, first_token=10, period=100, sure=share)


def outcomes_of(plan: ArmPlan, share: float, drafting: int | None = None) -> Outcomes:
    """What sessions say; with a seed, what small models say alone as well."""
    limits = [plan.new_tokens(each) for device in plan.devices for each in device.requests]
    limit_S = np.array(limits, np.int64)
    return Outcomes.constant(constants(share), limit_S, plan.eos, drafting=drafting, pausing=True)


def hosts(share: float) -> Hosts:
    config = constants(share)
    return hosts_of(lambda: NullCloudHost(config), lambda: NullEdgeHost(config))


@st.composite
def pausing_fleets(draw: st.DrawFn) -> tuple[ArmPlan, float]:
    """Any small fleet whose steering pauses, evicted or not, and how often the cloud is sure."""
    plan = draw(fleets(methods=("adacosteer",)))
    tokens = plan.max_new_tokens + draw(st.integers(0, 12))
    needs = [len(one.personal) + tokens for each in plan.devices for one in each.requests]
    memory = max(plan.limits.kv_tokens, *needs)
    plan = replace(
        plan,
        gate=draw(gates),
        max_new_tokens=tokens,
        eos=draw(st.sampled_from((frozenset[int](), frozenset({14}), frozenset({11, 15})))),
        limits=replace(plan.limits, kv_tokens=memory),
    )
    if draw(st.booleans()):
        plan = draw(sharing(plan))
    return plan, draw(st.sampled_from((0.0, 0.5, 0.8, 0.95, 1.0)))


some = settings(max_examples=40, deadline=None)


@some
@given(pausing_fleets())
def test_fleets_whose_steering_pauses_equal_virtual_event_by_event(
    of: tuple[ArmPlan, float],
) -> None:
    plan, share = of
    run = driver_of(plan, hosts(share)).run()
    same(run_fleet(plan, outcomes_of(plan, share)), run)


@some
@given(pausing_fleets(), st.integers(1, 110), st.integers(0, 60), st.sampled_from((0, 1, 10**6)))
def test_so_do_those_that_are_cut_off_or_turned_away_and_rows_add_up(
    of: tuple[ArmPlan, float], percent: int, warmup_percent: int, max_waiting: int
) -> None:
    plan, share = of
    end_ns = driver_of(plan, hosts(share)).run().end_ns
    plan = replace(
        plan,
        until_ns=max(1, end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    outcomes = outcomes_of(plan, share)
    same(run_fleet(plan, outcomes), driver_of(plan, hosts(share)).run())
    check_result(plan, outcomes, end_ns * warmup_percent // 100)


def test_pauses_save_frames() -> None:
    plan = replace(
        arm_plan("adacosteer", [device(0, where=link())], max_new_tokens=30), gate=GateConfig()
    )
    never, often = (run_fleet(plan, outcomes_of(plan, share)).tokens for share in (0.0, 0.9))
    assert sum(row.record.certified for row in never) == 30
    assert 0 < sum(row.record.certified for row in often) < 15
