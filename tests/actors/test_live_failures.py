"""Failures on the wall's clock: of the model, and of hosts; they cost time and no token."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.failures import Departure, Incident, Incidents, ReplicaFailure
from actors.live.driver import run_live
from actors.live.lives import Lives
from actors.plan import ArmPlan, codec_terms
from actors.port import Handle, HostDiedError, LocalHandle, Pending, gather
from actors.records import (
    LEFT,
    ArmRun,
    Earlier,
    Recorder,
)
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.port import ArmSpec
from actors.values.rows import RowCloudHost, RowEdgeHost
from costeer.methods import CloudRole
from costeer.token_record import STAGES
from experiments.results import output_digest
from tests.actors.fleets import MS, VOCAB, Kept, arm_plan, device, link, recorder_of, run_virtual
from tests.actors.live_runs import _no_thread_is_left

__all__ = ["_no_thread_is_left"]


ROWS = partial(RowSource, GeneratedConfig(vocab_size=VOCAB))


class Mortal:
    """A host in this process that may be killed, and is made again when it is told to."""

    def __init__(self, make: Callable[[], Any], may_revive: threading.Event | None = None) -> None:
        self._make = make
        self._may_revive = may_revive
        self._arm: ArmSpec | None = None
        self._life = LocalHandle(make())
        self._dead = False
        self.revived = 0

    def kill(self, meanwhile: Callable[[], None] = lambda: None) -> None:
        self._dead = True
        meanwhile()
        self._life.call("live_end")  # its threads end with it, and nobody hears what it says

    def submit(self, method: str, *args: Any) -> Pending:
        if self._dead:
            return _Died(method)
        if method == "begin_arm":
            (self._arm,) = args
        return self._life.submit(method, *args)

    def call(self, method: str, *args: Any) -> object:
        return self.submit(method, *args).result()

    def revive(self, reason: str) -> None:
        assert reason
        if self._may_revive is not None:
            assert self._may_revive.wait(60)
        self._life = LocalHandle(self._make())
        self._life.call("begin_arm", self._arm)
        self.revived += 1
        self._dead = False


class _Died:
    def __init__(self, method: str) -> None:
        self._method = method

    def done(self) -> bool:
        return True

    def result(self) -> object:
        raise HostDiedError(f"dead: {self._method}")


def mortal_cloud() -> Mortal:
    return Mortal(lambda: CloudActor(lambda: RowCloudHost(ROWS)))


class Halting(RowCloudHost):
    """A large model that comes to its third call and no further, until it is let go on."""

    def __init__(self) -> None:
        super().__init__(ROWS)
        self._calls = 0
        self.halted = threading.Event()
        self.go_on = threading.Event()

    def execute(self, ops: Sequence[Any]) -> list[object]:
        self._calls += 1
        if self._calls == 3:
            self.halted.set()
            assert self.go_on.wait(60)
        return super().execute(ops)


def mortal_shard() -> Mortal:
    return Mortal(lambda: EdgeActor(lambda: RowEdgeHost(ROWS)))


def live(
    plan: ArmPlan,
    *,
    shards: Sequence[Handle] = (),
    clouds: Sequence[Handle] = (),
    recorder: Recorder | None = None,
    wait: Callable[[], None] = lambda: None,
) -> ArmRun:
    shards = shards or [mortal_shard(), mortal_shard()]
    clouds = clouds or [mortal_cloud() for _ in range(plan.replicas)]
    gather([host.submit("begin_arm", plan.arm) for host in (*clouds, *shards)])

    def wait_s(_: float) -> None:
        wait()
        threading.Event().wait(0.005)

    terms = codec_terms(plan, VOCAB)
    needed = clouds if plan.arm.method.cloud is not CloudRole.ABSENT else ()
    run = run_live(plan, terms, needed, shards, recorder or recorder_of(plan), wait_s)
    assert run.complete
    return run


def two_replicas(
    method: str = "costeer", *failing: ReplicaFailure, requests: int = 2, replicas: int = 2
) -> ArmPlan:
    devices = [
        replace(
            device(number, requests, where=link(2 * MS, 0, jitter_ns=MS)), replica=number % replicas
        )
        for number in range(5)
    ]
    plan = arm_plan(method, devices, max_new_tokens=6)
    return replace(plan, replicas=replicas, failures=failing)


def calm_digest(plan: ArmPlan) -> str:
    return output_digest(run_virtual(replace(plan, failures=(), departures=())).tokens)


def check_times(run: ArmRun) -> None:
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)
    assert all(min(row.record.stages_ns) >= 0 for row in run.tokens)


# --------------------------------------------------------------------------- of the model


@pytest.mark.parametrize("method", ["costeer", "llm_with", "slm_with"])
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_a_failure_changes_no_token(method: str, seed: int) -> None:
    """Law 8, on whichever side of whose clock it falls."""
    random = Random(f"{method} {seed}")
    failing = []
    for replica in range(3):
        at_ns = 0
        for _ in range(random.randint(0, 3)):
            at_ns += random.randint(0, 60 * MS)
            back_ns = at_ns + random.choice((1, MS, 40 * MS))
            noticed_ns = min(back_ns, at_ns + random.choice((0, 0, MS, 20 * MS)))
            failing.append(ReplicaFailure(replica, at_ns, noticed_ns, back_ns))
            at_ns = back_ns
    plan = two_replicas(method, *failing, replicas=3)
    run = live(plan)
    assert output_digest(run.tokens) == calm_digest(plan)
    assert {row.reason for row in run.requests} == {"length"}
    check_times(run)


def test_sessions_wait_where_no_replica_is_left() -> None:
    """Both are away when the first users ask: every session waits until one of them is back."""
    back_ns = 80 * MS
    both = [ReplicaFailure(each, 0, 0, back_ns + each * 5 * MS) for each in (0, 1)]
    plan = two_replicas("costeer", *both, requests=1)
    run = live(plan)
    assert output_digest(run.tokens) == calm_digest(plan)
    assert min(row.chosen_at_ns for row in run.tokens) > back_ns
    firsts = [row for row in run.tokens if row.record.position == 0]
    queued = STAGES.index("device_queue")
    assert all(row.record.stages_ns[queued] > 0 for row in firsts)
    told = {(each.kind, each.subject): each for each in run.incidents}
    assert set(told) >= {("replica_fails", 0), ("replica_fails", 1), ("replica_is_back", 0)}
    # Counted once each, whether its session began before the failure or after.
    assert sum(each.waited for each in run.incidents if each.kind == "replica_fails") == 5
    assert [each.at_ns for each in run.incidents[:2]] == [0, 0]


def test_sessions_go_on_at_the_replica_that_is_left() -> None:
    plan = two_replicas("costeer", ReplicaFailure(0, MS, MS), requests=2)
    run = live(plan)
    assert output_digest(run.tokens) == calm_digest(plan)
    # No answer takes a millisecond on these links, so all of them end at the other one.
    assert {row.replica for row in run.requests} == {1}
    (incident,) = run.incidents
    assert (incident.kind, incident.subject, incident.at_ns) == ("replica_fails", 0, MS)
    assert incident.waited == 0
    assert incident.moved <= 3


def test_whoever_leaves_takes_only_its_own_requests_along() -> None:
    plan = replace(
        two_replicas("costeer", requests=3),
        departures=(Departure(0, 0), Departure(3, 15 * MS), Departure(4, 10**15)),
    )
    run = live(plan)
    calm = run_virtual(two_replicas("costeer", requests=3))
    said = {(row.device, row.request): row.tokens for row in calm.requests}
    assert [row.device for row in run.requests].count(0) <= 1
    for row in run.requests:
        whole = said[row.device, row.request]
        assert row.tokens == (whole[: len(row.tokens)] if row.reason == LEFT else whole)
        assert (row.reason == LEFT) <= (row.device in {0, 3})
    assert sum(row.device in {1, 2, 4} for row in run.requests) == 9
    assert {(each.kind, each.subject) for each in run.incidents} >= {("device_leaves", 0)}
    check_times(run)


def test_a_run_that_goes_on_knows_what_has_failed() -> None:
    """Its clock goes on, so who had failed is away, and who had left asks nothing any more."""
    calm = two_replicas("costeer")
    whole = live(calm)
    by_time = sorted(whole.tokens, key=lambda row: row.chosen_at_ns)
    tokens = by_time[: len(by_time) // 2]
    last_ns = tokens[-1].chosen_at_ns
    requests = [row for row in whole.requests if row.finished_ns <= last_ns]
    plan = replace(
        calm,
        failures=(ReplicaFailure(0, last_ns // 2, last_ns // 2, last_ns + 10**12),),
        departures=(Departure(1, last_ns - 1),),
    )
    count = sum(len(one.requests) for one in plan.devices)
    recorder = Recorder(count, Kept(), earlier=Earlier(tokens, requests))
    run = live(plan, recorder=recorder)
    new = [row for row in run.tokens if row.chosen_at_ns > last_ns]
    assert {row.replica for row in new} == {1}
    assert 1 not in {row.device for row in new}
    said = {(row.device, row.request): row.tokens for row in whole.requests}
    for row in run.requests:
        whole_text = said[row.device, row.request]
        assert row.tokens == (whole_text[: len(row.tokens)] if row.device == 1 else whole_text)
    assert {row.device for row in run.requests if row.reason == LEFT} <= {1}


# --------------------------------------------------------------------------- of hosts


def test_sessions_of_a_dead_replica_go_on_at_the_other_one_while_it_is_made_again() -> None:
    moved, host = threading.Event(), Halting()
    hosts = [host, RowCloudHost(ROWS)]
    doomed = Mortal(lambda: CloudActor(lambda: hosts.pop(0)), moved)
    plan = two_replicas("costeer", requests=2)
    recorder = recorder_of(plan)

    def wait() -> None:
        if host.halted.is_set() and not host.go_on.is_set():
            doomed.kill(host.go_on.set)
        # It is not there again before all of its devices have been served by the other one.
        if {row.device for row in recorder.run.tokens if row.replica == 1} == set(range(5)):
            moved.set()

    run = live(plan, clouds=[doomed, mortal_cloud()], recorder=recorder, wait=wait)
    assert output_digest(run.tokens) == calm_digest(plan)
    assert doomed.revived == 1
    assert all(row.replica == 1 for row in run.tokens if row.device % 2)
    assert run.incidents == []
    (still,) = run.standstills
    assert still.host == "replica 0"
    # It said two tokens of six at most to each, so whoever had one had to go on elsewhere.
    assert still.sessions <= 3
    assert (still.first_token_s is not None) == (still.sessions > 0)
    check_times(run)


@pytest.mark.parametrize("replicas", [1, 2])
def test_sessions_wait_for_the_only_replica(replicas: int) -> None:
    """Whoever has no other one waits until it is there again."""
    clouds = [mortal_cloud() for _ in range(replicas)]
    plan = two_replicas("costeer", replicas=replicas)
    recorder = recorder_of(plan)
    doomed = list(clouds)

    def wait() -> None:
        if recorder.run.tokens:
            while doomed:
                doomed.pop().kill()

    run = live(plan, clouds=clouds, recorder=recorder, wait=wait)
    assert output_digest(run.tokens) == calm_digest(plan)
    check_times(run)


@pytest.mark.parametrize("seed", range(4))
def test_shards_and_replicas_die_while_the_model_fails(seed: int) -> None:
    random = Random(seed)
    failing = [
        ReplicaFailure(0, 5 * MS, 6 * MS, 25 * MS),
        ReplicaFailure(0, 40 * MS, 40 * MS, 60 * MS),
        ReplicaFailure(1, 20 * MS, 30 * MS, 50 * MS),
    ]
    leaving = (Departure(2, 30 * MS),)
    plan = replace(two_replicas("costeer", *failing, requests=4), departures=leaving)
    clouds, shards = [mortal_cloud(), mortal_cloud()], [mortal_shard(), mortal_shard()]
    recorder = recorder_of(plan)
    kills = [(random.randint(1, 60), random.choice([*clouds, *shards])) for _ in range(3)]

    def wait() -> None:
        for after, host in tuple(kills):
            if len(recorder.run.tokens) >= after and not host._dead:
                kills.remove((after, host))
                host.kill()

    run = live(plan, clouds=clouds, shards=shards, recorder=recorder, wait=wait)
    calm = run_virtual(two_replicas(requests=4))
    said = {(row.device, row.request): row.tokens for row in calm.requests}
    for row in run.requests:
        whole = said[row.device, row.request]
        assert row.tokens == (whole[: len(row.tokens)] if row.reason == LEFT else whole)
        assert (row.reason == LEFT) <= (row.device == 2)
    assert sum(row.device != 2 for row in run.requests) == 16
    keys = [(row.device, row.request, row.record.position) for row in run.tokens]
    assert len(keys) == len(set(keys))
    check_times(run)


# --------------------------------------------------------------------------- lives, incidents


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9)), max_size=4), st.integers(0, 80))
def test_a_life_is_told_by_the_clock(gaps: list[tuple[int, int]], now_ns: int) -> None:
    failing, at_ns = [], 0
    for gap, away in gaps:
        failing.append(ReplicaFailure(0, at_ns + gap, at_ns + gap, at_ns + gap + away))
        at_ns += gap + away
    lives = Lives(failing)
    ended, begun = lives.at(now_ns)
    assert ended == sum(each.at_ns <= now_ns for each in failing)
    assert begun == (not any(each.at_ns <= now_ns < (each.back_ns or 0) for each in failing))
    wait_ns = lives.sooner_ns(now_ns, 1000)
    assert all(lives.at(now_ns + passed) == (ended, begun) for passed in range(min(wait_ns, 50)))
    assert wait_ns == 1000 or lives.at(now_ns + wait_ns) != (ended, begun)


def test_what_happened_is_added_up() -> None:
    found = Incidents()
    failed = Incident("replica_fails", 5, 0)
    found.add(failed, replace(failed, moved=1), Incident("device_leaves", 5, 1))
    found.add(Incident("replica_is_back", 5, 1), replace(failed, waited=2))
    assert found.by_time() == [
        Incident("replica_is_back", 5, 1),
        Incident("replica_fails", 5, 0, 1, 2),
        Incident("device_leaves", 5, 1),
    ]
    assert found.all()[0] == Incident("replica_fails", 5, 0, 1, 2)
