"""The driver on the wall's clock: the same tokens, each frame once, and no thread left behind."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from time import monotonic_ns
from typing import Any

import pytest

import actors.live.cloud
from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.live.cloud import LiveCloud
from actors.live.driver import run_live
from actors.live.frames import LineId, UpFrame
from actors.models.numerics import Numerics
from actors.plan import ArmPlan, Request, engine_spec
from actors.port import Handle, LocalHandle, Pending
from actors.records import ArmRun, Earlier, Recorder
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.model_cloud import ModelCloudHost
from actors.values.model_edge import ModelEdgeHost
from actors.values.rows import RowCloudHost, RowEdgeHost
from costeer.cloud import CloudEngine, EngineSpec
from costeer.errors import CosteerError, LocalProtocolError
from costeer.machine import Command, Event, FrameArrived, Send
from costeer.methods import METHODS, CloudRole
from costeer.token_record import STAGES
from experiments.results import output_digest
from tests.actors.fleets import (
    MS,
    VOCAB,
    Hosts,
    Kept,
    arm_plan,
    begin,
    device,
    generated_hosts,
    link,
    null_hosts,
    recorder_of,
    run_virtual,
)
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB
from tests.actors.tiny_pair import tiny_folder


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    assert [thread for thread in threading.enumerate() if thread.name.startswith("live")] == []


@pytest.fixture
def engines(monkeypatch: pytest.MonkeyPatch) -> list[CloudEngine]:
    """The engines that live clouds make from now on."""
    made: list[CloudEngine] = []

    class Kept(CloudEngine):
        def __init__(self, spec: EngineSpec) -> None:
            super().__init__(spec)
            made.append(self)

    monkeypatch.setattr(actors.live.cloud, "CloudEngine", Kept)
    return made


def wait_s(_: float) -> None:
    threading.Event().wait(0.01)


def live(
    plan: ArmPlan,
    hosts: Hosts | None = None,
    *,
    recorder: Recorder | None = None,
    wait: Callable[[float], None] = wait_s,
    stopped: Callable[[], bool] = lambda: False,
) -> ArmRun:
    cloud, shards = hosts or generated_hosts()
    terms = begin(plan, (cloud, shards))
    clouds = [cloud, *(generated_hosts()[0] for _ in range(1, plan.replicas))]
    for another in clouds[1:]:
        another.call("begin_arm", plan.arm)
    needed = clouds if plan.arm.method.cloud is not CloudRole.ABSENT else ()
    return run_live(plan, terms, needed, shards, recorder or recorder_of(plan), wait, stopped)


def fleet(*, devices: int = 3, requests: int = 1, vocab_size: int = VOCAB) -> list[Any]:
    """Devices on links of a few milliseconds; ids within the vocabulary."""
    return [
        replace(
            plan,
            requests=tuple(
                Request(one.prompt_id, _within(one.public, vocab_size),
                        _within(one.personal, vocab_size))
                for one in plan.requests
            ),
        )
        for plan in (
            device(number, requests, where=link(2 * MS, 0, jitter_ns=MS))
            for number in range(devices)
        )
    ]  # fmt: skip


def _within(ids: tuple[int, ...], vocab_size: int) -> tuple[int, ...]:
    return tuple(token % vocab_size for token in ids)


def tiny_hosts(shards: int) -> Hosts:
    numerics = Numerics.BATCH_INVARIANT
    make = {"vocab_size": TINY_VOCAB}
    cloud = partial(ModelCloudHost, str(tiny_folder("qwen2", 0)), numerics, **make)  # type: ignore[arg-type]  # one of them
    edge = partial(ModelEdgeHost, str(tiny_folder("qwen2", 1)), numerics, **make)  # type: ignore[arg-type]  # one of them
    return LocalHandle(CloudActor(cloud)), [LocalHandle(EdgeActor(edge)) for _ in range(shards)]


# --------------------------------------------------------------------------- the same tokens


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_live_chooses_what_virtual_chooses(method: str, engines: list[CloudEngine]) -> None:
    plan = arm_plan(method, fleet(requests=2), codec="top1-bf16-naive", max_new_tokens=3)
    run = live(plan, generated_hosts(2))
    assert run.complete
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)
    frames = sum(row.moved.frame_bytes_up for row in run.requests)
    assert frames == sum(row.moved.frame_bytes_up for row in run_virtual(plan).requests)
    # The last CLOSE frames were still under way when the last token was chosen.
    assert all(engine.open_sessions == engine.reserved_tokens == 0 for engine in engines)
    assert [sum(engine.counters.batches) for engine in engines] == (
        [sum(run.engine.batches)] if run.engine.batches else [0] * len(engines)
    )


@pytest.mark.parametrize("shards", [1, 2])
def test_devices_stay_with_their_replicas(shards: int, engines: list[CloudEngine]) -> None:
    devices = [replace(each, replica=each.device % 2) for each in fleet(devices=4, requests=2)]
    plan = replace(arm_plan("costeer", devices, max_new_tokens=3), replicas=2)
    run, simulated = live(plan, generated_hosts(shards)), run_virtual(plan)
    assert output_digest(run.tokens) == output_digest(simulated.tokens)
    assert [row.replica for row in run.tokens] == [row.replica for row in simulated.tokens]
    assert len(engines) == len(run.replicas) == 2
    served = [sum(each.engine.batches) for each in run.replicas]
    assert served == [sum(each.engine.batches) for each in simulated.replicas]


def test_live_and_virtual_agree_on_models_and_on_an_ideal_link() -> None:
    devices = [replace(one, link=link(0, 0)) for one in fleet(vocab_size=TINY_VOCAB)]
    for plan in (
        arm_plan("costeer", devices, max_new_tokens=4),
        arm_plan("llm_with", devices, max_new_tokens=4),
    ):
        run = live(plan, tiny_hosts(2))
        assert output_digest(run.tokens) == output_digest(run_virtual(plan, tiny_hosts(1)).tokens)


def test_open_arrivals_that_wait_are_told() -> None:
    plan = arm_plan("slm_with", [device(0, arrivals_ns=(0, 1, 2))])
    run = live(plan)
    assert [row.arrival_ns for row in run.requests] == [0, 1, 2]
    queue = STAGES.index("device_queue")
    firsts = [row.record.stages_ns[queue] for row in run.tokens if row.record.position == 0]
    assert firsts[1] > 0
    assert firsts[2] > 0
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)


# --------------------------------------------------------------------------- going on


@pytest.mark.parametrize("method", ["costeer", "llm_with", "slm_with"])
@pytest.mark.parametrize("share", [0.2, 0.7])
def test_a_run_goes_on_from_its_rows(method: str, share: float) -> None:
    """Law 8: with the tokens that it would have had, each once, on a clock that goes on."""
    plan = arm_plan(method, fleet(requests=2), max_new_tokens=6)
    whole = live(plan)
    by_time = sorted(whole.tokens, key=lambda row: row.chosen_at_ns)
    tokens = by_time[: int(share * len(by_time))]
    last_ns = tokens[-1].chosen_at_ns
    requests = [row for row in whole.requests if row.finished_ns <= last_ns]
    kept = Kept()
    count = sum(len(one.requests) for one in plan.devices)
    recorder = Recorder(count, kept, piece_tokens=3, earlier=Earlier(tokens, requests))
    run = live(plan, recorder=recorder)
    assert run.complete
    assert output_digest(run.tokens) == output_digest(whole.tokens)
    assert len(kept.tokens) == len(whole.tokens) - len(tokens)
    assert len(kept.requests) == len(whole.requests) - len(requests)
    assert min(row.chosen_at_ns for row in kept.tokens) >= last_ns
    for row in kept.tokens:
        assert sum(row.record.stages_ns) == row.record.latency_ns
    totals = {row.session: row.moved.frame_bytes_up for row in run.requests}
    once = {row.session: row.moved.frame_bytes_up for row in whole.requests}
    # What had begun and not said everything is opened a second time, and says so in bytes.
    said, length = (Counter(row.record.session for row in rows) for rows in (tokens, whole.tokens))
    under_way = [session for session, count in said.items() if count < length[session]]
    assert all(totals[session] > once[session] for session in under_way if once[session])


def test_a_run_that_had_said_everything_ends_at_once() -> None:
    plan = arm_plan("costeer", fleet(), max_new_tokens=3)
    whole = live(plan)
    by_time = sorted(whole.tokens, key=lambda row: row.chosen_at_ns)
    # The last token of every session is written, the end of one is not.
    recorder = Recorder(3, Kept(), earlier=Earlier(by_time, whole.requests[1:]))
    run = live(plan, recorder=recorder)
    assert output_digest(run.tokens) == output_digest(whole.tokens)
    assert [row.reason for row in run.requests] == ["length"] * 3


# --------------------------------------------------------------------------- each frame once


class Repeating(LocalHandle):
    """A cloud to which every message is delivered again, and again later."""

    def __init__(self, host: object) -> None:
        super().__init__(host)
        self._said: list[tuple[object, ...]] = []

    def submit(self, method: str, *args: object) -> Pending:
        if method != "push":
            return super().submit(method, *args)
        self._said.append(args)
        for again in self._said[-3:]:
            super().submit(method, *again)
        return super().submit(method, *args)


def test_repeated_messages_change_nothing(engines: list[CloudEngine]) -> None:
    cloud, shards = generated_hosts(2)
    assert isinstance(cloud, LocalHandle)
    plan = arm_plan(devices=fleet(requests=2))
    run = live(plan, (Repeating(cloud.host), shards))
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert engines[0].counters.dropped_frames == 0


def test_messages_that_overtake_are_put_in_order(monkeypatch: pytest.MonkeyPatch) -> None:
    arrived: list[bytes] = []

    class Noted(CloudEngine):
        def handle(self, event: Event, now_ns: int) -> list[Command]:  # noqa: ARG002 - its way
            if isinstance(event, FrameArrived):
                arrived.append(event.frame)
            return []

    monkeypatch.setattr(actors.live.cloud, "CloudEngine", Noted)
    plan = arm_plan()
    hosts = null_hosts()
    terms = begin(plan, hosts)
    assert isinstance(hosts[0], LocalHandle)
    assert isinstance(hosts[0].host, CloudActor)
    cloud = LiveCloud(hosts[0].host._host, engine_spec(plan, terms), 0, monotonic_ns)
    for shard, sequence in [(0, 2), (0, 0), (1, 1), (0, 0), (0, 1), (0, 2), (1, 0), (0, 3)]:
        cloud.push(LineId(shard, 0), sequence, [UpFrame(shard, b"%d-%d" % (shard, sequence), 0)])
    cloud.stop()
    assert arrived == [b"0-0", b"0-1", b"0-2", b"1-0", b"1-1", b"0-3"]


def test_what_came_during_an_operation_has_waited_for_the_cloud(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now_ns = [0]
    held_ns: list[int] = []
    both = threading.Event()

    class Busy(CloudEngine):
        def handle(self, event: Event, now_ns_: int) -> list[Command]:  # noqa: ARG002 - its way
            if isinstance(event, FrameArrived):
                held_ns.append(event.held_ns)
                if event.frame == b"first":
                    cloud.push(LineId(0, 0), 1, [UpFrame(1, b"second", 0)])
                    now_ns[0] += 7 * MS
                else:
                    both.set()
            return []

    monkeypatch.setattr(actors.live.cloud, "CloudEngine", Busy)
    plan = arm_plan()
    hosts = null_hosts()
    terms = begin(plan, hosts)
    assert isinstance(hosts[0], LocalHandle)
    assert isinstance(hosts[0].host, CloudActor)
    cloud = LiveCloud(hosts[0].host._host, engine_spec(plan, terms), 0, lambda: now_ns[0])
    cloud.push(LineId(0, 0), 0, [UpFrame(0, b"first", 0)])
    assert both.wait(60)
    cloud.stop()
    assert held_ns == [0, 7 * MS]


def test_a_session_that_fails_ends_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    class Garbled(CloudEngine):
        def handle(self, event: Event, now_ns: int) -> list[Command]:
            return [self._garble(command) for command in super().handle(event, now_ns)]

        def _garble(self, command: Command) -> Command:
            if isinstance(command, Send) and command.session == 0 and command.payload_bytes:
                return replace(command, frame=command.frame[:-1] + b"?")
            return command

    monkeypatch.setattr(actors.live.cloud, "CloudEngine", Garbled)
    plan = arm_plan(devices=fleet(devices=2, requests=2))
    run = live(plan)
    assert run.complete
    assert [row.failed for row in run.requests] == [True, False, False, False]
    assert run.requests[1].tokens == run_virtual(plan).requests[1].tokens


# --------------------------------------------------------------------------- runs that do not end


@pytest.mark.parametrize("how", ["asked", "interrupted"])
def test_a_stopped_run_keeps_what_there_is(how: str) -> None:
    slow = link(30 * MS, 0)
    devices = [
        *(device(number, where=slow) for number in range(3)),
        device(9, where=slow, arrivals_ns=(0, 1, 10**18)),
    ]
    plan = arm_plan(devices=devices, max_new_tokens=150)
    kept = Kept()
    recorder = recorder_of(plan, kept)

    def wait(pause_s: float) -> None:
        if how == "interrupted" and recorder.run.tokens:
            raise KeyboardInterrupt
        wait_s(pause_s)

    run = live(
        plan,
        generated_hosts(2),
        recorder=recorder,
        wait=wait,
        stopped=lambda: how == "asked" and bool(recorder.run.tokens),
    )
    assert not run.complete
    assert len(kept.tokens) == len(run.tokens) > 0
    assert {row.device: row.reason for row in run.requests} == dict.fromkeys(
        (0, 1, 2, 9), "censored"
    )
    assert [row.request for row in run.requests if row.device == 9] == [0, 1]
    assert len(kept.requests) == 5
    told = {(row.device, row.request): row.tokens for row in run.requests}
    for row in run.tokens:
        assert told[row.device, row.request][row.record.position] == row.record.token


class Failing:
    """A host that fails after some calls."""

    def __init__(self, host: Any, calls: int) -> None:
        self._host = host
        self._left = calls

    def begin_arm(self, arm: Any) -> Any:
        return self._host.begin_arm(arm)

    def execute(self, ops: Sequence[Any]) -> Any:
        self._left -= 1
        if self._left < 0:
            raise OSError("the disk is gone")
        return self._host.execute(ops)


def failing_hosts(side: str, calls: int) -> Hosts:
    config = GeneratedConfig(vocab_size=VOCAB)
    cloud: Any = RowCloudHost(partial(RowSource, config))
    edge: Any = RowEdgeHost(partial(RowSource, config))
    if side == "cloud":
        cloud = Failing(cloud, calls)
    else:
        edge = Failing(edge, calls)
    well: Handle = LocalHandle(EdgeActor(lambda: RowEdgeHost(partial(RowSource, config))))
    return LocalHandle(CloudActor(lambda: cloud)), [well, LocalHandle(EdgeActor(lambda: edge))]


@pytest.mark.parametrize("calls", [0, 40])
@pytest.mark.parametrize("side", ["cloud", "edge"])
def test_a_host_s_failure_surfaces_and_the_rows_are_kept(side: str, calls: int) -> None:
    plan = arm_plan(devices=fleet(), max_new_tokens=150)
    kept = Kept()
    hosts = failing_hosts(side, calls)
    with pytest.raises(OSError, match="the disk is gone"):
        live(plan, hosts, recorder=recorder_of(plan, kept))
    assert bool(kept.tokens) >= bool(calls)
    assert [row.reason for row in kept.requests] == ["censored"] * 3
    # The actors are free again.
    with pytest.raises(LocalProtocolError, match="no live run"):
        hosts[0].call("live_end")
    with pytest.raises(LocalProtocolError, match="no live run"):
        hosts[1][0].call("live_end")


class Refusing(LocalHandle):
    def call(self, method: str, *args: object) -> object:
        if method == "live_begin":
            raise CosteerError("no more room")
        return super().call(method, *args)


def test_a_shard_that_cannot_begin_ends_the_others() -> None:
    cloud, shards = generated_hosts(2)
    assert isinstance(shards[1], LocalHandle)
    with pytest.raises(CosteerError, match="no more room"):
        live(arm_plan(devices=fleet()), (cloud, [shards[0], Refusing(shards[1].host)]))


def test_a_late_failure_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """One that comes after the last token: the cloud cannot take the last CLOSE."""
    handle = CloudEngine.handle

    def failing(self: CloudEngine, event: Event, now_ns: int) -> list[Command]:
        if isinstance(event, FrameArrived) and event.frame[0] & 0xF == 4:
            raise OSError("the disk is gone")
        return handle(self, event, now_ns)

    monkeypatch.setattr(CloudEngine, "handle", failing)
    plan = arm_plan(devices=[device(0, where=link(30 * MS, 0))], max_new_tokens=2)
    kept = Kept()
    with pytest.raises(OSError, match="the disk is gone"):
        live(plan, recorder=recorder_of(plan, kept))
    assert [row.reason for row in kept.requests] == ["length"]
