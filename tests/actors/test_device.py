"""A device's books: its link is metered, its requests are booked, whatever ends them."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.device import AccessLink, CloudEgress, DeviceRun, by_session, link_of
from actors.plan import DevicePlan, codec_terms, engine_spec, session_id, session_spec
from actors.records import ByteMeter
from costeer.errors import ConfigError
from costeer.token_record import STAGES, TokenRecord
from netsim.wire import wire_cost
from tests.actors.fleets import MS, VOCAB, arm_plan, device, link

PLAN = arm_plan()
TERMS = codec_terms(PLAN, VOCAB)


def started(plan: DevicePlan) -> DeviceRun:
    return DeviceRun(plan, link_of(plan, seed=1))


def record(session: int, position: int) -> TokenRecord:
    return TokenRecord(session, position, 40 + position, 5, (0,) * len(STAGES))


def test_a_link_meters_frames_and_acknowledgements() -> None:
    access = AccessLink(0, link_of(device(0, where=link(3 * MS, 0)), seed=1))
    assert access.up(10, 100).arrival_ns == 10 + 3 * MS
    assert access.down(20, 5_000, 4_000).arrival_ns == 20 + 3 * MS
    up, down = wire_cost(100), wire_cost(5_000)
    assert access.take() == ByteMeter(
        payload_bytes_down=4_000,
        frame_bytes_down=5_000,
        wire_bytes_down=down.bytes + up.ack_bytes,
        packets_down=down.packets,
        frame_bytes_up=100,
        wire_bytes_up=up.bytes + down.ack_bytes,
        packets_up=up.packets,
    )
    assert access.take() == ByteMeter()
    assert (access.frames_up, access.frames_down) == (1, 1)


def test_the_egress_is_shared() -> None:
    egress = CloudEgress(8_000_000)
    size = wire_cost(1_000).bytes
    assert egress.depart(0, 1_000) == size * 1_000
    assert egress.depart(0, 1_000) == 2 * size * 1_000
    assert egress.busy_ns == 2 * size * 1_000
    assert CloudEgress(0).depart(7, 1_000_000) == 7


def test_requests_come_one_after_the_other() -> None:
    run = started(device(3, 2, think_ns=50))
    assert run.next_intended_ns(0) == 50
    run.begin(PLAN, TERMS, 50)
    assert run.machine is not None
    run.access.up(60, 100)
    first = run.record(record(session_id(3, 0), 0), 70)
    run.access.up(80, 10)
    row = run.close("length", 90)
    assert (row.device, row.request, row.session, row.prompt_id) == (3, 0, 3 << 12, "row-30")
    assert (row.arrival_ns, row.finished_ns, row.tokens) == (50, 90, (40,))
    assert first.moved.frame_bytes_up == 100
    assert row.moved.frame_bytes_up == 110
    assert run.machine is None
    assert run.next_intended_ns(90) == 140
    # What comes for a session that is over belongs to nobody.
    run.access.down(95, 1_000, 900)
    run.begin(PLAN, TERMS, 140)
    assert run.close("length", 150).moved == ByteMeter()
    assert run.next_intended_ns(150) is None


def test_open_arrivals_may_lie_in_the_past() -> None:
    run = started(device(0, arrivals_ns=(5, 7, 90)))
    assert run.next_intended_ns(0) == 5
    run.begin(PLAN, TERMS, 5)
    run.close("eos", 50)
    assert run.next_intended_ns(50) == 7


def test_what_had_come_is_censored() -> None:
    run = started(device(0, arrivals_ns=(5, 7, 8, 90)))
    assert run.censor(4) == []
    run.begin(PLAN, TERMS, 5)
    run.record(record(0, 0), 6)
    rows = run.censor(60)
    assert [(row.request, row.arrival_ns, row.reason) for row in rows] == [
        (0, 5, "censored"),
        (1, 7, "censored"),
        (2, 8, "censored"),
    ]
    assert [row.tokens for row in rows] == [(40,), (), ()]
    assert {row.finished_ns for row in rows} == {60}
    assert not any(row.failed for row in rows)


def test_sessions_are_named_after_device_and_request() -> None:
    runs = [started(device(0, 2)), started(device(5))]
    assert {session: run.plan.device for session, run in by_session(runs).items()} == {
        0: 0,
        1: 0,
        5 << 12: 5,
    }
    with pytest.raises(ConfigError, match="4096 requests each"):
        session_id(0, 4096)
    with pytest.raises(ConfigError, match="1048576 devices"):
        session_id(1 << 20, 0)


def test_both_sides_get_the_same_terms() -> None:
    plan = replace(PLAN, eos=frozenset({3}))
    spec = session_spec(plan, device(2, 2), 1, TERMS)
    engine = engine_spec(plan, TERMS)
    assert spec.session == session_id(2, 1)
    assert (spec.codec_fingerprint, spec.ladder, spec.eos) == (
        engine.codec_fingerprint,
        engine.ladder,
        engine.eos,
    )
    assert engine.vocab_size == VOCAB
    assert plan.expected_tokens == 15
