"""Law 5 for devices that draft: the compiled way does event by event what `virtual` does."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.records import ArmRun
from actors.values.null import NullConfig
from costeer.methods import METHODS
from costeer.speculation import SpeculationConfig
from tests.actors.compiled_fleets import fleets, run_fleet, same
from tests.actors.fleets import VOCAB, driver_of, null_hosts

STEERED = [method.name for method in METHODS if method.steered]


def whole(run: ArmRun) -> ArmRun:
    """A run whose tokens say how many payload bytes came, not in which frames."""
    run.tokens = [
        replace(row, payloads=(sum(row.payloads),) if row.payloads else ()) for row in run.tokens
    ]
    return run


def constants(plan: ArmPlan, acceptance: float) -> Outcomes:
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100, acceptance=acceptance)
    limits = [plan.new_tokens(each) for device in plan.devices for each in device.requests]
    return Outcomes.constant(config, np.array(limits, np.int64), plan.eos, drafting=plan.arm.seed)


def drafting(plan: ArmPlan, speculation: SpeculationConfig, tokens: int) -> ArmPlan:
    """The plan with drafts and longer texts, over links that keep frames in order."""
    devices = tuple(
        replace(
            each,
            link=replace(each.link, transport=replace(each.link.transport, ordered=True)),
        )
        for each in plan.devices
    )
    longer = plan.max_new_tokens + tokens
    kv_tokens = plan.limits.kv_tokens + 4 * tokens
    return replace(
        plan,
        devices=devices,
        max_new_tokens=longer,
        limits=replace(plan.limits, kv_tokens=kv_tokens, preempts=False),
        speculation=speculation,
    )


@settings(max_examples=40, deadline=None)
@given(
    fleets(methods=STEERED),
    st.builds(
        SpeculationConfig,
        drafts=st.integers(1, 6),
        ahead=st.sampled_from((0, 0, 1, 2, 5, 12)),
    ),
    st.integers(0, 12),
    st.sampled_from((0.0, 0.4, 0.8, 0.95, 1.0)),
    st.sampled_from((frozenset[int](), frozenset({14}), frozenset({11, 15}))),
)
def test_fleets_that_draft_equal_virtual_event_by_event(
    plan: ArmPlan,
    speculation: SpeculationConfig,
    tokens: int,
    acceptance: float,
    eos: frozenset[int],
) -> None:
    plan = replace(drafting(plan, speculation, tokens), eos=eos)
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    same(run_fleet(plan, constants(plan, acceptance)), whole(run))
