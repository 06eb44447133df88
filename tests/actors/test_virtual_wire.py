"""What a simulated run puts on the links: law 4, and the books of its bytes."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

import pytest
from hypothesis import given, settings

import actors.virtual.replica
from actors.plan import ArmPlan
from costeer.cloud import CloudEngine
from costeer.endpoint import Endpoint
from costeer.machine import Command, Event, Send
from costeer.messages import FrameKind, decode_frame, decode_open, decode_token
from costeer.methods import METHODS, CloudRole
from tests.actors.fleets import (
    PRIVATE,
    arm_plan,
    device,
    link,
    plans,
    run_virtual,
)

few = settings(max_examples=20)


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
