"""The simulated driver: laws 4 to 6, where time goes, and what is left when a run does not end."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

import actors.virtual.replica
from actors.plan import ArmPlan
from actors.records import ArmRun, ByteMeter
from costeer.cloud import CloudEngine
from costeer.endpoint import Endpoint
from costeer.errors import LocalProtocolError
from costeer.machine import Command, Event, Send
from costeer.messages import FrameKind, decode_frame, decode_open, decode_token
from costeer.methods import METHODS, CloudRole
from costeer.refinement import RefineConfig
from costeer.token_record import STAGES
from experiments.results import digest, output_digest
from netsim.hardware import Fixed
from tests.actors.fleets import (
    LIMITS,
    MS,
    PRIVATE,
    Kept,
    arm_plan,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
    plans,
    recorder_of,
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


def check_books(plan: ArmPlan, run: ArmRun) -> None:
    """Stages explain every nanosecond; tokens follow one another; bytes add up."""
    chosen: dict[tuple[int, int], list[Any]] = defaultdict(list)
    for token in run.tokens:
        chosen[token.device, token.request].append(token)
    assert len(run.requests) == sum(len(one.requests) for one in plan.devices)
    for request in run.requests:
        tokens = chosen[request.device, request.request]
        assert not request.failed, request.reason
        assert request.tokens == tuple(token.record.token for token in tokens)
        assert [token.record.position for token in tokens] == list(range(len(tokens)))
        before_ns = request.arrival_ns
        for token in tokens:
            record = token.record
            stages = dict(zip(STAGES, record.stages_ns, strict=True))
            assert sum(record.stages_ns) == record.latency_ns == token.chosen_at_ns - before_ns
            assert stages["overhead"] == 0, stages
            assert min(record.stages_ns) >= 0
            assert (stages["refinement"] > 0) <= (record.rounds > 0)
            assert (stages["device_queue"] > 0) <= (record.position == 0)
            before_ns = token.chosen_at_ns
        assert before_ns == request.finished_ns
        assert (request.reason == "eos") == (request.tokens[-1] in plan.eos)
        assert request.reason == "eos" or len(tokens) == plan.max_new_tokens
        closing = replace(request.moved)
        for token in tokens:
            for name in ByteMeter.__slots__:
                setattr(closing, name, getattr(closing, name) - getattr(token.moved, name))
        # CLOSE, where the method has one: a frame of some 12 bytes and its acknowledgement.
        assert closing.payload_bytes_down == closing.frame_bytes_down == 0
        # Nor does a cloud that has chosen the last token itself have to be told.
        method = plan.arm.method
        alone = method.gated and not tokens[-1].record.payload_bytes
        told = method.verified or (method.steered and not alone)
        assert (closing.frame_bytes_up > 0) == told
    assert run.end_ns == max(request.finished_ns for request in run.requests)


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


# --------------------------------------------------------------------------- what is on the wire


class Tap:
    """Everything that machines put on the links, by session."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.up: dict[int, list[bytes]] = defaultdict(list)
        self.down: dict[int, list[Send]] = defaultdict(list)
        tap = self

        handle = Endpoint.handle

        def tapped(machine: Endpoint, event: Event, now_ns: int) -> list[Command]:
            commands = handle(machine, event, now_ns)
            for command in commands:
                if isinstance(command, Send):
                    tap.up[command.session].append(command.frame)
            return commands

        class TappedEngine(CloudEngine):
            def handle(self, event: Event, now_ns: int) -> list[Command]:
                commands = super().handle(event, now_ns)
                for command in commands:
                    if isinstance(command, Send):
                        tap.down[command.session].append(command)
                return commands

        monkeypatch.setattr(Endpoint, "handle", tapped)
        monkeypatch.setattr(actors.virtual.replica, "CloudEngine", TappedEngine)


@pytest.mark.parametrize("method", METHODS, ids=lambda method: method.name)
def test_private_ids_do_not_go_up(method: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    tap = Tap(monkeypatch)
    plan = arm_plan(method.name, [device(number, 2, where=link(loss=0.2)) for number in range(3)])
    run = run_virtual(plan)
    private = set(PRIVATE)
    leaked = False
    chosen = {row.session: row.tokens for row in run.requests}
    for session, frames in tap.up.items():
        said = []
        for frame in map(decode_frame, frames):
            if frame.kind is FrameKind.OPEN:
                opened = decode_open(frame.body)
                leaked = leaked or not private.isdisjoint(opened.prompt)
            elif frame.kind is FrameKind.TOKEN:
                said.append(decode_token(frame.body))
            else:
                assert frame.body == b""
        # What is not the public query is the chosen tokens, and no others.
        assert tuple(said) == (chosen[session][:-1] if method.steered else ())
    assert leaked == method.leaks_context
    assert bool(tap.up) == (method.cloud is not CloudRole.ABSENT)


@few
@given(plans())
def test_the_books_hold_the_bytes_that_were_sent(plan: ArmPlan) -> None:
    with pytest.MonkeyPatch.context() as monkeypatch:
        tap = Tap(monkeypatch)
        run = run_virtual(plan)
    for request in run.requests:
        up, down = tap.up[request.session], tap.down[request.session]
        moved = request.moved
        assert moved.frame_bytes_up == sum(map(len, up))
        assert moved.frame_bytes_down == sum(len(each.frame) for each in down)
        assert moved.payload_bytes_down == sum(each.payload_bytes for each in down)
        assert moved.packets_up >= len(up)
        assert moved.packets_down >= len(down)
        assert moved.wire_bytes_up >= moved.frame_bytes_up + 52 * moved.packets_up


# --------------------------------------------------------------------------- runs that do not end


def after(count: int, then: Callable[[], object]) -> Callable[[], bool]:
    left = iter(range(count))

    def asked() -> bool:
        if next(left, None) is None:
            then()
            return True
        return False

    return asked


def test_a_stopped_run_keeps_what_there_is() -> None:
    devices = [device(0, where=link(), arrivals_ns=(0, 1, 10**15)), device(1, 2, where=link())]
    plan = arm_plan(devices=devices, max_new_tokens=50)
    kept = Kept()
    run = driver_of(plan, recorder=recorder_of(plan, kept)).run(after(60, lambda: None))
    assert not run.complete
    assert run.tokens
    # The one under way, the one behind it, and the other device's; not those that are yet to come.
    assert [(row.device, row.request, row.reason) for row in run.requests] == [
        (0, 0, "censored"),
        (0, 1, "censored"),
        (1, 0, "censored"),
    ]
    assert all(row.finished_ns == run.end_ns for row in run.requests)
    assert len(kept.tokens) == len(run.tokens)
    assert len(kept.requests) == 3


@few
@given(plans())
def test_a_run_that_has_a_time_to_stop_is_the_beginning_of_the_whole_one(plan: ArmPlan) -> None:
    whole = run_virtual(plan)
    until_ns = whole.end_ns // 2
    run = run_virtual(replace(plan, until_ns=until_ns))
    assert run.complete
    if not until_ns:
        return  # 0 is no time to stop
    assert run.end_ns == until_ns
    assert run.tokens == [row for row in whole.tokens if row.chosen_at_ns <= until_ns]
    ended = [row for row in run.requests if row.reason != "censored"]
    assert ended == [row for row in whole.requests if row in ended]
    cut = {(row.device, row.request) for row in run.requests} - {
        (row.device, row.request) for row in ended
    }
    assert cut == {
        (row.device, row.request)
        for row in whole.requests
        if row.arrival_ns <= until_ns and row not in ended
    }


class Wayward:
    """A handle whose host fails, or is interrupted, at one of its calls."""

    def __init__(self, handle: Any, call: int, failure: BaseException) -> None:
        self._handle = handle
        self._left = call
        self._failure = failure

    def submit(self, method: str, *args: object) -> Any:
        self._left -= method == "execute"
        if self._left == 0:
            raise self._failure
        return self._handle.submit(method, *args)

    def call(self, method: str, *args: object) -> object:
        return self._handle.call(method, *args)


def test_an_interrupt_ends_a_run_quietly() -> None:
    plan = arm_plan(devices=[device(0, where=link()), device(1)])
    cloud, shards = generated_hosts()
    run = driver_of(plan, (Wayward(cloud, 4, KeyboardInterrupt()), shards)).run()
    assert not run.complete
    assert run.tokens
    assert {row.reason for row in run.requests} == {"censored"}


@pytest.mark.parametrize("side", ["cloud", "edge"])
def test_a_host_s_failure_surfaces_after_the_rows_are_handed_on(side: str) -> None:
    plan = arm_plan(devices=[device(0, where=link()), device(1)])
    cloud, shards = generated_hosts()
    kept = Kept()
    failure = OSError("the disk is gone")
    hosts: Any = (
        (Wayward(cloud, 4, failure), shards)
        if side == "cloud"
        else (cloud, [Wayward(shards[0], 4, failure)])
    )
    with pytest.raises(OSError, match="the disk is gone"):
        driver_of(plan, hosts, recorder_of(plan, kept)).run()
    assert kept.tokens
    assert [row.reason for row in kept.requests] == ["censored"] * 2


def test_a_session_that_fails_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its own computations are under way, and the next request begins at once."""
    plan = arm_plan(devices=[device(0, 2, hardware="slow"), device(1, 2)], max_new_tokens=3)

    class Garbled(CloudEngine):
        def handle(self, event: Event, now_ns: int) -> list[Command]:
            commands = super().handle(event, now_ns)
            return [self._garble(command) for command in commands]

        def _garble(self, command: Command) -> Command:
            if isinstance(command, Send) and command.session == 0 and command.payload_bytes:
                return replace(command, frame=command.frame[:-1] + b"?")
            return command

    monkeypatch.setattr(actors.virtual.replica, "CloudEngine", Garbled)
    run = run_virtual(plan, generated_hosts(2))
    assert [(row.device, row.request, row.failed) for row in run.requests] == [
        (0, 0, True),
        (0, 1, False),
        (1, 0, False),
        (1, 1, False),
    ]
    failed, second = run.requests[:2]
    assert "checksum" in failed.reason
    assert second.arrival_ns == failed.finished_ns
    # Its forward was under way when the frame came; the next request is as if it had not been.
    monkeypatch.undo()
    whole = run_virtual(plan).requests[1]
    assert (second.tokens, second.moved) == (whole.tokens, whole.moved)


class Short:
    """A handle whose host leaves the first value out."""

    def __init__(self, handle: Any) -> None:
        self._handle = handle

    def submit(self, method: str, *args: object) -> Any:
        pending = self._handle.submit(method, *args)
        return Answer(pending.result()[1:]) if method == "execute" else pending


class Answer:
    def __init__(self, value: object) -> None:
        self._value = value

    def done(self) -> bool:
        return True

    def result(self) -> object:
        return self._value


def test_a_host_that_answers_too_little_is_our_bug() -> None:
    cloud, shards = null_hosts()
    hosts: Any = (Short(cloud), shards)
    with pytest.raises(LocalProtocolError, match="one value per operation"):
        driver_of(arm_plan(), hosts).run()
