"""Steering that pauses, with real hosts: the same text on either clock, for fewer bytes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from actors.plan import ArmPlan
from actors.records import ArmRun
from actors.values.steering_host import Selector
from costeer.gate import ALWAYS, GateConfig
from costeer.machine import CloudSelect, Doubt, EncodeItem
from costeer.sampling import Sampling
from experiments.results import digest, output_digest
from tests.actors.books import check_books
from tests.actors.fleets import MS, arm_plan, device, generated_hosts, link, run_virtual
from tests.actors.live_runs import live
from tests.actors.test_speculation import tiny_hosts, tiny_plan
from tests.actors.value_sessions import arm

GATE = GateConfig(sure=0.6, after=1, unsure=0.8)


def gated_plan() -> ArmPlan:
    plan = arm_plan(
        "adacosteer",
        devices=[device(number, where=link(MS)) for number in range(3)],
        max_new_tokens=10,
    )
    return replace(plan, gate=GATE)


def alone(run: ArmRun) -> int:
    """Tokens that the cloud chose by itself."""
    return sum(not row.record.payload_bytes for row in run.tokens)


def test_pauses_save_bytes_and_time_and_depend_on_no_shard() -> None:
    plan = gated_plan()
    found = run_virtual(plan)
    check_books(plan, found)
    assert 0 < alone(found) < len(found.tokens)
    assert digest(run_virtual(plan, generated_hosts(3))) == digest(found)
    steered = run_virtual(replace(plan, gate=GateConfig(sure=1e-12, unsure=1)))
    assert alone(steered) == 0
    assert found.end_ns < steered.end_ns
    saved = [sum(row.moved.frame_bytes_down for row in run.tokens) for run in (found, steered)]
    assert saved[0] < saved[1]


def test_a_gate_that_never_closes_is_costeer() -> None:
    plan = replace(gated_plan(), gate=GateConfig(sure=1e-12, unsure=1))
    plain = arm_plan("costeer", devices=plan.devices, max_new_tokens=10)
    assert output_digest(run_virtual(plan).tokens) == output_digest(run_virtual(plain).tokens)


def test_live_pauses_where_simulated_time_does() -> None:
    plan = gated_plan()
    run = live(plan, generated_hosts(1))
    assert run.complete
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)


@pytest.mark.parametrize("sampling", [Sampling(), Sampling(temperature=0.8)], ids=str)
def test_models_follow_the_text_through_the_pauses(sampling: Sampling) -> None:
    plan = tiny_plan(sampling)
    pausing = replace(
        plan,
        arm=replace(plan.arm, method=arm_plan("adacosteer").arm.method),
        gate=GateConfig(sure=0.97, after=1, unsure=0.98),
    )
    found = run_virtual(pausing, tiny_hosts())
    assert 0 < alone(found) < len(found.tokens)
    # What was steered, was steered with a small model that had read what was not.
    assert digest(run_virtual(pausing, tiny_hosts())) == digest(found)
    always = replace(pausing, gate=GateConfig(sure=1.0, after=1, unsure=1.0))
    first = [row.record.token for row in run_virtual(always, tiny_hosts()).tokens]
    streamed = replace(plan, arm=replace(plan.arm, method=arm_plan("llm_without").arm.method))
    assert len(first) == len(run_virtual(streamed, tiny_hosts()).tokens)


def test_a_row_in_doubt_is_encoded_and_a_sure_one_chosen() -> None:
    rows = {0: np.array([9.0, 0, 0, 0], np.float32), 1: np.zeros(4, np.float32)}
    selector = Selector(arm("adacosteer", codec="top2-bf16-packed"), 4)
    items = [EncodeItem(1, at, 0, 2, unless=0.5) for at in (0, 1)]
    items.append(EncodeItem(1, 1, 0, 2, unless=ALWAYS))
    got = selector.select(CloudSelect(tuple(items), ()), lambda _, position: rows[position])
    sure, doubtful, forced = got.doubts
    assert sure is not None
    assert sure.token == 0
    assert sure.doubt == pytest.approx(1 - 1 / (1 + 3 * np.exp(-9)))
    assert doubtful == Doubt(0.75)
    assert forced == Doubt(0.75, 0)
    assert [bool(payload) for payload in got.payloads] == [False, True, False]
