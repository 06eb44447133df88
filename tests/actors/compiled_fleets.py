"""The virtual and the compiled way on the same small fleet and the same values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st

import actors.virtual.replica
from actors.fleet.driver import FleetDriver
from actors.fleet.outcomes import Outcome, Outcomes
from actors.plan import ArmPlan, Cell
from actors.records import ArmRun
from costeer.cloud import CloudEngine
from costeer.machine import Command, Event, Send
from costeer.messages import FrameKind, decode_frame
from costeer.methods import METHODS
from costeer.padding import NO_PADDING, PaddingConfig
from experiments.results import digest
from netsim.hardware import CostModel
from netsim.link import Bursts, Direction
from netsim.profiles import LinkProfile
from netsim.sharing import Discipline
from netsim.trace import RateTrace, make_trace
from netsim.transport import IDEAL, Congestion, Transport
from netsim.wire import QUIC
from tests.actors.fleets import (
    CLOUD_COST,
    MS,
    begin,
    costs_of,
    driver_of,
    generated_hosts,
    plans,
    recorder_of,
)


class Payloads:
    """Sizes of what an engine sends, by session and position, round after round."""

    def __init__(self) -> None:
        self.sizes: dict[tuple[int, int], list[int]] = defaultdict(list)

    def engine(self) -> type[CloudEngine]:
        sizes = self.sizes

        class Weighing(CloudEngine):
            def handle(self, event: Event, now_ns: int) -> list[Command]:
                commands = super().handle(event, now_ns)
                for command in commands:
                    if isinstance(command, Send):
                        frame = decode_frame(command.frame)
                        if frame.kind is FrameKind.LOGITS:
                            sizes[frame.session, frame.position].append(command.payload_bytes)
                return commands

        return Weighing


def run_and_outcomes(plan: ArmPlan) -> tuple[ArmRun, Outcomes]:
    """A run of the virtual way on generated logits to every session's end, and what they said."""
    plan = replace(plan, until_ns=0, limits=replace(plan.limits, max_waiting=10**6))
    payloads = Payloads()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(actors.virtual.replica, "CloudEngine", payloads.engine())
        run = driver_of(plan, generated_hosts()).run()
    said: dict[tuple[int, int], list[Outcome]] = defaultdict(list)
    for token in run.tokens:
        record = token.record
        sizes = tuple(payloads.sizes.get((record.session, record.position), (0,)))
        said[token.device, token.request].append(
            Outcome(record.token, sizes, record.certified, record.margin)
        )
    sessions = [
        said[device.device, number]
        for device in plan.devices
        for number in range(len(device.requests))
    ]
    return run, Outcomes.of_sessions(sessions)


def as_python(rule: Any) -> Any:
    """Rules run as they stand: the same functions, without a compiler's minute."""
    return rule


def run_fleet(
    plan: ArmPlan,
    outcomes: Outcomes,
    compiler: Callable[[Any], Any] = as_python,
    *,
    cloud_cost: CostModel = CLOUD_COST,
) -> ArmRun:
    terms = begin(plan, generated_hosts())
    costs = costs_of(terms, cloud=cloud_cost)
    run = FleetDriver(plan, terms, costs, outcomes, recorder_of(plan), compiler=compiler).run()
    assert run.complete
    return run


def same(one: ArmRun, other: ArmRun) -> None:
    assert one.tokens == other.tokens
    assert one.requests == other.requests
    assert one.end_ns == other.end_ns
    assert one.engine == other.engine
    assert one.egress_busy_ns == other.egress_busy_ns
    assert digest(one) == digest(other)


transports = st.sampled_from(
    (
        IDEAL,
        Transport(),
        Transport(setup_round_trips=2, initial_window=1),
        Transport(Congestion.PACED),
        Transport(ordered=False, wire=QUIC),
    )
)


_steps = st.lists(
    st.tuples(st.integers(1, 90_000), st.integers(1, 40).map(lambda each: each * 200_000)),
    min_size=1,
    max_size=3,
)


def _trace(steps: list[tuple[int, int]], offset_ns: int) -> RateTrace:
    return make_trace("made", steps).starting_at(offset_ns)


def traced(way: Direction, trace: RateTrace) -> Direction:
    return replace(way, trace=trace, rate_bps=trace.mean_bps)


@st.composite
def links(draw: st.DrawFn, of: LinkProfile) -> LinkProfile:
    """A link over any transport; its rates may follow traces, its losses come in bursts."""
    down, up = of.down, of.up
    if draw(st.integers(0, 3)) == 0:
        offset_ns = draw(st.integers(0, 50 * MS))
        down = traced(down, _trace(draw(_steps), offset_ns))
        if draw(st.booleans()):
            up = traced(up, replace(down.trace or _trace([(1, 1)], 0), name="up"))
    if draw(st.integers(0, 3)) == 0:
        bursts = Bursts(draw(st.integers(1, 60)) * MS, draw(st.integers(1, 30)) * MS, 0.5)
        down = replace(down, bursts=bursts)
        up = replace(up, bursts=draw(st.sampled_from((None, bursts))))
    buffer_bytes = draw(st.sampled_from((0, 0, 20_000)))
    down = replace(down, buffer_bytes=buffer_bytes)
    return replace(of, down=down, up=up, transport=draw(transports))


@st.composite
def fleets(draw: st.DrawFn, methods: Sequence[str] = tuple(m.name for m in METHODS)) -> ArmPlan:
    """Any small fleet over any link, frames filled up or not."""
    plan = draw(plans(methods))
    devices = tuple(replace(each, link=draw(links(each.link))) for each in plan.devices)
    padding = draw(st.sampled_from((NO_PADDING, PaddingConfig(down_bytes=512, up_bytes=64))))
    return replace(plan, devices=devices, padding=padding)


@st.composite
def crowds(draw: st.DrawFn, methods: Sequence[str] = tuple(m.name for m in METHODS)) -> ArmPlan:
    """Any small fleet whose sessions grow in a memory that holds few of them."""
    plan = draw(fleets(methods))
    tokens = draw(st.integers(3, 12))
    needs = [len(one.personal) + tokens for each in plan.devices for one in each.requests]
    memory = max(needs) + draw(st.integers(0, max(needs)))
    limits = replace(plan.limits, preempts=True, kv_tokens=memory)
    return replace(plan, max_new_tokens=tokens, eos=frozenset(), limits=limits)


@st.composite
def neighbours(draw: st.DrawFn, methods: Sequence[str] = tuple(m.name for m in METHODS)) -> ArmPlan:
    """Any small fleet whose devices share radio cells, the cloud's way out, or both."""
    return draw(sharing(draw(st.one_of(fleets(methods), crowds(methods)))))


@st.composite
def sharing(draw: st.DrawFn, plan: ArmPlan) -> ArmPlan:
    """The plan with devices that share radio cells, the cloud's way out, or both."""
    egress = draw(st.sampled_from(list(Discipline)))
    alike = draw(st.sampled_from(list(Discipline)))
    number = st.integers(-1, 2)
    devices = []
    for each in plan.devices:
        cell = draw(number)
        devices.append(replace(each, cell=None if cell < 0 else Cell(cell, alike)))
    return replace(
        plan,
        devices=tuple(devices),
        egress_discipline=egress,
        egress_bps=draw(st.sampled_from((0, 300_000, 2_000_000))),
    )
