"""What a simulated run leaves that is stopped, or in which something of ours fails."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings

import actors.virtual.replica
from actors.plan import ArmPlan
from costeer.cloud import CloudEngine
from costeer.errors import LocalProtocolError
from costeer.machine import Command, Event, Send
from tests.actors.fleets import (
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
