"""Failures of the model: they cost time and no token, and what leaves is booked as that."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.failures import Departure, ReplicaFailure, Standing
from actors.homes import Homes
from actors.plan import ArmPlan
from actors.port import Handle, Pending
from actors.records import LEFT, ArmRun
from actors.stalls import Stall
from costeer.machine import EdgeForward, Release
from costeer.methods import CloudRole
from costeer.speculation import SpeculationConfig
from costeer.token_record import STAGES
from experiments.results import digest, output_digest
from netsim.sharing import Discipline
from tests.actors.fleets import (
    MS,
    arm_plan,
    device,
    generated_hosts,
    link,
    plans,
    run_virtual,
)
from tests.actors.live_runs import fleet, tiny_hosts
from tests.actors.test_replicas import placed
from tests.actors.test_stalls import patient
from tests.actors.tiny_pair import VOCAB as TINY_VOCAB


@st.composite
def failures(draw: st.DrawFn, replicas: int, most_ns: int) -> tuple[ReplicaFailure, ...]:
    """Failures of some replicas, each followed by its return, at any time of a run."""
    found = []
    for replica in range(replicas):
        at_ns = 0
        for _ in range(draw(st.integers(0, 2))):
            at_ns += draw(st.integers(0, most_ns))
            noticed_ns = at_ns + draw(st.sampled_from((0, 0, MS, 50 * MS)))
            back_ns = at_ns + draw(st.sampled_from((MS, 20 * MS, 400 * MS)))
            found.append(ReplicaFailure(replica, at_ns, min(noticed_ns, back_ns), back_ns))
            at_ns = back_ns
    return tuple(found)


def check_times(run: ArmRun) -> None:
    """Stages explain every nanosecond, also where a session was opened again."""
    for said in run.tokens:
        assert sum(said.record.stages_ns) == said.record.latency_ns
        assert min(said.record.stages_ns) >= 0
        assert said.record.stages_ns[STAGES.index("overhead")] == 0
    ended = {(row.device, row.request): row for row in run.requests}
    for row in run.requests:
        before_ns = row.arrival_ns
        mine = (row.device, row.request)
        for token in [one for one in run.tokens if (one.device, one.request) == mine]:
            assert token.chosen_at_ns - before_ns == token.record.latency_ns
            before_ns = token.chosen_at_ns
        assert ended[row.device, row.request].finished_ns == before_ns


@settings(max_examples=25)
@given(st.data(), plans(), st.booleans())
def test_a_failure_changes_times_and_no_token(
    data: st.DataObject, plan: ArmPlan, drafting: bool
) -> None:
    """Law 8, for whichever replicas fail whenever."""
    if drafting and plan.arm.method.steered and not plan.limits.preempts:
        plan = replace(plan, speculation=SpeculationConfig(drafts=2))
    homes = data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=7))
    plan = placed(plan, homes, 3)
    undisturbed = run_virtual(plan)
    failing = data.draw(failures(3, 2 * max(1, undisturbed.end_ns)))
    disturbed = replace(plan, failures=failing)
    run = run_virtual(disturbed, generated_hosts(2))
    assert output_digest(run.tokens) == output_digest(undisturbed.tokens)
    assert [row.reason for row in run.requests] == [row.reason for row in undisturbed.requests]
    check_times(run)
    assert digest(run_virtual(disturbed)) == digest(run)
    if plan.arm.method.cloud is CloudRole.ABSENT:
        assert digest(run) == digest(undisturbed)
        assert run.incidents == []


# --------------------------------------------------------------------------- replicas


def two_replicas(*failing: ReplicaFailure, requests: int = 1) -> ArmPlan:
    devices = [
        replace(device(number, requests, where=link(10 * MS, 0)), replica=number % 2)
        for number in range(4)
    ]
    return replace(arm_plan(devices=devices, max_new_tokens=8), replicas=2, failures=failing)


def served(run: ArmRun, number: int) -> list[int]:
    return [row.replica for row in run.tokens if row.device == number]


def test_sessions_go_on_at_the_replica_that_is_left() -> None:
    plain = run_virtual(two_replicas())
    at_ns = plain.end_ns // 2
    run = run_virtual(two_replicas(ReplicaFailure(0, at_ns, at_ns)))
    for number in (0, 2):
        assert set(served(run, number)) == {0, 1}
        assert served(run, number) == sorted(served(run, number))
    for number in (1, 3):
        assert served(run, number) == [1] * 8
    assert [row.replica for row in run.requests] == [1, 1, 1, 1]
    (incident,) = run.incidents
    assert (incident.kind, incident.subject, incident.at_ns) == ("replica_fails", 0, at_ns)
    assert (incident.moved, incident.waited) == (2, 0)
    # The prompt and the tokens so far are read anew there.
    assert sum(sum(each.engine.batches) for each in run.replicas) > sum(
        sum(each.engine.batches) for each in plain.replicas
    )
    stood_still = [row for row in run.tokens if row.record.position and row.record.stages_ns[0]]
    assert [(row.device, row.replica) for row in stood_still] == [(0, 1), (2, 1)]
    before = {row.device: row.chosen_at_ns for row in run.tokens if row.chosen_at_ns <= at_ns}
    for row in stood_still:
        assert row.record.stages_ns[0] == at_ns - before[row.device]


def test_a_failure_that_nobody_has_noticed_costs_more() -> None:
    at_ns = run_virtual(two_replicas()).end_ns // 2
    ends = [
        run_virtual(two_replicas(ReplicaFailure(0, at_ns, at_ns + late_ns))).end_ns
        for late_ns in (0, 100 * MS, 300 * MS)
    ]
    assert ends == sorted(set(ends))


def test_sessions_wait_where_no_replica_is_left() -> None:
    at_ns, back_ns = 150 * MS, 2000 * MS
    both = [ReplicaFailure(each, at_ns, at_ns, back_ns + each * 100 * MS) for each in (0, 1)]
    run = run_virtual(two_replicas(*both))
    assert output_digest(run.tokens) == output_digest(run_virtual(two_replicas()).tokens)
    # What was on its way already arrives.
    late = [row.device for row in run.tokens if at_ns < row.chosen_at_ns < back_ns]
    assert len(late) == len(set(late))
    assert [(each.kind, each.subject, each.moved, each.waited) for each in run.incidents] == [
        ("replica_fails", 0, 0, 2),
        ("replica_fails", 1, 0, 2),
        ("replica_is_back", 0, 4, 0),
        ("replica_is_back", 1, 0, 0),
    ]
    assert [row.replica for row in run.requests] == [0] * 4


def test_the_next_request_is_at_home_again() -> None:
    down = ReplicaFailure(1, 150 * MS, 150 * MS, 160 * MS)
    run = run_virtual(two_replicas(down, requests=2))
    assert [row.replica for row in run.requests if row.device % 2] == [0, 1, 0, 1]


def test_what_waits_at_the_end_of_the_run_is_censored() -> None:
    plan = two_replicas(*(ReplicaFailure(each, 150 * MS, 150 * MS) for each in (0, 1)))
    run = run_virtual(replace(plan, until_ns=1000 * MS))
    assert [row.reason for row in run.requests] == ["censored"] * 4
    late = replace(device(9, arrivals_ns=(200 * MS,)), replica=1)
    run = run_virtual(replace(plan, devices=(late,), until_ns=1000 * MS))
    (row,) = run.requests
    assert (row.reason, row.tokens, row.arrival_ns) == ("censored", (), 200 * MS)
    assert run.incidents[-1].waited == 1


def test_stand_ins_are_near_and_light() -> None:
    own = dict(enumerate([0, 0, 1, 2, 3, 0]))
    homes = Homes(own, 4, Standing(regions=(0, 0, 1, 1)))
    homes.lose([0])
    assert [homes.of(each) for each in (0, 1, 5)] == [1, 1, 1]
    homes.lose([1])
    assert [homes.of(each) for each in (0, 1, 2, 5)] == [2, 3, 2, 3]
    homes.lose([2, 3])
    assert [homes.of(each) for each in own] == [None] * 6
    homes.gain(1)
    assert [homes.of(each) for each in own] == [1] * 6
    homes.leave(5)
    homes.gain(0)
    assert [homes.of(each) for each in range(5)] == [0, 0, 1, 1, 1]
    heavy = Homes(dict(enumerate([0] * 6)), 3, Standing(weights=(1.0, 1.0, 2.0)))
    heavy.lose([0])
    assert sorted(heavy.of(each) or 0 for each in range(6)) == [1, 1, 2, 2, 2, 2]


@settings(max_examples=12)
@given(st.data(), plans(), st.booleans())
def test_whatever_else_happens_every_request_ends_and_says_what_it_would_have(
    data: st.DataObject, plan: ArmPlan, shared: bool
) -> None:
    """Stalls, devices that ask again, that leave, and a fairly shared way out at the same time."""
    plan = placed(plan, data.draw(st.lists(st.integers(0, 2), min_size=1, max_size=7)), 3)
    calm = run_virtual(plan)
    most_ns = 2 * max(1, calm.end_ns)
    times = st.integers(0, most_ns)
    stalls = data.draw(st.lists(st.tuples(times, times, st.integers(0, 2)), max_size=2))
    leaving = data.draw(st.sets(st.sampled_from([each.device for each in plan.devices])))
    disturbed = replace(
        plan,
        failures=data.draw(failures(3, most_ns)),
        stalls=tuple(Stall(at, at + most + 1, replica=number) for at, most, number in stalls),
        departures=tuple(Departure(each, data.draw(times)) for each in sorted(leaving)),
        retry=data.draw(st.sampled_from((None, patient(2, timeout_ns=30 * MS)))),
        egress_discipline=Discipline.PS if shared else Discipline.FIFO,
    )
    run = run_virtual(disturbed, generated_hosts(2))
    assert digest(run_virtual(disturbed)) == digest(run)
    said = {(row.device, row.request): row.tokens for row in calm.requests}
    alone = {(row.device, row.request) for row in run.tokens if row.record.fallback}
    for row in run.requests:
        if (row.device, row.request) not in alone:
            assert row.tokens == said[row.device, row.request][: len(row.tokens)]
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)


def test_small_models_go_on_with_what_they_hold() -> None:
    """Real models: the cloud's memory is made anew, the device's is not, and no token changes."""
    devices = [
        replace(each, replica=each.device % 2) for each in fleet(devices=3, vocab_size=TINY_VOCAB)
    ]
    plan = replace(arm_plan(devices=devices, max_new_tokens=8), replicas=2)
    calm = run_virtual(plan, tiny_hosts(1))
    at_ns = calm.end_ns // 2
    disturbed = replace(plan, failures=(ReplicaFailure(0, at_ns, at_ns, at_ns + 100 * MS),))
    cloud, (shard,) = tiny_hosts(1)
    heard = Hearing(shard)
    run = run_virtual(disturbed, (cloud, [heard]))
    assert run.incidents[0].moved == 2
    assert output_digest(run.tokens) == output_digest(calm.tokens)
    forwards = [op for op in heard.ops if isinstance(op, EdgeForward)]
    assert sum(op.starts == (0, 0) for op in forwards) == 3
    released = [op.session for op in heard.ops if isinstance(op, Release)]
    assert len(released) == len(set(released))


class Hearing:
    """A shard's host, and what it is asked for."""

    def __init__(self, handle: Handle) -> None:
        self._handle = handle
        self.ops: list[object] = []

    def submit(self, method: str, *args: Any) -> Pending:
        self.ops += args[0] if method == "execute" else []
        return self._handle.submit(method, *args)

    def call(self, method: str, *args: Any) -> object:
        return self._handle.call(method, *args)


# --------------------------------------------------------------------------- devices


@settings(max_examples=20)
@given(st.data(), plans())
def test_whoever_leaves_takes_only_its_own_requests_along(
    data: st.DataObject, plan: ArmPlan
) -> None:
    whole = run_virtual(plan)
    leaving = data.draw(st.sets(st.sampled_from([each.device for each in plan.devices])))
    gone = {number: data.draw(st.integers(0, whole.end_ns)) for number in sorted(leaving)}
    run = run_virtual(
        replace(plan, departures=tuple(Departure(number, at_ns) for number, at_ns in gone.items()))
    )
    said = {(row.device, row.request): row.tokens for row in whole.requests}
    for row in run.requests:
        tokens = said[row.device, row.request]
        if row.reason == LEFT:
            assert row.finished_ns == gone[row.device] >= row.arrival_ns
            assert row.tokens == tokens[: len(row.tokens)]
            assert not row.failed
        else:
            assert row.tokens == tokens
            assert row.finished_ns <= gone.get(row.device, row.finished_ns)
    for each in plan.devices:
        count = sum(row.device == each.device for row in run.requests)
        assert count <= len(each.requests)
        assert count == len(each.requests) or each.device in gone
    left = sorted((at_ns, number) for number, at_ns in gone.items() if at_ns < run.end_ns)
    assert [(each.at_ns, each.subject) for each in run.incidents][: len(left)] == left


def test_what_the_cloud_keeps_of_who_left_goes_when_it_has_been_silent() -> None:
    plan = arm_plan(devices=[device(number, where=link(10 * MS, 0)) for number in range(2)])
    limits = replace(plan.limits, idle_timeout_ns=300 * MS)
    later = replace(device(2, arrivals_ns=(10**9,)), replica=0)
    plan = replace(
        plan,
        devices=(*plan.devices, later),
        limits=limits,
        departures=(Departure(0, 100 * MS),),
        max_new_tokens=6,
    )
    run = run_virtual(plan)
    assert [(row.device, row.reason) for row in run.requests] == [
        (0, LEFT), (1, "length"), (2, "length"),
    ]  # fmt: skip
    assert run.engine.timed_out_sessions == 1
