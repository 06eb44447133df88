"""The cloud engine, event by event: tokens, admission, refusals."""

from __future__ import annotations

from dataclasses import replace

import pytest

from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    CloudTrace,
    ComputeDone,
    EncodeItem,
    Release,
    Selected,
    Send,
    SetTimer,
    Timer,
)
from costeer.messages import (
    FrameKind,
    Role,
    decode_token,
    encode_token,
)
from tests.costeer.engine_bench import (
    LIMITS,
    Bench,
    error,
    frame,
    frames,
    open_frame,
    timers,
)
from tests.costeer.toy import VOCAB

# --------------------------------------------------------------------------- the way of a token


def test_a_steered_session_from_open_to_close() -> None:
    bench = Bench()
    commands = bench.arrive(open_frame())
    assert timers(commands) == [
        SetTimer(bench.now_ns + 1000, Timer.IDLE, 1),
        SetTimer(bench.now_ns, Timer.STEP),
    ]
    assert bench.engine.reserved_tokens == 6
    forward = bench.begin()
    assert forward == CloudForward((CloudRow(1, (5, 6), 0),))
    select = bench.asked(bench.end(forward))
    assert select == CloudSelect((EncodeItem(1, 0, 0, 4),), ())
    (logits,) = frames(bench.end(select))
    assert (logits.kind, logits.position, logits.round, logits.body) == (
        FrameKind.LOGITS,
        0,
        0,
        b"0-4",
    )
    bench.arrive(frame(FrameKind.TOKEN, body=encode_token(9)))
    assert bench.begin() == CloudForward((CloudRow(1, (9,), 2),))
    select = bench.asked(bench.end(CloudForward((CloudRow(1, (9,), 2),))))
    assert select == CloudSelect((EncodeItem(1, 1, 0, 4),), ())
    bench.end(select)
    assert bench.arrive(frame(FrameKind.CLOSE, position=1)) == [Release(1)]
    assert bench.engine.open_sessions == bench.engine.reserved_tokens == 0


def test_a_stream_is_closed_by_the_cloud_at_its_length_or_eos() -> None:
    for token, count in ((9, 4), (0, 1)):
        bench = Bench()
        bench.arrive(open_frame(role=Role.STREAM, fingerprint=0))
        for position in range(count):
            commands = bench.step(token)
            (sent,) = frames(commands)
            assert (sent.kind, sent.position, decode_token(sent.body)) == (
                FrameKind.STREAM,
                position,
                token,
            )
        assert commands[-1] == Release(1)
        assert bench.engine.open_sessions == 0


def test_more_is_answered_without_a_forward() -> None:
    bench = Bench()
    bench.arrive(open_frame())
    bench.step()
    bench.arrive(frame(FrameKind.MORE, round_=1))
    bench.arrive(frame(FrameKind.MORE, round_=1))  # again
    select = bench.begin()
    assert select == CloudSelect((EncodeItem(1, 0, 4, 8),), ())
    bench.end(select)
    bench.arrive(frame(FrameKind.MORE, round_=1))  # late
    bench.arrive(frame(FrameKind.MORE, round_=2))
    assert bench.begin() == CloudSelect((EncodeItem(1, 0, 8, VOCAB),), ())
    assert bench.engine.counters.dropped_frames == 2


def test_more_waits_for_the_step_that_runs() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.step()
    bench.arrive(open_frame(2))
    forward = bench.begin()
    assert timers(bench.arrive(frame(FrameKind.MORE, round_=1))) == []
    select = bench.asked(bench.end(forward))
    assert select == CloudSelect((EncodeItem(2, 0, 0, 4), EncodeItem(1, 0, 4, 8)), ())


def test_a_prompt_that_was_begun_keeps_its_place_before_newer_ones() -> None:
    bench = Bench()
    bench.arrive(open_frame(1, prompt=(1,) * 10))
    bench.arrive(open_frame(2, prompt=(2,) * 6))
    rows = []
    for _ in range(4):
        forward = bench.begin()
        assert isinstance(forward, CloudForward)
        rows.append([(row.session, len(row.tokens), row.start) for row in forward.rows])
        commands = bench.end(forward)
        if not timers(commands):
            bench.end(bench.asked(commands))
    assert rows == [[(1, 4, 0)], [(1, 4, 4)], [(1, 2, 8), (2, 2, 0)], [(2, 4, 2)]]


def test_the_trace_says_where_the_time_went() -> None:
    bench = Bench()
    bench.arrive(open_frame(prompt=(1,) * 6))
    for _ in range(2):  # two chunks, 10 ns before each and 20 in it
        bench.now_ns += 10
        forward = bench.begin()
        bench.now_ns += 20
        commands = bench.tell(ComputeDone(forward, None, 20))
    bench.now_ns += 7
    done = ComputeDone(bench.asked(commands), Selected((b"x",), ()), 5)
    sent = next(command for command in bench.tell(done) if isinstance(command, Send))
    assert sent.trace == CloudTrace(uplink_ns=3, queue_ns=22, compute_ns=40, select_ns=5)
    assert sent.payload_bytes == 1


def test_only_a_streams_first_token_waited_for_the_uplink() -> None:
    bench = Bench()
    bench.arrive(open_frame(role=Role.STREAM))
    traces = [
        command.trace
        for _ in range(2)
        for command in bench.step()
        if isinstance(command, Send) and command.trace is not None
    ]
    assert [trace.uplink_ns for trace in traces] == [3, 0]


def test_a_resumed_session_is_prefilled_with_what_was_chosen() -> None:
    bench = Bench()
    bench.arrive(open_frame(epoch=1, chosen=(7, 8)))
    assert bench.engine.reserved_tokens == 6
    forward = bench.begin()
    assert forward == CloudForward((CloudRow(1, (5, 6, 7, 8), 0),))
    select = bench.asked(bench.end(forward))
    assert select == CloudSelect((EncodeItem(1, 2, 0, 4),), ())


# --------------------------------------------------------------------------- admission


def test_admission_is_first_come_first_served() -> None:
    bench = Bench(replace(LIMITS, max_sessions=2))
    for session, length in ((1, 26), (2, 20), (3, 1)):
        bench.arrive(open_frame(session, prompt=(1,) * length))
    # Session 3 would fit, but 2 came first.
    assert bench.engine.reserved_tokens == 30
    assert bench.engine.open_sessions == 3
    commands = bench.arrive(frame(FrameKind.CLOSE, 1))
    assert Release(1) in commands
    assert bench.engine.reserved_tokens == 24 + 5


def test_who_leaves_the_queue_lets_those_behind_in() -> None:
    bench = Bench()
    for session, length in ((1, 20), (2, 20), (3, 1)):
        bench.arrive(open_frame(session, prompt=(1,) * length))
    assert bench.engine.reserved_tokens == 24
    assert bench.arrive(frame(FrameKind.CLOSE, 2)) == []  # it held nothing to release
    assert bench.engine.reserved_tokens == 24 + 5


def test_the_waiting_queue_is_bounded() -> None:
    bench = Bench(replace(LIMITS, max_sessions=1))
    for session in (1, 2, 3):
        bench.arrive(open_frame(session))
    refused = bench.arrive(open_frame(4))
    assert error(refused) == "2 sessions wait already; try later"
    assert bench.engine.open_sessions == 3
    # The one that comes again makes room for itself.
    assert frames(bench.arrive(open_frame(2, epoch=1))) == []
    assert [one.session for one in bench.engine._memory.waiting] == [3, 2]


def test_without_a_queue_what_fits_is_served_and_the_rest_refused() -> None:
    bench = Bench(replace(LIMITS, max_waiting=0))
    bench.arrive(open_frame(1, prompt=(1,) * 20))
    assert error(bench.arrive(open_frame(2, prompt=(1,) * 20))).startswith("0 sessions wait")
    assert frames(bench.arrive(open_frame(3))) == []
    assert bench.engine.reserved_tokens == 24 + 6


# --------------------------------------------------------------------------- refusals


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (open_frame(2, fingerprint=1), "give both sides the same codec configuration"),
        (open_frame(2, prompt=(1,) * 27), "prompt of 27 + 4 new tokens exceeds the context of 30"),
        (open_frame(2, new=2**32 - 1), "exceeds the context of 30"),
        (open_frame(2, prompt=(1, VOCAB)), f"an id is not below {VOCAB}"),
        (open_frame(2, chosen=(VOCAB,)), f"an id is not below {VOCAB}"),
        (open_frame(2, chosen=(1, 2, 3, 4)), "already chosen"),
        (open_frame(2, new=0), "already chosen"),
        (frame(FrameKind.OPEN, 2, body=b"\x00\x05"), "number at byte 2 does not end"),
        (frame(FrameKind.OPEN, 2), "no role"),
    ],
)
def test_an_open_that_breaks_a_rule_is_refused_and_hurts_nobody(data: bytes, why: str) -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    commands = bench.arrive(data)
    assert why in error(commands)
    assert len(commands) == 1
    assert bench.engine.counters.refused_sessions == 1
    assert bench.engine.open_sessions == 1
    # The epoch is used up: what comes late does not open a session that its device gave up.
    assert bench.arrive(data) == []
    assert bench.arrive(open_frame(2)) == []
    assert bench.engine.open_sessions == 1
    bench.arrive(open_frame(2, epoch=1))
    assert bench.engine.open_sessions == 2


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (frame(FrameKind.TOKEN, body=encode_token(VOCAB)), f"id {VOCAB} is not below {VOCAB}"),
        (frame(FrameKind.TOKEN, body=b"\x80"), "does not end"),
        (frame(FrameKind.TOKEN, body=b""), "does not end"),
        (frame(FrameKind.LOGITS), "LOGITS frame came up"),
        (frame(FrameKind.STREAM), "STREAM frame came up"),
        (frame(FrameKind.ERROR), "ERROR frame came up"),
    ],
)
def test_a_session_that_breaks_a_rule_loses_its_slot(data: bytes, why: str) -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.step()
    commands = bench.arrive(data)
    assert why in error(commands)
    assert commands[-1] == Release(1)
    assert bench.engine.open_sessions == bench.engine.reserved_tokens == 0
    assert bench.arrive(data) == []


def test_more_than_the_ladder_and_tokens_than_the_limit_are_refused() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.step()
    for round_ in (1, 2):
        bench.arrive(frame(FrameKind.MORE, round_=round_))
        bench.step()
    assert "beyond the ladder" in error(bench.arrive(frame(FrameKind.MORE, round_=3)))
    bench.arrive(open_frame(2, new=1))
    bench.step()
    late = frame(FrameKind.TOKEN, 2, body=encode_token(9))
    assert "more than 1 tokens" in error(bench.arrive(late))


def test_garbage_is_counted_and_ignored() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    for data in (b"", b"garbage", open_frame(2)[:-1], bytes(100)):
        assert bench.arrive(data) == []
    assert bench.arrive(frame(FrameKind.TOKEN, 77, body=encode_token(1))) == []
    assert bench.engine.counters.dropped_frames == 5
    assert bench.engine.open_sessions == 1


@pytest.mark.parametrize("stage", ["ready", "forward", "select"])
def test_an_answer_before_there_are_logits_is_dropped(stage: str) -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    op = bench.begin() if stage != "ready" else None
    if op is not None and stage == "select":
        op = bench.asked(bench.end(op))
    assert bench.arrive(frame(FrameKind.TOKEN, body=encode_token(9))) == []
    assert bench.arrive(frame(FrameKind.MORE, round_=1)) == []
    assert bench.engine.counters.dropped_frames == 2
    commands = bench.step() if op is None else bench.end(op)
    if stage == "forward":
        commands = bench.end(bench.asked(commands))
    assert [(sent.position, sent.round) for sent in frames(commands)] == [(0, 0)]


def test_frames_of_an_earlier_epoch_are_dropped_whatever_they_say() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.arrive(open_frame(1, epoch=1))
    bench.step()
    for late in (
        frame(FrameKind.TOKEN, body=encode_token(9)),
        frame(FrameKind.TOKEN, body=encode_token(VOCAB)),
        frame(FrameKind.MORE, round_=1),
        frame(FrameKind.LOGITS),
        frame(FrameKind.CLOSE),
        frame(FrameKind.TOKEN, body=encode_token(9), epoch=2),
    ):
        assert bench.arrive(late) == []
    assert bench.engine.counters.dropped_frames == 6
    assert bench.arrive(frame(FrameKind.MORE, round_=1, epoch=1)) != []


def test_token_of_another_position_or_round_is_dropped() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.step()
    for position, round_ in ((1, 0), (0, 1), (3, 0)):
        stray = frame(FrameKind.TOKEN, 1, position, round_, encode_token(9))
        assert bench.arrive(stray) == []
    assert bench.engine.counters.dropped_frames == 3
