"""Law 5 for clouds that learn a starting k: the compiled way does what `virtual` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.failures import Departure
from actors.fleet.cells import CellRun
from actors.fleet.ladder_tables import ladders_to_learn
from actors.fleet.outcomes import Outcomes
from actors.fleet.planned import cell_of
from actors.plan import ArmPlan, codec_terms
from actors.values.null import NullCloudHost, NullConfig, NullEdgeHost
from costeer.codec.config import AnyCodecConfig, CodecConfig, TopKConfig
from costeer.errors import ConfigError
from costeer.methods import METHODS
from costeer.refinement import RefineConfig
from tests.actors.compiled_fleets import (
    as_python,
    crowds,
    fleets,
    neighbours,
    run_and_outcomes,
    run_fleet,
    same,
)
from tests.actors.fleets import (
    MS,
    VOCAB,
    Hosts,
    arm_plan,
    begin,
    costs_of,
    device,
    driver_of,
    generated_hosts,
    hosts_of,
    link,
)
from tests.actors.test_fleet_cells import check_result
from tests.actors.test_fleet_drafts import drafting, ways
from tests.actors.test_fleet_pauses import gates

CODEC = CodecConfig.model_validate("adaptive2to64-bf16-packed")
STEERED = [method.name for method in METHODS if method.steered]
Case = tuple[ArmPlan, NullConfig]


def weigh(codec: AnyCodecConfig, ranks: tuple[int, int] | None) -> int:  # noqa: ARG001 - the seam's
    """Ranks weigh 40 bits each, so that it matters how many are sent."""
    first, last = ranks or (0, 8)
    return 9 + 5 * (last - first)


def hosts(config: NullConfig) -> Hosts:
    return hosts_of(lambda: NullCloudHost(config, weigh), lambda: NullEdgeHost(config))


def constants(plan: ArmPlan, config: NullConfig) -> Outcomes:
    limits = [plan.new_tokens(each) for device in plan.devices for each in device.requests]
    return Outcomes.constant(
        config,
        np.array(limits, np.int64),
        plan.eos,
        drafting=None if plan.speculation is None else plan.arm.seed,
        pausing=plan.gate is not None,
        ladders=ladders_to_learn(plan, codec_terms(plan, VOCAB)),
        size_of=lambda ranks: weigh(CODEC, ranks),
    )


def learning(plan: ArmPlan, tokens: int) -> ArmPlan:
    """The plan with a learnt k and longer texts."""
    needs = [len(one.personal) + tokens for each in plan.devices for one in each.requests]
    memory = max(plan.limits.kv_tokens, *needs)
    return replace(
        plan,
        arm=replace(plan.arm, codec=CODEC),
        max_new_tokens=tokens,
        limits=replace(plan.limits, kv_tokens=memory),
    )


values = st.builds(
    NullConfig,
    vocab_size=st.just(VOCAB),
    first_token=st.just(10),
    period=st.just(100),
    acceptance=st.sampled_from((0.0, 0.5, 0.9, 1.0)),
    sure=st.sampled_from((0.0, 0.5, 0.9)),
    needs_ranks=st.sampled_from((0, 1, 3, 20, 90, VOCAB)),
)
lengths = st.integers(1, 14)
some = settings(max_examples=10, deadline=None)


@st.composite
def learning_fleets(draw: st.DrawFn) -> Case:
    """Any small fleet with a learnt k, evicted or not, in the air or not; pauses in some."""
    steered = st.one_of(fleets(STEERED), crowds(STEERED), neighbours(STEERED))
    if draw(st.integers(0, 3)):
        plan = learning(draw(steered), draw(lengths))
    else:
        plan = learning(draw(fleets(("adacosteer",))), draw(lengths))
        plan = replace(plan, gate=draw(gates))
    eos = draw(st.sampled_from((frozenset[int](), frozenset({14}))))
    return replace(plan, eos=eos), draw(values)


@st.composite
def drafting_and_learning(draw: st.DrawFn) -> Case:
    """Any small fleet that drafts, on links that keep order, and learns k and maybe drafts."""
    plan = learning(drafting(draw(fleets(STEERED)), draw(ways), draw(lengths)), draw(lengths))
    devices = tuple(
        replace(each, link=replace(each.link, transport=replace(each.link.transport, ordered=True)))
        for each in plan.devices
    )
    plan = replace(plan, devices=devices)
    return replace(plan, eos=frozenset()), draw(values)


@some
@given(learning_fleets())
def test_a_learnt_k_equals_virtual_event_by_event(of: Case) -> None:
    plan, config = of
    same(run_fleet(plan, constants(plan, config)), driver_of(plan, hosts(config)).run())


@some
@given(drafting_and_learning())
def test_drafts_and_k_learnt_together_equal_virtual_event_by_event(of: Case) -> None:
    plan, config = of
    same(run_fleet(plan, constants(plan, config)), driver_of(plan, hosts(config)).run())


@settings(max_examples=10, deadline=None)
@given(
    st.one_of(learning_fleets(), drafting_and_learning()),
    st.integers(1, 110),
    st.integers(0, 60),
    st.sampled_from((0, 1, 10**6)),
)
def test_so_do_those_that_are_cut_off_or_turned_away_and_rows_add_up(
    of: Case, percent: int, warmup_percent: int, max_waiting: int
) -> None:
    plan, config = of
    end_ns = driver_of(plan, hosts(config)).run().end_ns
    plan = replace(
        plan,
        until_ns=max(1, end_ns * percent // 100),
        limits=replace(plan.limits, max_waiting=max_waiting),
    )
    outcomes = constants(plan, config)
    same(run_fleet(plan, outcomes), driver_of(plan, hosts(config)).run())
    check_result(plan, outcomes, end_ns * warmup_percent // 100)


@st.composite
def certain_fleets(draw: st.DrawFn) -> ArmPlan:
    """Any small fleet with a learnt k whose tokens are certain, whatever k they begin with."""
    plan = learning(draw(fleets(STEERED)), draw(st.integers(1, 6)))
    refine = RefineConfig(growth=draw(st.integers(2, 4)), max_rounds=draw(st.integers(1, 4)))
    codec = draw(st.sampled_from(("adaptive2to40-bf16-packed", "adaptive3to9-fp32-naive")))
    arm = replace(plan.arm, codec=CodecConfig.model_validate(codec))
    return replace(plan, arm=arm, refine=refine)


def measured(plan: ArmPlan) -> Outcomes:
    """What sessions say at each k that may be learnt: of a run with each of them fixed."""
    assert isinstance(plan.arm.codec, CodecConfig)
    parts = []
    for ladder in ladders_to_learn(plan, codec_terms(plan, VOCAB)):
        fixed = plan.arm.codec.model_copy(update={"select": TopKConfig(k=ladder.first_k)})
        parts.append(run_and_outcomes(replace(plan, arm=replace(plan.arm, codec=fixed)))[1])
    return Outcomes.learnt(parts)


@settings(max_examples=5, deadline=None)
@given(certain_fleets())
def test_what_was_measured_at_each_k_is_what_a_learnt_k_brings(plan: ArmPlan) -> None:
    whole = replace(plan, limits=replace(plan.limits, max_waiting=10**6))
    same(run_fleet(whole, measured(whole)), driver_of(whole, generated_hosts()).run())


def test_k_is_learnt_and_is_another_on_another_link() -> None:
    """Far away ranks go down at once; near, only those that are mostly enough."""
    first = []
    for where in (link(MS, 10**6), link(80 * MS, 20 * 10**6)):
        plan = learning(arm_plan("costeer", [device(0, where=where)], refine=RefineConfig()), 90)
        config = NullConfig(vocab_size=VOCAB, first_token=10, period=100, needs_ranks=8)
        run = run_fleet(plan, constants(plan, config))
        first.append([row.record.payload_bytes[0] for row in run.tokens])
    near, far = first
    assert near[-1] < near[0]
    assert near[-1] < far[-1]


def test_what_of_it_cannot_be_expressed_is_refused() -> None:
    plan = learning(arm_plan(), 5)
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100)
    leaving = replace(plan, departures=(Departure(0, MS),))
    with pytest.raises(ConfigError, match="does not learn k where something may fail"):
        run_fleet(leaving, constants(leaving, config))
    silent = replace(plan, limits=replace(plan.limits, idle_timeout_ns=1))
    with pytest.raises(ConfigError, match=r"cloud\.idle_timeout_s: a device is silent for longer"):
        run_fleet(silent, constants(silent, config))


def test_a_device_keeps_a_few_bytes_for_it() -> None:
    plan = learning(arm_plan(), 5)
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100)
    fixed = replace(plan, arm=replace(plan.arm, codec=CodecConfig.model_validate("top8")))
    kept = []
    for each in (plan, fixed):
        terms = begin(each, generated_hosts())
        outcomes = constants(each, config)
        run = CellRun(cell_of(each), each, terms, costs_of(terms), outcomes, compiler=as_python)
        kept.append(run.bytes_per_device)
    assert 0 < kept[0] - kept[1] <= 16
