"""Live runs that are stopped, or whose hosts fail: what is kept, and that nothing goes on."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

import pytest

from actors.cloud import CloudActor
from actors.edge import EdgeActor
from actors.port import Handle, LocalHandle
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.rows import RowCloudHost, RowEdgeHost
from costeer.cloud import CloudEngine
from costeer.errors import CosteerError, LocalProtocolError
from costeer.machine import Command, Event, FrameArrived
from tests.actors.fleets import (
    MS,
    VOCAB,
    Hosts,
    Kept,
    arm_plan,
    device,
    generated_hosts,
    link,
    recorder_of,
)
from tests.actors.live_runs import _no_thread_is_left, fleet, live, wait_s

__all__ = ["_no_thread_is_left"]


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
