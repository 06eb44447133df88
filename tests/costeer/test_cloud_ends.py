"""The cloud engine, event by event: how sessions end, our own bugs, hostile devices."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.cloud import EngineLimits
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EncodeItem,
    Release,
    Selected,
    SetTimer,
    Start,
    Timer,
    TimerFired,
)
from costeer.messages import (
    FrameKind,
    Role,
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
from tests.costeer.invariants import validate
from tests.costeer.toy import FINGERPRINT, VOCAB

# --------------------------------------------------------------------------- ends


@pytest.mark.parametrize("during", ["forward", "select"])
def test_a_close_during_a_step_frees_after_it(during: str) -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.arrive(open_frame(2))
    op = bench.begin()
    if during == "select":
        op = bench.asked(bench.end(op))
    assert bench.arrive(frame(FrameKind.CLOSE, 1)) == []
    assert bench.arrive(frame(FrameKind.CLOSE, 1)) == []  # again
    assert bench.engine.open_sessions == 2
    assert bench.engine.reserved_tokens == 12
    commands = bench.end(op)
    assert commands[0] == Release(1)
    if during == "forward":
        select = bench.asked(commands)
        assert select == CloudSelect((EncodeItem(2, 0, 0, 4),), ())
        commands = bench.end(select)
    assert [sent.session for sent in frames(commands)] == [2]
    assert bench.engine.reserved_tokens == 6


def test_a_close_between_timer_and_step_leaves_an_empty_step() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    assert bench.arrive(frame(FrameKind.CLOSE, 1)) == [Release(1)]
    assert bench.tell(TimerFired(Timer.STEP, -1)) == []
    bench.arrive(open_frame(2))
    assert isinstance(bench.begin(), CloudForward)


def test_a_close_that_overtook_its_open_is_remembered() -> None:
    bench = Bench()
    assert bench.arrive(frame(FrameKind.CLOSE, 1, epoch=1)) == []
    assert bench.arrive(open_frame(1, epoch=1)) == []
    assert bench.engine.open_sessions == 0
    # It ends the earlier epoch as well, and no other session.
    bench.arrive(open_frame(2))
    bench.arrive(open_frame(3))
    assert bench.arrive(frame(FrameKind.CLOSE, 2, epoch=4)) == [Release(2)]
    assert bench.arrive(open_frame(2, epoch=4)) == []
    assert bench.engine.open_sessions == 1


def test_what_is_over_stays_over() -> None:
    bench = Bench()
    bench.arrive(open_frame(1, epoch=3))
    bench.arrive(frame(FrameKind.CLOSE, 1, epoch=3))
    for epoch in range(4):
        assert bench.arrive(open_frame(1, epoch=epoch)) == []
        assert bench.arrive(frame(FrameKind.CLOSE, 1, epoch=epoch)) == []
    assert bench.engine.open_sessions == 0


@pytest.mark.parametrize("state", ["waiting", "ready", "forward", "select", "away", "refining"])
def test_a_newer_epoch_replaces_an_older_one_in_any_state(state: str) -> None:
    bench = Bench(replace(LIMITS, max_sessions=1) if state == "waiting" else LIMITS)
    if state == "waiting":
        bench.arrive(open_frame(9))
    bench.arrive(open_frame(1))
    op = None
    if state in {"forward", "select"}:
        op = bench.begin()
        if state == "select":
            op = bench.asked(bench.end(op))
    if state in {"away", "refining"}:
        bench.step()
    if state == "refining":
        bench.arrive(frame(FrameKind.MORE, round_=1))
    commands = bench.arrive(open_frame(1, epoch=1, chosen=(9,)))
    assert (Release(1) in commands) == (state in {"ready", "away", "refining"})
    assert bench.engine._population._sessions[1].epoch == 1
    # The old epoch's frames are ignored.
    assert bench.arrive(frame(FrameKind.TOKEN, body=encode_token(9))) == []
    assert bench.arrive(frame(FrameKind.MORE, round_=1)) == []
    assert bench.arrive(frame(FrameKind.CLOSE)) == []
    assert bench.arrive(open_frame(1)) == []
    assert bench.engine._population._sessions[1].epoch == 1
    if op is not None:
        # The slot is released before the new epoch's first row.
        commands = bench.end(op)
        assert commands[0] == Release(1)
        assert frames(commands) == []
    if state == "waiting":
        bench.arrive(frame(FrameKind.CLOSE, 9))
    forward = bench.begin()
    assert forward == CloudForward((CloudRow(1, (5, 6, 9), 0),))
    (logits,) = frames(bench.end(bench.asked(bench.end(forward))))
    assert (logits.epoch, logits.position) == (1, 1)
    bench.arrive(frame(FrameKind.CLOSE, epoch=1))
    assert bench.engine.open_sessions == 0
    assert bench.arrive(open_frame(1, epoch=1)) == []


def test_a_silent_device_is_dropped_and_told() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.now_ns += 300
    bench.step()
    bench.now_ns += 700  # the timer of OPEN: the answer is 700 ns old
    (again,) = timers(bench.tell(TimerFired(Timer.IDLE, 1)))
    assert again == SetTimer(bench.now_ns + 300, Timer.IDLE, 1)
    bench.now_ns += 300
    commands = bench.tell(TimerFired(Timer.IDLE, 1))
    assert error(commands) == "no word from the device for 1e-06 s"
    assert commands[-1] == Release(1)
    assert bench.engine.counters.timed_out_sessions == 1
    assert bench.engine.open_sessions == 0
    assert bench.tell(TimerFired(Timer.IDLE, 1)) == []


def test_a_session_that_waits_for_the_cloud_is_not_silent() -> None:
    bench = Bench(replace(LIMITS, max_sessions=1))
    bench.arrive(open_frame(1))
    bench.arrive(open_frame(2))
    bench.begin()
    bench.now_ns += 5000
    for session in (1, 2):
        (again,) = timers(bench.tell(TimerFired(Timer.IDLE, session)))
        assert again == SetTimer(bench.now_ns + 1000, Timer.IDLE, session)


def test_a_timer_of_an_earlier_epoch_starts_no_second_chain() -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    bench.now_ns += 500
    bench.arrive(open_frame(1, epoch=1))
    bench.now_ns += 500
    assert timers(bench.tell(TimerFired(Timer.IDLE, 1))) == []
    bench.now_ns += 500
    assert len(timers(bench.tell(TimerFired(Timer.IDLE, 1)))) == 1


# --------------------------------------------------------------------------- our own bugs


def test_events_that_nobody_asked_for_are_our_own_bug() -> None:
    bench = Bench()
    nothing = CloudForward((CloudRow(1, (5, 6), 0),))
    for event in (
        Start(),
        TimerFired(Timer.STEP, -1),
        ComputeDone(nothing, None, 1),
        ComputeDone(EdgeChoose(1, 0), None, 1),
    ):
        with pytest.raises(LocalProtocolError, match="cloud engine: unexpected"):
            bench.engine.handle(event, bench.now_ns)
    bench.arrive(open_frame(1))
    forward = bench.begin()
    with pytest.raises(LocalProtocolError, match="unexpected"):
        bench.engine.handle(TimerFired(Timer.STEP, -1), bench.now_ns)
    select = bench.asked(bench.end(forward))
    with pytest.raises(LocalProtocolError, match="unexpected"):
        bench.engine.handle(ComputeDone(forward, None, 1), bench.now_ns)
    assert bench.end(select)


@pytest.mark.parametrize("value", [None, Selected((), ()), Selected((b"x",), (1,))])
def test_a_select_that_does_not_answer_is_our_own_bug(value: object) -> None:
    bench = Bench()
    bench.arrive(open_frame(1))
    select = bench.asked(bench.end(bench.begin()))
    with pytest.raises(LocalProtocolError, match="cloud engine"):
        bench.engine.handle(ComputeDone(select, value, 1), bench.now_ns)


@pytest.mark.parametrize("name", sorted({*EngineLimits.__slots__} - {"max_waiting", "preempts"}))
def test_limits_with_which_nothing_is_served_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"engine: {name} must be at least 1, not 0"):
        replace(LIMITS, **{name: 0})  # type: ignore[arg-type] # each of them is a number
    with pytest.raises(ConfigError, match="max_waiting"):
        replace(LIMITS, max_waiting=-1)


# --------------------------------------------------------------------------- hostile devices

# Mostly what an honest device could send at some other moment.
_ids = st.integers(1, 3)
_epochs = st.sampled_from([0, 0, 0, 1, 2])
_tokens = st.integers(0, VOCAB - 1) | st.integers(0, VOCAB)
_hostile_opens = st.builds(
    open_frame,
    _ids,
    _epochs,
    st.sampled_from(Role),
    st.lists(_tokens, min_size=1, max_size=12).map(tuple),
    st.integers(0, 5),
    st.lists(_tokens, max_size=3).map(tuple),
    st.sampled_from([FINGERPRINT] * 4 + [1]),
)
_hostile_frames = st.builds(
    lambda kind, session, position, round_, token, epoch: frame(
        kind,
        session,
        position,
        round_,
        b"" if kind in {FrameKind.MORE, FrameKind.CLOSE} else encode_token(token),
        epoch,
    ),
    st.sampled_from([FrameKind.TOKEN] * 4 + [FrameKind.MORE] * 4 + list(FrameKind)),
    _ids,
    st.sampled_from([0, 0, 0, 1, 2]),
    st.sampled_from([0, 0, 1, 2]),
    _tokens,
    _epochs,
)
_actions = st.lists(
    st.one_of(
        st.just("go"), st.just("go"), st.just("wait"), _hostile_opens, _hostile_frames, st.binary()
    ),
    max_size=60,
)


@settings(max_examples=150)
@given(_actions, st.integers(1, 3), st.integers(1, 5), st.integers(1, 3))
def test_whatever_comes_up_the_engine_keeps_its_rules(
    actions: list[str | bytes], max_batch: int, chunk_tokens: int, max_sessions: int
) -> None:
    bench = Bench(
        replace(LIMITS, max_batch=max_batch, chunk_tokens=chunk_tokens, max_sessions=max_sessions)
    )
    running: list[CloudForward | CloudSelect] = []
    pending: list[SetTimer] = []

    def take(commands: list[Command]) -> None:
        pending.extend(timers(commands))
        running.extend(
            command.op
            for command in commands
            if isinstance(command, Compute) and isinstance(command.op, CloudForward | CloudSelect)
        )
        assert len(running) <= 1

    def go() -> None:
        """Let the next thing happen that the engine waits for."""
        due = min(pending, key=lambda timer: timer.at_ns, default=None)
        if running:
            take(bench.end(running.pop()))
        elif due is not None:
            pending.remove(due)
            bench.now_ns = max(bench.now_ns, due.at_ns)
            take(bench.tell(TimerFired(due.timer, due.session)))

    for action in actions:
        if action == "go":
            go()
        elif action == "wait":
            bench.now_ns += 100
        elif isinstance(action, bytes):
            take(bench.arrive(action))
    for _ in range(500):
        go()
    assert not running
    assert not pending
    assert bench.engine.open_sessions == bench.engine.reserved_tokens == 0


# --------------------------------------------------------------------------- a device that is gone


@pytest.mark.parametrize("stage", ["waiting", "ready", "forward", "away", "over", "unknown"])
def test_a_session_that_is_abandoned_leaves_nothing(stage: str) -> None:
    bench = Bench()
    bench.arrive(open_frame(2))
    if stage == "waiting":
        bench.arrive(open_frame(3, prompt=tuple(range(26))))  # leaves no memory for more
    if stage != "unknown":
        bench.arrive(open_frame(1))
    op = bench.begin() if stage in {"forward", "away"} else None
    if stage == "away" and op is not None:
        bench.end(bench.asked(bench.end(op)))
        op = None
    if stage == "over":
        bench.arrive(frame(FrameKind.CLOSE, 1))
    commands = bench.engine.abandon(1, bench.now_ns)
    validate(bench.engine)
    assert (Release(1) in commands) == (stage in {"ready", "away"})
    if op is not None:
        assert Release(1) in bench.end(op)
    # Its epochs are forgotten: the same one may come again.
    assert isinstance(bench.arrive(open_frame(1))[0], SetTimer)


def test_what_an_abandoned_session_held_goes_to_one_that_waited() -> None:
    bench = Bench()
    bench.arrive(open_frame(1, prompt=tuple(range(26))))
    bench.arrive(open_frame(2, prompt=tuple(range(26))))
    assert bench.begin() == CloudForward((CloudRow(1, (0, 1, 2, 3), 0),))
    forward = CloudForward((CloudRow(1, (0, 1, 2, 3), 0),))
    assert bench.engine.abandon(1, bench.now_ns) == []
    bench.end(forward)
    assert bench.begin() == CloudForward((CloudRow(2, (0, 1, 2, 3), 0),))
