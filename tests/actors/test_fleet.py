"""Law 5 for the compiled way: event by event what `virtual` does, on equal values."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import actors.virtual
from actors.costs import Costs
from actors.fleet.driver import FleetDriver
from actors.fleet.machine_code import kept_compiler
from actors.fleet.outcomes import Outcome, Outcomes
from actors.plan import ArmPlan, Cell
from actors.records import ArmRun
from actors.values.null import NullConfig
from costeer.cloud import CloudEngine
from costeer.errors import ConfigError
from costeer.machine import Command, Event, Send
from costeer.messages import FrameKind, decode_frame
from costeer.methods import METHODS
from costeer.padding import NO_PADDING, PaddingConfig
from experiments.results import digest
from netsim.sharing import Discipline
from netsim.transport import IDEAL, Congestion, Transport
from netsim.wire import QUIC
from tests.actors.fleets import (
    LIMITS,
    MS,
    VOCAB,
    arm_plan,
    begin,
    costs_of,
    device,
    driver_of,
    generated_hosts,
    link,
    null_hosts,
    plans,
    recorder_of,
)

some = settings(max_examples=60, deadline=None)


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
                        assert frame.kind is not FrameKind.ERROR
                        if frame.kind is FrameKind.LOGITS:
                            sizes[frame.session, frame.position].append(command.payload_bytes)
                return commands

        return Weighing


def run_and_outcomes(plan: ArmPlan) -> tuple[ArmRun, Outcomes]:
    """A run of the virtual way on generated logits, and what its sessions said."""
    payloads = Payloads()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(actors.virtual, "CloudEngine", payloads.engine())
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
    plan: ArmPlan, outcomes: Outcomes, compiler: Callable[[Any], Any] = as_python
) -> ArmRun:
    terms = begin(plan, generated_hosts())
    recorder = recorder_of(plan)
    run = FleetDriver(plan, terms, costs_of(terms), outcomes, recorder, compiler=compiler).run()
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


@st.composite
def fleets(draw: st.DrawFn) -> ArmPlan:
    """Any small fleet over any transport, frames filled up or not."""
    plan = draw(plans())
    devices = tuple(
        replace(each, link=replace(each.link, transport=draw(transports))) for each in plan.devices
    )
    padding = draw(st.sampled_from((NO_PADDING, PaddingConfig(down_bytes=512, up_bytes=64))))
    return replace(plan, devices=devices, padding=padding)


@some
@given(fleets())
def test_fleet_equals_virtual_event_by_event(plan: ArmPlan) -> None:
    run, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes), run)


@pytest.mark.parametrize("method", [method.name for method in METHODS])
def test_machine_code_does_what_python_does_beyond_saturation(method: str) -> None:
    where = replace(link(jitter_ns=MS, loss=0.1), transport=Transport())
    plan = arm_plan(
        method,
        [device(number, 3, where=where, think_ns=number * MS) for number in range(12)],
        limits=replace(LIMITS, max_batch=2, kv_tokens=60, chunk_tokens=5),
        egress_bps=200_000,
        codec="top1-bf16-naive",
    )
    run, outcomes = run_and_outcomes(plan)
    same(run_fleet(plan, outcomes, kept_compiler()), run)


def test_constants_are_those_of_null_hosts() -> None:
    plan = arm_plan(max_new_tokens=40, eos=frozenset({47}))
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100)
    outcomes = Outcomes.constant(config, np.full(3, plan.max_new_tokens), plan.eos)
    run = driver_of(plan, null_hosts()).run()
    assert {request.reason for request in run.requests} == {"eos"}
    same(run_fleet(plan, outcomes), run)


def test_a_stopped_fleet_censors_what_had_come() -> None:
    plan = arm_plan(devices=[device(0, arrivals_ns=(0,)), device(1, arrivals_ns=(10**12,))])
    _, outcomes = run_and_outcomes(plan)
    terms = begin(plan, generated_hosts())
    recorder = recorder_of(plan)
    driver = FleetDriver(plan, terms, costs_of(terms), outcomes, recorder, compiler=as_python)
    run = driver.run(lambda: True)
    assert not run.complete
    assert [request.reason for request in run.requests] == ["censored"]


def refused(plan: ArmPlan, costs: Costs | None = None) -> str:
    terms = begin(plan, generated_hosts())
    outcomes = Outcomes.constant(
        NullConfig(vocab_size=VOCAB, first_token=0, period=9), np.full(3, 5), plan.eos
    )
    with pytest.raises(ConfigError) as caught:
        FleetDriver(
            plan, terms, costs or costs_of(terms), outcomes, recorder_of(plan), compiler=as_python
        ).run()
    return str(caught.value)


def test_what_cannot_be_expressed_is_refused() -> None:
    plan = arm_plan()
    shared = [replace(each, cell=Cell(0, Discipline.FIFO)) for each in plan.devices]
    assert "shared_by" in refused(replace(plan, devices=tuple(shared)))
    fair = replace(plan, egress_bps=10**6, egress_discipline=Discipline.PS)
    assert "egress_sharing" in refused(fair)
    assert "idle_timeout_s" in refused(replace(plan, limits=replace(LIMITS, idle_timeout_ns=1)))
    assert "max_new_tokens" in refused(replace(plan, limits=replace(LIMITS, max_context=8)))
