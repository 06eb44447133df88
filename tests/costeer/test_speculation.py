"""Frames of drafting sessions, and what either side makes of frames that no honest peer sends."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.certificate import Choice
from costeer.draft_messages import (
    Row,
    Rows,
    decode_draft,
    decode_rows,
    decode_version,
    encode_draft,
    encode_rows,
    encode_version,
)
from costeer.drafting import DraftingSession
from costeer.errors import FrameError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    Command,
    Compute,
    ComputeDone,
    EdgeDecode,
    EdgeSteer,
    EncodeItem,
    Finish,
    FrameArrived,
    Send,
    Span,
    Start,
)
from costeer.messages import Frame, FrameKind, Role, decode_frame, encode_frame
from costeer.methods import method_named
from costeer.refinement import Ladder, RefineConfig
from costeer.serving import EngineLimits
from costeer.session import SessionSpec
from costeer.speculation import SpeculationConfig
from tests.costeer.engine_bench import LADDER, Bench, error, frame, frames, open_frame
from tests.costeer.harness import Chaos, World
from tests.costeer.toy import EOS, FINGERPRINT, SLM, VOCAB, ToyEdge, logits, ranked

numbers = st.integers(0, 2**32 - 1)
rows = st.builds(Row, st.binary(max_size=20), st.none() | st.floats(width=32, allow_nan=False))


# --------------------------------------------------------------------------- bodies


@given(st.lists(numbers, min_size=1, max_size=9).map(tuple))
def test_drafts_come_back(tokens: tuple[int, ...]) -> None:
    assert decode_draft(encode_draft(tokens)) == tokens


@given(numbers)
def test_versions_come_back(version: int) -> None:
    assert decode_version(encode_version(version)) == version


@given(numbers, st.lists(rows, min_size=1, max_size=5).map(tuple))
def test_rows_come_back(version: int, sent: tuple[Row, ...]) -> None:
    body = encode_rows(Rows(version, sent))
    if all(row.draft_logit is None or abs(row.draft_logit) < float("inf") for row in sent):
        assert decode_rows(body) == Rows(version, sent)
    else:
        with pytest.raises(FrameError, match="not finite"):
            decode_rows(body)


@given(st.binary(max_size=40))
def test_any_bytes_are_a_body_or_an_error(data: bytes) -> None:
    for decode in (decode_draft, decode_version, decode_rows):
        try:
            decode(data)
        except FrameError:
            continue


def test_empty_bodies_are_nobody_s() -> None:
    with pytest.raises(LocalProtocolError):
        encode_draft(())
    with pytest.raises(LocalProtocolError):
        encode_rows(Rows(1, ()))
    for decode, data in ((decode_draft, b""), (decode_rows, b"\1"), (decode_version, b"\1\2")):
        with pytest.raises(FrameError):
            decode(data)


# --------------------------------------------------------------------------- the cloud's half


def drafted(position: int, version: int, *tokens: int) -> bytes:
    return frame(FrameKind.DRAFT, 1, position, version, encode_draft(tokens))


def refine(position: int, round_: int, version: int) -> bytes:
    return frame(FrameKind.REFINE, 1, position, round_, encode_version(version))


def begun() -> Bench:
    """An engine whose session has been sent the logits of position 0."""
    bench = Bench()
    bench.arrive(open_frame(role=Role.DRAFTS, new=8))
    (sent,) = frames(bench.step())
    assert (sent.kind, sent.position, sent.round) == (FrameKind.ROWS, 0, 0)
    assert decode_rows(sent.body) == Rows(0, (Row(b"0-4"),))
    return bench


def test_a_draft_is_run_at_once_and_answered_for_every_position() -> None:
    bench = begun()
    bench.arrive(drafted(0, 1, 9, 8, 7))
    assert bench.begin() == CloudForward((CloudRow(1, (9, 8, 7), 2, Span(1, 3, 1)),))
    select = bench.asked(bench.end(CloudForward((CloudRow(1, (9, 8, 7), 2, Span(1, 3, 1)),))))
    assert select == CloudSelect(
        (EncodeItem(1, 1, 0, 4, 8), EncodeItem(1, 2, 0, 4, 7), EncodeItem(1, 3, 0, 4)), ()
    )
    (sent,) = frames(bench.end(select))
    assert (sent.position, decode_rows(sent.body).version) == (1, 1)
    assert len(decode_rows(sent.body).rows) == 3


def test_a_refuted_draft_costs_the_cache_behind_it_alone() -> None:
    bench = begun()
    bench.arrive(drafted(0, 1, 9, 8, 7))
    bench.step()
    bench.arrive(drafted(1, 2, 8, 5))
    assert bench.begin() == CloudForward((CloudRow(1, (5,), 4, Span(3, 1, 2)),))
    assert bench.engine.counters.drafts == 3
    assert bench.engine.counters.refuted_drafts == bench.engine.counters.wasted_tokens == 1


def test_a_text_that_is_rewritten_while_it_runs_is_not_answered() -> None:
    bench = begun()
    bench.arrive(drafted(0, 1, 9, 8, 7))
    forward = bench.begin()
    bench.arrive(drafted(0, 2, 6))
    assert frames(bench.end(forward)) == []
    assert bench.begin() == CloudForward((CloudRow(1, (6,), 2, Span(1, 1, 1)),))


def test_rows_that_were_rewritten_while_they_were_encoded_stay_at_home() -> None:
    bench = begun()
    bench.arrive(drafted(0, 1, 9, 8, 7))
    select = bench.asked(bench.end(bench.begin()))
    bench.arrive(drafted(0, 2, 9, 8, 3))
    (sent,) = frames(bench.end(select))
    assert [sent.position, len(decode_rows(sent.body).rows)] == [1, 2]
    assert bench.begin() == CloudForward((CloudRow(1, (3,), 4, Span(3, 1, 1)),))


def test_more_ranks_are_those_of_the_text_as_it_is() -> None:
    bench = begun()
    bench.arrive(drafted(0, 1, 9, 8))
    bench.step()
    bench.arrive(refine(2, 1, 1))
    bench.arrive(refine(2, 1, 1))
    assert bench.engine.counters.dropped_frames == 1
    select = bench.begin()
    assert select == CloudSelect((EncodeItem(1, 2, 4, 8),), ())
    (sent,) = frames(bench.end(select))
    assert (sent.position, sent.round, decode_rows(sent.body).version) == (2, 1, 1)
    bench.arrive(drafted(1, 2, 7))
    bench.step()
    bench.arrive(refine(2, 2, 1))
    assert bench.engine.counters.dropped_frames == 2, "that row belonged to version 1"


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (drafted(1, 1, 9), "chooses the token of position 1"),
        (drafted(0, 1, *range(1, 9)), "more than 8 tokens"),
        (drafted(0, 1, VOCAB), "not below"),
        (frame(FrameKind.DRAFT, 1, 0, 1), "no token"),
        (frame(FrameKind.TOKEN, 1, 0, 0, b"\1"), "TOKEN frame came up"),
        (frame(FrameKind.REFINE, 1, 0, 1), "does not end"),
    ],
)
def test_a_device_that_breaks_the_rules_is_told_so(data: bytes, reason: str) -> None:
    assert reason in error(begun().arrive(data))


def test_a_plain_session_sends_no_drafts() -> None:
    bench = Bench()
    bench.arrive(open_frame())
    bench.step()
    assert "DRAFT frame came up" in error(bench.arrive(drafted(0, 1, 9)))


# --------------------------------------------------------------------------- the device's half

SPEC = SessionSpec(
    session=1,
    method=method_named("costeer"),
    public=(5, 6),
    personal=(33, 5, 6),
    max_new_tokens=8,
    eos=EOS,
    codec_fingerprint=FINGERPRINT,
    ladder=LADDER,
    speculation=SpeculationConfig(drafts=2),
)


class DeviceBench:
    """One drafting session; its operations are carried out at once, choices by the toy's host."""

    def __init__(self) -> None:
        self.machine = DraftingSession(SPEC)
        self.host = ToyEdge()
        self.sent: list[Send] = []
        self.ends: list[Finish] = []
        self.do(self.machine.handle(Start(), 0))

    def do(self, commands: Sequence[Command]) -> None:
        for command in commands:
            if isinstance(command, Send):
                self.sent.append(command)
            elif isinstance(command, Finish):
                self.ends.append(command)
            elif isinstance(command, Compute):
                op = command.op
                value: object = None
                if isinstance(op, EdgeSteer):
                    value = Choice(9, certified=True, margin=1.0)
                elif not isinstance(op, EdgeDecode):
                    value = self.host.execute(op)  # type: ignore[arg-type]  # a device's
                self.do(self.machine.handle(ComputeDone(op, value, 1), 1))

    def rows(self, position: int, version: int, *sent: Row) -> None:
        body = encode_rows(Rows(version, sent))
        data = encode_frame(Frame(FrameKind.ROWS, 1, 0, position, 0, body))
        self.do(self.machine.handle(FrameArrived(data, 1), 1))


@pytest.mark.parametrize(
    ("position", "version", "row", "reason"),
    [
        (0, 1, Row(b""), "was told version 0"),
        (1, 0, Row(b""), "was told version 0"),
        (0, 0, Row(b"", 1.0), "has no draft"),
    ],
)
def test_a_cloud_that_makes_up_rows_ends_the_session(
    position: int, version: int, row: Row, reason: str
) -> None:
    bench = DeviceBench()
    bench.rows(position, version, row)
    (end,) = bench.ends
    assert end.failed
    assert reason in end.reason


def test_rows_of_a_refuted_text_are_dropped() -> None:
    bench = DeviceBench()
    bench.rows(0, 0, Row(b""))
    bench.rows(1, 1, Row(b""))
    told = len(bench.sent)
    bench.rows(2, 1, Row(b""))
    assert len(bench.sent) == told
    assert not bench.ends


def test_only_steered_sessions_draft() -> None:
    for spec in (
        SessionSpec(1, method_named("slm_with"), (5,), (5,), 3, EOS, 0, LADDER,
                    speculation=SpeculationConfig()),
        SessionSpec(1, method_named("costeer"), (5,), (5,), 3, EOS, 0, LADDER),
    ):  # fmt: skip
        with pytest.raises(LocalProtocolError, match="drafts nothing"):
            DraftingSession(spec)


# --------------------------------------------------------------------------- both


def test_the_toy_is_right_and_wrong_often_enough_to_mean_something() -> None:
    """The laws of ``test_protocol_laws`` say little if drafts are hardly ever right, or wrong."""
    ladder = Ladder(4, VOCAB, RefineConfig(growth=2, max_rounds=3))
    bounds = EngineLimits(2, 4, 1000, 100, 10, 10, 10**9)
    for ahead in (0, 6):
        seen: Counter[str] = Counter()
        for seed in range(1, 30):
            world = World(ladder, bounds, Chaos(((5,), (9,), (40, 3)), (3, 7)))
            spec = SessionSpec(
                1, method_named("costeer"), (seed, 3), (33, seed, 3), 12, EOS, FINGERPRINT, ladder,
                speculation=SpeculationConfig(drafts=3, ahead=ahead),
            )  # fmt: skip
            world.start(spec, 0)
            world.run()
            for record in world.records[1]:
                seen["right"] += record.drafted
                seen["wrong"] += bool(record.refuted)
                seen["refined"] += record.drafted and record.rounds > 0
            assert world.engine.counters.refuted_drafts <= sum(
                len(record.refuted) for record in world.records[1]
            )
        assert min(seen["right"], seen["wrong"], seen["refined"]) > 5, seen


@given(st.integers(1, 30), st.integers(0, 6), st.integers(1, 4))
@settings(max_examples=40)
def test_generic_drafts_follow_from_the_public_query_and_the_chosen_tokens(
    seed: int, ahead: int, drafts: int
) -> None:
    """Anybody with the small model could have drafted them: nothing private is in them."""
    ladder = Ladder(4, VOCAB, RefineConfig(growth=2, max_rounds=3))
    world = World(ladder, EngineLimits(2, 4, 1000, 100, 10, 10, 10**9), Chaos(((5,), (9,)), (3, 7)))
    speculation = SpeculationConfig(drafts=drafts, ahead=ahead, draft="generic")
    spec = SessionSpec(
        1, method_named("costeer"), (seed, 3), (33, seed, 3), 10, EOS, FINGERPRINT, ladder,
        speculation=speculation,
    )  # fmt: skip
    world.start(spec, 0)
    world.run()
    for told in map(decode_frame, world.uplink[1, 0]):
        if told.kind is FrameKind.DRAFT:
            chosen, *guesses = decode_draft(told.body)
            text = [*spec.public, *world.tokens(1)[: told.position], chosen]
            for guess in guesses:
                assert guess == ranked(logits(tuple(text), SLM))[0]
                text.append(guess)
