"""Hosts as Ray actors: the same rules and the same digests as in this process."""

from __future__ import annotations

import gc
import os
import signal
import threading
from collections.abc import Iterator
from dataclasses import replace

import pytest
import ray

from actors.live.driver import run_live
from actors.port import Handle, HostDiedError
from cluster.handle import Seat
from cluster.ray_port import RayPort, _enter
from cluster.supervised import SupervisedHandle
from costeer.errors import CodecError, ConfigError
from costeer.methods import CloudRole
from experiments.bench import cluster as bench
from experiments.hosting import start_hosts
from experiments.results import digest, output_digest
from tests.actors.fleets import (
    MS,
    Hosts,
    Kept,
    arm_plan,
    begin,
    device,
    generated_hosts,
    link,
    recorder_of,
    run_virtual,
)

pytestmark = pytest.mark.ray

DEVICES = [device(number, where=link(2 * MS, jitter_ns=MS)) for number in range(4)]


@pytest.fixture(scope="module")
def port() -> Iterator[RayPort]:
    entered = RayPort("local", min_cpus=6)
    yield entered
    entered.close()
    assert not ray.is_initialized()


@pytest.fixture(scope="module")
def hosts(port: RayPort) -> Hosts:
    return generated_hosts(2, port)


class Host:
    """Says, fails and asks others."""

    def __init__(self, first: str) -> None:
        if not first:
            raise ConfigError("host: needs a first word; give one")
        self.said = [first]

    def say(self, word: str) -> list[str]:
        self.said.append(word)
        return list(self.said)

    def fail(self, kind: str) -> None:
        raise {"config": ConfigError, "codec": CodecError, "value": ValueError}[kind]("as asked")

    def searches(self, circles: int) -> int:
        """How often everything is searched for circles while so many are made and let go."""
        before = int(gc.get_stats()[-1]["collections"])
        for _ in range(circles):
            circle: list[object] = []
            circle.append(circle)
        return int(gc.get_stats()[-1]["collections"]) - before

    def ask(self, other: Handle, method: str, word: str) -> object:
        return other.call(method, word)

    def die(self) -> None:
        os._exit(1)


@pytest.fixture(scope="module")
def host(port: RayPort) -> Handle:
    return port.start(Host, "a", threads=2)


@pytest.mark.parametrize("method", ["costeer", "slm_with"])
def test_the_digest_is_that_of_this_process(hosts: Hosts, method: str) -> None:
    plan = arm_plan(method, DEVICES)
    assert digest(run_virtual(plan, hosts)) == digest(run_virtual(plan))


@pytest.mark.parametrize("method", ["costeer", "llm_with"])
def test_a_live_run_chooses_the_same_tokens(hosts: Hosts, method: str) -> None:
    plan = arm_plan(method, DEVICES)
    assert plan.arm.method.cloud is not CloudRole.ABSENT
    terms = begin(plan, hosts)
    run = run_live(plan, terms, (hosts[0],), hosts[1], recorder_of(plan), wait_s)
    assert run.complete
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)


def wait_s(_: float) -> None:
    threading.Event().wait(0.02)


def test_errors_arrive_as_what_they_are(host: Handle, port: RayPort) -> None:
    for kind, wanted in [("config", ConfigError), ("codec", CodecError), ("value", ValueError)]:
        pending = host.submit("fail", kind)
        with pytest.raises(wanted, match=r"^as asked$"):
            pending.result()
    assert [host.call("say", word) for word in "bc"] == [["a", "b"], ["a", "b", "c"]]
    # A handle may travel, and so may the error of whom it belongs to.
    assert host.call("ask", host, "say", "d") == ["a", "b", "c", "d"]
    with pytest.raises(CodecError, match="as asked"):
        host.call("ask", host, "fail", "codec")
    broken = port.start(Host, "")
    for _ in range(2):
        with pytest.raises(ConfigError, match="needs a first word"):
            broken.call("say", "b")
    assert isinstance(broken, SupervisedHandle)
    broken.seat.end()


def test_a_dead_host_is_named(port: RayPort) -> None:
    mortal = port.start(Host, "a")
    for call in ("die", "say"):
        with pytest.raises(HostDiedError, match=f"an actor died during {call}: .*actor") as died:
            mortal.call(call, *(["b"] if call == "say" else []))
        assert "\n" not in str(died.value)


def test_a_host_that_is_made_again_gives_ray_no_other_class(port: RayPort) -> None:
    mortal = port.start(Host, "a")
    before = classes_of_seats()
    for life in range(2):
        mortal.revive("as asked")
        assert mortal.seat.epoch == life + 1
    assert classes_of_seats() == before
    mortal.seat.end()


def classes_of_seats() -> set[int]:
    """What Ray has made of the class of all hosts, and keeps."""
    gc.collect()
    found, left = set[int](), [Seat]
    while left:
        derived = left.pop().__subclasses__()
        found |= set(map(id, derived))
        left += derived
    return found


def test_what_a_host_needs_all_its_life_is_not_searched_for_garbage(port: RayPort) -> None:
    host = port.start(Host, "a")
    searches = host.call("searches", 200_000)
    assert isinstance(searches, int)
    assert searches > 0
    assert isinstance(host, SupervisedHandle)
    host.seat.end()


@pytest.mark.parametrize("target", ["cloud", "shard", "both"])
def test_a_live_run_goes_on_when_hosts_are_killed(target: str, hosts: Hosts, port: RayPort) -> None:
    slow = [device(number, 2, where=link(5 * MS, 0)) for number in range(4)]
    plan = arm_plan("costeer", slow, max_new_tokens=30)
    terms = begin(plan, hosts)
    kept = Kept()
    recorder = recorder_of(plan, kept)
    doomed = [hosts[0]] * (target != "shard") + [hosts[1][0]] * (target != "cloud")
    before = len(port.recoveries)

    def wait(pause_s: float) -> None:
        if len(recorder.run.tokens) > 8:
            for host in doomed:
                assert isinstance(host, SupervisedHandle)
                os.kill(host.place()[1], signal.SIGKILL)
            doomed.clear()
        wait_s(pause_s)

    run = run_live(plan, terms, (hosts[0],), hosts[1], recorder, wait)
    assert run.complete
    assert len(port.recoveries) - before == (2 if target == "both" else 1)
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert sorted(kept.tokens, key=lambda row: (row.device, row.request, row.record.position)) == (
        run.tokens
    )
    # The pause is told as such, and no connection was set up anew.
    stood_still = [row for row in run.tokens if row.record.position and row.record.stages_ns[0]]
    assert 1 <= len(stood_still) <= 4
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)


def test_sessions_of_a_replica_that_is_killed_go_on_at_the_other_one(
    hosts: Hosts, port: RayPort
) -> None:
    other, _ = generated_hosts(0, port, threads=5)
    slow = [replace(device(n, 2, where=link(5 * MS, 0)), replica=n % 2) for n in range(4)]
    plan = replace(arm_plan("costeer", slow, max_new_tokens=30), replicas=2)
    terms = begin(plan, hosts)
    other.call("begin_arm", plan.arm)
    kept = Kept()
    recorder = recorder_of(plan, kept)
    doomed = [other]
    before = len(port.recoveries)

    def wait(pause_s: float) -> None:
        if doomed and any(row.device == 1 for row in recorder.run.tokens):
            host = doomed.pop()
            assert isinstance(host, SupervisedHandle)
            os.kill(host.place()[1], signal.SIGKILL)
        wait_s(pause_s)

    run = run_live(plan, terms, (hosts[0], other), hosts[1], recorder, wait)
    assert run.complete
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)
    assert len(kept.tokens) == len(run.tokens)
    assert all(row.replica == 0 for row in run.tokens if row.device % 2 == 0)
    assert next(row.replica for row in run.tokens if row.device == 1) == 1
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)
    assert len(port.recoveries) - before <= 1
    assert isinstance(other, SupervisedHandle)
    other.seat.end()


def test_what_an_exchange_costs_is_told_by_process(
    port: RayPort, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench, "_DEVICES", 6)
    monkeypatch.setattr(bench, "_TOKENS", 5)
    scenario = bench._scenario(1)
    rows = bench._measure(scenario, start_hosts(scenario, port))
    assert [row["case"].partition(": ")[2].split(",")[0] for row in rows] == [
        "exchange", "CPU of cloud", "CPU of driver", "CPU of raylet", "CPU of all shards", "bound",
        "where the driver is full; devices of 10 tokens/s",
    ]  # fmt: skip
    # A run as short as this may take less than a tick of any process's clock.
    whole = 1.0 if any(row.get("cpu_share") for row in rows) else 0.0
    assert sum(row.get("cpu_share", 0.0) for row in rows) == pytest.approx(whole)
    assert all(row["median_s"] >= 0 for row in rows)
    assert rows[0]["tokens_per_s"] > 0
    assert rows[0]["messages_per_token"] > 0
    assert rows[0]["nodes"] == 1
    assert rows[-1]["devices"] == pytest.approx(rows[-1]["tokens_per_s"] / 10)


def test_hosts_that_cannot_live_are_given_up(hosts: Hosts) -> None:
    # Users who never ask: no death has a token between it and the one before.
    plan = arm_plan("slm_with", [device(number, arrivals_ns=(10**15,)) for number in range(2)])
    terms = begin(plan, hosts)
    shard = hosts[1][0]
    assert isinstance(shard, SupervisedHandle)

    ended: set[int] = set()

    def wait(_: float) -> None:
        # Each once, also one that is being made again.
        if shard.seat.epoch not in ended:
            ended.add(shard.seat.epoch)
            shard.seat.end()
        wait_s(0)

    recorder = recorder_of(plan)
    with pytest.raises(HostDiedError):
        run_live(plan, terms, (), [shard], recorder, wait)
    assert len(ended) >= 5


@pytest.mark.usefixtures("port")
def test_one_cluster_at_a_time() -> None:
    with pytest.raises(ConfigError, match="in a Ray cluster already"):
        RayPort("local")


def test_where_nobody_listens_ray_is_not_asked() -> None:
    with pytest.raises(ConnectionRefusedError):
        _enter("127.0.0.1:1", 1)
