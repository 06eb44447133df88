"""The device's half of a session, event by event."""

from __future__ import annotations

from dataclasses import replace

import pytest

from costeer.certificate import Choice
from costeer.edge import EdgeSession
from costeer.errors import CodecError, ConfigError, LocalProtocolError
from costeer.machine import (
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Emit,
    Finish,
    FrameArrived,
    Release,
    Send,
    Start,
    Timer,
    TimerFired,
)
from costeer.messages import (
    FrameKind,
    Open,
    Role,
    decode_open,
    decode_token,
    encode_error,
    encode_token,
)
from costeer.methods import METHODS
from costeer.session import SessionSpec
from tests.costeer.edge_bench import (
    LOCAL,
    SESSION,
    SPEC,
    STREAMED,
    SURE,
    UNSURE,
    Bench,
    finish,
    only,
    records,
    sent,
)

# --------------------------------------------------------------------------- the way of a token


def test_a_steered_session_opens_with_the_public_prompt_and_prefills_both_branches() -> None:
    bench = Bench()
    (opening,) = sent(bench.started)
    assert opening.kind is FrameKind.OPEN
    assert decode_open(opening.body) == Open(Role.LOGITS, 3, 0xC0DEC, (5, 6))
    assert bench.forward() == EdgeForward(SESSION, ((5, 6), (33, 5, 6)), (0, 0))


def test_a_certified_choice_goes_up_and_into_both_branches_at_the_same_time() -> None:
    bench = Bench()
    bench.done(bench.forward())
    commands = bench.choose(SURE)
    assert [type(command) for command in commands] == [Emit, Send, Compute]
    (token,) = sent(commands)
    assert (token.kind, token.position, token.round) == (FrameKind.TOKEN, 0, 0)
    assert decode_token(token.body) == 9
    assert only(commands, EdgeForward) == EdgeForward(SESSION, ((9,), (9,)), (2, 3))


def test_steering_waits_for_the_small_model() -> None:
    bench = Bench()
    decode = only(bench.frame(FrameKind.LOGITS), EdgeDecode)
    assert bench.done(decode) == []
    assert only(bench.done(bench.forward()), EdgeSteer) == EdgeSteer(SESSION, 0, 0)


def test_an_uncertified_choice_asks_for_more_and_names_no_token() -> None:
    bench = Bench()
    bench.done(bench.forward())
    (more,) = sent(bench.choose(UNSURE))
    assert (more.kind, more.position, more.round, more.body) == (FrameKind.MORE, 0, 1, b"")
    assert bench.frame(FrameKind.LOGITS, 0, 0) == []  # the first round again
    decode = only(bench.frame(FrameKind.LOGITS, 0, 1, b"more"), EdgeDecode)
    assert decode == EdgeDecode(SESSION, 0, 1, b"more")
    commands = bench.done(only(bench.done(decode), EdgeSteer), UNSURE)
    (record,) = records(commands)  # the ladder ends: accepted as it is
    assert (record.token, record.rounds, record.certified) == (8, 1, False)
    (token,) = sent(commands)
    assert (token.kind, token.round) == (FrameKind.TOKEN, 1)


@pytest.mark.parametrize(("last", "reason"), [(replace(SURE, token=0), "eos"), (SURE, "length")])
def test_the_last_token_closes_instead_of_going_up(last: Choice, reason: str) -> None:
    bench = Bench(replace(SPEC, max_new_tokens=1 if reason == "length" else 3))
    bench.done(bench.forward())
    commands = bench.choose(last)
    assert [frame.kind for frame in sent(commands)] == [FrameKind.CLOSE]
    assert Release(SESSION) in commands
    assert finish(commands) == Finish(SESSION, reason)
    assert bench.machine.finished


def test_a_resumed_session_continues_behind_its_chosen_tokens() -> None:
    bench = Bench(replace(SPEC, epoch=2, chosen=(9, 8)))
    (opening,) = sent(bench.started)
    assert (opening.epoch, opening.position) == (2, 2)
    assert decode_open(opening.body).chosen == (9, 8)
    assert bench.forward() == EdgeForward(SESSION, ((5, 6, 9, 8), (33, 5, 6, 9, 8)), (0, 0))
    assert bench.frame(FrameKind.LOGITS, 2, 0, epoch=1) == []
    assert only(bench.frame(FrameKind.LOGITS, 2, 0, epoch=2), EdgeDecode).position == 2


def test_a_small_model_with_tokens_of_its_own_is_given_its_own_prompts() -> None:
    bench = Bench(replace(SPEC, own=((71,), (72, 73)), epoch=1, chosen=(9,)))
    (opening,) = sent(bench.started)
    assert decode_open(opening.body) == Open(Role.LOGITS, 3, 0xC0DEC, (5, 6), (9,))
    forward = EdgeForward(SESSION, ((71, 9), (72, 73, 9)), (0, 0), prompts=(1, 2))
    assert bench.forward() == forward
    bench.done(forward)
    op = only(bench.frame(FrameKind.LOGITS, 1, 0, b"ranks", epoch=1), EdgeDecode)
    commands = bench.done(only(bench.done(op), EdgeSteer), replace(SURE, token=8))
    assert [decode_token(frame.body) for frame in sent(commands)] == [8]
    assert only(commands, EdgeForward) == EdgeForward(SESSION, ((8,), (8,)), (2, 3))


def test_a_local_session_never_touches_the_network() -> None:
    bench = Bench(LOCAL)
    commands = list(bench.started)
    for _ in range(3):
        op = only(commands, EdgeForward)
        assert len(op.tokens) == 1
        commands = bench.done(only(bench.done(op), EdgeChoose), SURE)
        assert sent(commands) == []
    assert finish(commands) == Finish(SESSION, "length")


def test_streamed_tokens_are_shown_in_order_and_once() -> None:
    bench = Bench(STREAMED)
    assert decode_open(sent(bench.started)[0].body).codec_fingerprint == 0
    assert bench.frame(FrameKind.STREAM, 1, 0, encode_token(11)) == []
    assert bench.frame(FrameKind.STREAM, 1, 0, encode_token(12)) == []  # the first one counts
    assert bench.frame(FrameKind.STREAM, 3, 0, encode_token(13)) == []  # beyond the limit
    commands = bench.frame(FrameKind.STREAM, 0, 0, encode_token(10))
    assert [record.token for record in records(commands)] == [10, 11]
    assert bench.frame(FrameKind.STREAM, 0, 0, encode_token(10)) == []
    commands = bench.frame(FrameKind.STREAM, 2, 0, encode_token(12))
    assert commands[-1] == Finish(SESSION, "length")
    assert sent(commands) == []  # the cloud has closed by itself


def test_all_methods_start_without_a_frame_they_do_not_need() -> None:
    for method in METHODS:
        commands = EdgeSession(replace(SPEC, method=method)).handle(Start(), 0)
        assert len(sent(commands)) == (method.cloud_prompt is not None)
        asks = [command for command in commands if isinstance(command, Compute)]
        assert len(asks) == bool(method.edge_branches)


# --------------------------------------------------------------------------- dropped frames


def test_repeated_late_and_foreign_frames_are_dropped() -> None:
    bench = Bench()
    bench.done(bench.forward())
    assert bench.frame(FrameKind.LOGITS, 0, 1) == []  # a round nobody asked for
    assert bench.frame(FrameKind.LOGITS, 1, 0) == []  # ahead
    assert bench.frame(FrameKind.LOGITS, 0, 0, epoch=1) == []
    assert bench.frame(FrameKind.LOGITS, 0, 0, session=8) == []
    assert bench.frame(FrameKind.ERROR, session=8) == []
    decode = only(bench.frame(FrameKind.LOGITS, 0, 0), EdgeDecode)
    assert bench.frame(FrameKind.LOGITS, 0, 0) == []
    bench.done(only(bench.done(decode), EdgeSteer), SURE)
    assert bench.frame(FrameKind.LOGITS, 0, 0) == []


def test_frames_before_the_start_and_after_the_end_are_dropped() -> None:
    bench = Bench(start=False)
    assert bench.frame(FrameKind.LOGITS) == []
    assert bench.machine.handle(FrameArrived(b"garbage", 1), 0) == []
    bench = Bench()
    bench.frame(FrameKind.ERROR, body=b"gone")
    assert bench.frame(FrameKind.LOGITS) == []
    assert bench.done(bench.forward()) == []


# --------------------------------------------------------------------------- failures


@pytest.mark.parametrize("spec", [SPEC, STREAMED], ids=["steered", "streamed"])
def test_garbage_ends_the_session_and_tells_the_cloud(spec: SessionSpec) -> None:
    bench = Bench(spec)
    commands = bench.machine.handle(FrameArrived(b"garbage" * 3, 1), bench.now_ns)
    assert [frame.kind for frame in sent(commands)] == [FrameKind.CLOSE]
    assert finish(commands).failed
    assert "checksum" in finish(commands).reason
    assert (Release(SESSION) in commands) == (spec is SPEC)


@pytest.mark.parametrize(
    ("spec", "kind"),
    [
        (SPEC, FrameKind.STREAM),
        (STREAMED, FrameKind.LOGITS),
        (LOCAL, FrameKind.LOGITS),
        (SPEC, FrameKind.TOKEN),
        (SPEC, FrameKind.OPEN),
        (STREAMED, FrameKind.MORE),
    ],
)
def test_a_frame_that_no_cloud_sends_ends_the_session(spec: SessionSpec, kind: FrameKind) -> None:
    bench = Bench(spec)
    commands = bench.frame(kind)
    assert finish(commands).reason == f"{kind.name} frame came down to {spec.method.name}"
    assert len(sent(commands)) == (spec is not LOCAL)


def test_a_stream_that_holds_no_token_ends_the_session() -> None:
    commands = Bench(STREAMED).frame(FrameKind.STREAM, body=b"\x80")
    assert finish(commands).failed


def test_the_clouds_error_is_passed_on_and_not_answered() -> None:
    commands = Bench().frame(FrameKind.ERROR, body=encode_error("prompt too long"))
    assert sent(commands) == []
    assert finish(commands) == Finish(SESSION, "cloud: prompt too long", failed=True)


@pytest.mark.parametrize("at", ["decode", "steer"])
def test_a_payload_that_no_codec_made_ends_the_session(at: str) -> None:
    bench = Bench()
    bench.done(bench.forward())
    op: EdgeOp = only(bench.frame(FrameKind.LOGITS), EdgeDecode)
    if at == "steer":
        op = only(bench.done(op), EdgeSteer)
    commands = bench.done(op, CodecError("payload of 3 bytes"))
    assert [frame.kind for frame in sent(commands)] == [FrameKind.CLOSE]
    assert finish(commands) == Finish(SESSION, "payload of 3 bytes", failed=True)


# --------------------------------------------------------------------------- our own bugs


def test_events_that_nobody_asked_for_are_our_own_bug() -> None:
    bench = Bench()
    forward = bench.forward()
    for event in (
        Start(),
        TimerFired(Timer.IDLE, SESSION),
        ComputeDone(EdgeSteer(SESSION, 0, 0), SURE, 1),
        ComputeDone(replace(forward, session=8), None, 1),
    ):
        with pytest.raises(LocalProtocolError, match="session 7: unexpected"):
            bench.machine.handle(event, bench.now_ns)
    bench.done(forward)
    with pytest.raises(LocalProtocolError, match="unexpected"):
        bench.done(forward)
    with pytest.raises(LocalProtocolError, match="unexpected"):
        Bench(start=False).done(forward)


@pytest.mark.parametrize("value", [None, 9, LocalProtocolError("bug"), ConfigError("typo")])
def test_a_choice_that_is_none_is_our_own_bug(value: object) -> None:
    bench = Bench()
    bench.done(bench.forward())
    with pytest.raises(LocalProtocolError, match="not a choice"):
        bench.choose(value)


@pytest.mark.parametrize("chosen", [(9, 9, 9), (9, 0)])
def test_a_session_with_nothing_left_to_choose_is_not_resumed(chosen: tuple[int, ...]) -> None:
    with pytest.raises(LocalProtocolError, match="nothing is left to resume"):
        EdgeSession(replace(SPEC, epoch=1, chosen=chosen))
