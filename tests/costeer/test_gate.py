"""When steering pauses and comes back; what the engine makes of a gate it does not have."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from costeer.cloud import CloudEngine, EngineLimits, EngineSpec
from costeer.gate import ALWAYS, NEVER, Gate, GateConfig
from costeer.machine import FrameArrived, Send
from costeer.messages import Frame, FrameKind, Open, Role, decode_frame, encode_frame, encode_open
from costeer.refinement import Ladder, RefineConfig

doubts = st.lists(st.floats(0, 1, exclude_max=True), max_size=40)


def own(config: GateConfig, seen: list[float]) -> list[bool]:
    gate = Gate(config)
    found = []
    for doubt in seen:
        found.append(doubt < gate.unless)
        gate.saw(doubt)
    return found


def test_sure_tokens_close_it_and_one_in_doubt_opens_it() -> None:
    config = GateConfig(sure=0.1, after=3, unsure=0.3)
    seen = [0.05, 0.05, 0.05, 0.2, 0.05, 0.3, 0.05, 0.05, 0.05, 0.29, 0.9]
    no, yes = False, True
    assert own(config, seen) == [no, no, no, yes, yes, no, no, no, no, yes, no]


@given(doubts)
def test_the_authors_rule_never_comes_back(seen: list[float]) -> None:
    found = own(GateConfig(unsure=1), seen)
    assert found == sorted(found)


@given(doubts, st.integers(1, 4))
def test_a_token_in_doubt_is_steered_whatever_came_before(seen: list[float], after: int) -> None:
    config = GateConfig(sure=0.2, after=after, unsure=0.4)
    for doubt, alone in zip(seen, own(config, seen), strict=True):
        assert not (alone and doubt >= config.unsure)


@given(st.floats(0, 1, exclude_max=True))
def test_every_doubt_is_below_one_bound_and_none_below_the_other(doubt: float) -> None:
    assert NEVER <= doubt < ALWAYS


def test_bounds_that_make_a_token_both_are_refused() -> None:
    with pytest.raises(ValidationError, match="must not be below sure"):
        GateConfig(sure=0.4, unsure=0.3)


def test_a_cloud_without_a_gate_refuses_the_session() -> None:
    limits = EngineLimits(1, 8, 64, 64, 1, 1, 10**9)
    engine = CloudEngine(EngineSpec(limits, 8, frozenset(), 7, Ladder(2, 8, RefineConfig())))
    body = encode_open(Open(Role.GATED, 4, 7, (1, 2)))
    frame = encode_frame(Frame(FrameKind.OPEN, 1, 0, 0, 0, body))
    (sent,) = engine.handle(FrameArrived(frame, 5), 10)
    assert isinstance(sent, Send)
    refusal = decode_frame(sent.frame)
    assert refusal.kind is FrameKind.ERROR
    assert b"pauses is not served here" in refusal.body
