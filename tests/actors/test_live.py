"""The driver on the wall's clock: the same tokens, each frame once, and no thread left behind."""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import replace
from time import monotonic_ns

import pytest

import actors.live.cloud
from actors.cloud import CloudActor
from actors.live.cloud import LiveCloud
from actors.live.frames import LineId, UpFrame
from actors.plan import engine_spec
from actors.port import LocalHandle, Pending
from actors.records import Earlier, Recorder
from costeer.cloud import CloudEngine, EngineSpec
from costeer.machine import Command, Event, FrameArrived, Send
from costeer.methods import METHODS
from costeer.token_record import STAGES
from experiments.results import output_digest
from tests.actors.fleets import (
    MS,
    Kept,
    arm_plan,
    begin,
    device,
    generated_hosts,
    link,
    null_hosts,
    run_virtual,
)
from tests.actors.live_runs import _no_thread_is_left, fleet, live, tiny_hosts
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB

__all__ = ["_no_thread_is_left"]


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
