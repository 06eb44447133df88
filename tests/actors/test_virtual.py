"""The simulated driver: laws 5 and 6, and where time goes."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given, settings

from actors.plan import ArmPlan
from actors.records import ArmRun
from costeer.methods import METHODS
from costeer.refinement import RefineConfig
from costeer.token_record import STAGES
from experiments.results import digest, output_digest
from netsim.hardware import Fixed
from tests.actors.books import check_books
from tests.actors.fleets import (
    LIMITS,
    MS,
    arm_plan,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
    plans,
    run_virtual,
)

few = settings(max_examples=20)


# --------------------------------------------------------------------------- law 5


@few
@given(plans())
def test_the_digest_is_the_same_for_any_number_of_shards_and_runs(plan: ArmPlan) -> None:
    expected = digest(run_virtual(plan))
    for shards in (1, 2, 3, 7):
        assert digest(run_virtual(plan, generated_hosts(shards))) == expected, shards


def test_hosts_may_be_used_again() -> None:
    hosts = generated_hosts(2)
    first = digest(run_virtual(arm_plan(), hosts))
    assert digest(run_virtual(arm_plan("slm_with"), hosts)) != first
    assert digest(run_virtual(arm_plan(), hosts)) == first


def test_the_order_in_which_devices_are_written_down_changes_nothing() -> None:
    plan = arm_plan(devices=[device(number, where=link()) for number in range(4)])
    turned = replace(plan, devices=plan.devices[::-1])
    assert digest(run_virtual(turned, generated_hosts(3))) == digest(run_virtual(plan))


# --------------------------------------------------------------------------- law 6


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_no_clock_is_read(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = arm_plan(method, [device(0, 2, where=link(jitter_ns=MS)), device(1)])
    expected = digest(run_virtual(plan))

    def forbidden() -> float:
        raise AssertionError("a clock was read")

    for name in ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter",
                 "perf_counter_ns", "process_time", "process_time_ns", "sleep"):  # fmt: skip
        monkeypatch.setattr(time, name, forbidden)
    found = digest(run_virtual(plan))
    monkeypatch.undo()
    assert found == expected


# --------------------------------------------------------------------------- where time goes


@few
@given(plans())
def test_every_nanosecond_of_every_token_is_explained(plan: ArmPlan) -> None:
    check_books(plan, run_virtual(plan))


def stages_of(run: ArmRun, stage: str) -> list[int]:
    return [token.record.stages_ns[STAGES.index(stage)] for token in run.tokens]


def test_waiting_at_the_device_is_told() -> None:
    plan = arm_plan(devices=[device(0, where=link(), arrivals_ns=(0, 1, 2)), device(1)])
    run = run_virtual(plan)
    check_books(plan, run)
    requests = [row for row in run.requests if row.device == 0]
    assert [row.arrival_ns for row in requests] == [0, 1, 2]
    queued = [wait for wait in stages_of(run, "device_queue") if wait]
    assert queued == [requests[0].finished_ns - 1, requests[1].finished_ns - 2]


def test_tight_memory_and_a_narrow_egress_are_waited_for() -> None:
    devices = [device(number, where=link()) for number in range(4)]
    one_session = max(len(one.personal) for each in devices for one in each.requests) + 5
    plans_of = {
        "wide": arm_plan(devices=devices),
        "memory": arm_plan(devices=devices, limits=replace(LIMITS, kv_tokens=one_session)),
        "batch": arm_plan(devices=devices, limits=replace(LIMITS, max_batch=1)),
        "egress": arm_plan(devices=devices, egress_bps=100_000),
    }
    runs = {name: run_virtual(plan) for name, plan in plans_of.items()}
    for name, plan in plans_of.items():
        check_books(plan, runs[name])
    assert len({output_digest(run.tokens) for run in runs.values()}) == 1
    for name in ("memory", "batch"):
        waited = sum(stages_of(runs[name], "cloud_queue"))
        assert waited > sum(stages_of(runs["wide"], "cloud_queue"))
        assert max(runs[name].engine.batches) == 1
    assert runs["egress"].egress_busy_ns > 0
    assert runs["wide"].egress_busy_ns == 0
    slower = sum(stages_of(runs["egress"], "downlink"))
    assert slower > sum(stages_of(runs["wide"], "downlink"))


def test_refinement_is_told_and_ends_certified() -> None:
    plan = arm_plan(codec="top1-bf16-naive", refine=RefineConfig(growth=2, max_rounds=3))
    run = run_virtual(plan)
    check_books(plan, run)
    assert {token.record.rounds for token in run.tokens} > {3}
    assert all(token.record.certified for token in run.tokens)
    once = run_virtual(replace(plan, refine=RefineConfig(max_rounds=0)))
    assert not all(token.record.certified for token in once.tokens)
    assert sum(stages_of(once, "refinement")) == 0


def test_the_small_model_hides_behind_the_exchange() -> None:
    far = run_virtual(arm_plan(devices=[device(0, where=link(100 * MS))]))
    near = run_virtual(arm_plan(devices=[device(0, hardware="slow")]))
    assert stages_of(far, "edge_wait") == [0] * 5
    assert all(token.record.busy_edge_ns == 21 * MS + 6 for token in far.tokens)
    assert min(stages_of(near, "edge_wait")) > 0


def test_free_hosts_and_links_take_no_time() -> None:
    plan = arm_plan(devices=[device(number, hardware="free") for number in range(3)])
    run = driver_of(plan, null_hosts(), cloud_cost=Fixed()).run()
    check_books(plan, run)
    assert run.end_ns == 0
    assert run.engine.batches == [3] * 5


def test_a_token_costs_what_its_parts_cost() -> None:
    plan = arm_plan(
        devices=[device(0, where=link(10 * MS, 0), hardware="fast")],
        refine=RefineConfig(max_rounds=0),
        max_new_tokens=2,
    )
    _, second = run_virtual(plan, null_hosts()).tokens
    told = dict(zip(STAGES, second.record.stages_ns, strict=True))
    assert told == {
        "device_queue": 0,
        "draft": 0,
        "uplink": 10 * MS,
        "cloud_queue": 0,
        "cloud_compute": 10 * MS,
        "select_encode": 200_001 + 70_003,
        "downlink": 10 * MS,
        "decode": 20_011,
        "edge_wait": 0,
        "steer": 101_003 + 10_007,
        "refinement": 0,
        "overhead": 0,
    }
