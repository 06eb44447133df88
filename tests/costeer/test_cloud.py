"""The cloud engine, event by event; every event is followed by ``validate``."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.cloud import CloudEngine, EngineLimits, EngineSpec
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    CloudTrace,
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EncodeItem,
    FrameArrived,
    Release,
    Selected,
    Send,
    SetTimer,
    Start,
    Timer,
    TimerFired,
)
from costeer.messages import (
    Frame,
    FrameKind,
    Open,
    Role,
    decode_error,
    decode_frame,
    decode_token,
    encode_frame,
    encode_open,
    encode_token,
)
from costeer.refinement import Ladder, RefineConfig
from tests.costeer.harness import validate
from tests.costeer.toy import EOS, FINGERPRINT, VOCAB

LIMITS = EngineLimits(
    max_batch=2,
    chunk_tokens=4,
    kv_tokens=40,
    max_context=30,
    max_sessions=3,
    max_waiting=2,
    idle_timeout_ns=1000,
)
LADDER = Ladder(4, VOCAB, RefineConfig(growth=2, max_rounds=2))


def open_frame(
    session: int = 1,
    epoch: int = 0,
    role: Role = Role.LOGITS,
    prompt: tuple[int, ...] = (5, 6),
    new: int = 4,
    chosen: tuple[int, ...] = (),
    fingerprint: int = FINGERPRINT,
) -> bytes:
    body = encode_open(Open(role, new, fingerprint, prompt, chosen))
    return encode_frame(Frame(FrameKind.OPEN, session, epoch, len(chosen), 0, body))


def frame(
    kind: FrameKind,
    session: int = 1,
    position: int = 0,
    round_: int = 0,
    body: bytes = b"",
    epoch: int = 0,
) -> bytes:
    return encode_frame(Frame(kind, session, epoch, position, round_, body))


class Bench:
    """One engine and a clock that moves by hand."""

    def __init__(self, limits: EngineLimits = LIMITS) -> None:
        self.engine = CloudEngine(EngineSpec(limits, VOCAB, EOS, FINGERPRINT, LADDER))
        self.now_ns = 10_000

    def tell(self, event: FrameArrived | TimerFired | ComputeDone) -> list[Command]:
        commands = self.engine.handle(event, self.now_ns)
        validate(self.engine)
        return commands

    def arrive(self, data: bytes) -> list[Command]:
        return self.tell(FrameArrived(data, 3))

    def begin(self) -> CloudForward | CloudSelect:
        """Fire the step's timer; return what it asks for."""
        return self.asked(self.tell(TimerFired(Timer.STEP, -1)))

    @staticmethod
    def asked(commands: list[Command]) -> CloudForward | CloudSelect:
        (op,) = (command.op for command in commands if isinstance(command, Compute))
        assert isinstance(op, CloudForward | CloudSelect)
        return op

    def end(self, op: CloudForward | CloudSelect, token: int = 9) -> list[Command]:
        """Let an operation finish; payloads name the ranks that they hold."""
        if isinstance(op, CloudForward):
            return self.tell(ComputeDone(op, None, 1))
        payloads = tuple(f"{item.first_rank}-{item.last_rank}".encode() for item in op.encode)
        return self.tell(ComputeDone(op, Selected(payloads, (token,) * len(op.choose)), 1))

    def step(self, token: int = 9) -> list[Command]:
        """One whole step: forward and select."""
        op = self.begin()
        if isinstance(op, CloudForward):
            op = self.asked(self.end(op))
        return self.end(op, token)


def frames(commands: list[Command]) -> list[Frame]:
    return [decode_frame(command.frame) for command in commands if isinstance(command, Send)]


def error(commands: list[Command]) -> str:
    (sent,) = frames(commands)
    assert sent.kind is FrameKind.ERROR
    return decode_error(sent.body)


def timers(commands: list[Command]) -> list[SetTimer]:
    return [command for command in commands if isinstance(command, SetTimer)]


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
    assert bench.engine._sessions[1].epoch == 1
    # The old epoch's frames are ignored.
    assert bench.arrive(frame(FrameKind.TOKEN, body=encode_token(9))) == []
    assert bench.arrive(frame(FrameKind.MORE, round_=1)) == []
    assert bench.arrive(frame(FrameKind.CLOSE)) == []
    assert bench.arrive(open_frame(1)) == []
    assert bench.engine._sessions[1].epoch == 1
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


@pytest.mark.parametrize("name", [name for name in EngineLimits.__slots__ if name != "max_waiting"])
def test_limits_with_which_nothing_is_served_are_refused(name: str) -> None:
    with pytest.raises(ConfigError, match=f"engine: {name} must be at least 1, not 0"):
        replace(LIMITS, **{name: 0})
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
