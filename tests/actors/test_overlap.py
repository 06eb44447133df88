"""What a device does while it waits changes when a token is there, and never which."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from actors.plan import ArmPlan
from actors.records import ArmRun
from costeer.certificate import certify_greedy, leading
from costeer.overlap import OverlapConfig
from costeer.sampling import Sampling
from costeer.token_record import STAGES
from experiments.results import digest, output_digest
from tests.actors.fleets import MS, arm_plan, device, generated_hosts, link, run_virtual
from tests.actors.live_runs import live
from tests.actors.test_speculation import tiny_hosts, tiny_plan

NOTHING = OverlapConfig(forward=False)
FORWARD = OverlapConfig()
DELTA = OverlapConfig(delta=True)
SPARSE = OverlapConfig(delta=True, sparse=True)
DELTAS = np.linspace(-3, 3, 13).tolist()
SWITCHES = [NOTHING, FORWARD, DELTA, SPARSE]


def with_overlap(plan: ArmPlan, overlap: OverlapConfig | None) -> ArmPlan:
    return replace(plan, arm=replace(plan.arm, overlap=overlap))


@pytest.mark.parametrize("overlap", SWITCHES, ids=lambda one: one.label)
def test_models_choose_the_same_tokens_whatever_overlaps(overlap: OverlapConfig) -> None:
    plan = tiny_plan(Sampling())
    plain = run_virtual(plan, tiny_hosts())
    found = run_virtual(with_overlap(plan, overlap), tiny_hosts())
    assert output_digest(found.tokens) == output_digest(plain.tokens)
    certain = [(row.record.rounds, row.record.certified, row.record.margin) for row in found.tokens]
    assert certain == [
        (row.record.rounds, row.record.certified, row.record.margin) for row in plain.tokens
    ]


def test_what_is_not_written_is_what_the_first_switch_says() -> None:
    plan = arm_plan(devices=[device(number, where=link(8 * MS)) for number in range(3)])
    assert digest(run_virtual(with_overlap(plan, FORWARD))) == digest(run_virtual(plan))


@pytest.mark.parametrize("overlap", SWITCHES, ids=lambda one: one.label)
def test_live_chooses_them_too(overlap: OverlapConfig) -> None:
    plan = with_overlap(
        arm_plan(devices=[device(number, where=link(MS)) for number in range(2)]), overlap
    )
    run = live(plan, generated_hosts(1))
    assert run.complete
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)


def _later_stages(run: ArmRun, name: str) -> set[int]:
    at = STAGES.index(name)
    return {row.record.stages_ns[at] for row in run.tokens if row.record.position}


def test_each_switch_takes_its_work_off_the_critical_path() -> None:
    # A round trip of 100 ms hides all that may be hidden.
    plan = arm_plan(
        devices=[device(0, where=link(50 * MS), hardware="slow")],
        codec="top2-bf16-naive",
        max_new_tokens=5,
    )
    plan = replace(plan, refine=plan.refine.model_copy(update={"max_rounds": 0}))
    runs = [run_virtual(with_overlap(plan, each)) for each in SWITCHES]
    waits = [_later_stages(run, "edge_wait") for run in runs]
    steers = [_later_stages(run, "steer") for run in runs]
    assert min(waits[0]) > 0
    assert waits[1:] == [{0}] * 3
    assert steers[0] == steers[1]
    assert max(steers[2]) < min(steers[1])
    assert max(steers[3]) <= min(steers[2])
    ends = [run.end_ns for run in runs]
    assert ends == sorted(ends, reverse=True)
    assert ends[1] < ends[0]


@settings(max_examples=200)
@given(
    st.integers(1, 40).flatmap(
        lambda size: st.tuples(
            st.lists(
                st.sampled_from(np.linspace(-3, 3, 13).tolist()), min_size=size, max_size=size
            ),
            st.lists(st.integers(-4, 4), min_size=size, max_size=size),
            st.integers(1, size),
            st.integers(1, size),
        )
    ),
    st.sampled_from((0.0, 0.5, 1.783)),
)
def test_a_sorted_delta_proves_what_the_whole_one_proves(
    given_row: tuple[list[float], list[int], int, int], c: float
) -> None:
    deltas, row, sent, kept = given_row
    delta_V, row_V = np.array(deltas), np.array(row, dtype=np.float32)
    ranked = np.lexsort((np.arange(len(row)), -row_V))[:sent]
    ids_K = np.sort(ranked).astype(np.int32)
    known = (ids_K, row_V[ids_K], float(row_V[ranked[-1]]), delta_V, c)
    assert certify_greedy(*known, leading_M=leading(delta_V, kept)) == certify_greedy(*known)


@pytest.mark.parametrize("given_keys", [{"forward": False, "delta": True}, {"sparse": True}])
def test_switches_need_those_before_them(given_keys: dict[str, bool]) -> None:
    with pytest.raises(ValidationError, match="needs"):
        OverlapConfig.model_validate(given_keys)
