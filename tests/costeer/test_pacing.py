"""Learnt plans: none is forbidden to be wrong about a text, but each follows from what was seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from costeer import device_text
from costeer.pacing import (
    DRAFTED,
    EXCHANGED,
    PIPELINED,
    SIZE,
    Pacer,
    Plan,
    judge,
    lay_pace,
    learnt,
    remember,
)
from costeer.speculation import SpeculationConfig
from netsim.compiled import compiled

MS = 1_000_000
ADAPTIVE = SpeculationConfig(drafts="adaptive")


def taught(right: int, wrong: int, exchange_ms: int, draft_ms: int = 15) -> Pacer:
    pacer = Pacer(ADAPTIVE)
    for _ in range(4):
        pacer.exchanged(exchange_ms * MS, pipelined=False)
        pacer.drafted(draft_ms * MS)
    for count in range(max(right, wrong)):
        if count < right:
            pacer.judged(right=True)
        if count < wrong:
            pacer.judged(right=False)
    return pacer


def test_a_fixed_plan_stays() -> None:
    pacer = Pacer(SpeculationConfig(drafts=3, ahead=7))
    pacer.judged(right=False)
    assert pacer.plan() == Plan(3, 7)


def test_nothing_seen_is_a_guess() -> None:
    assert Pacer(ADAPTIVE).plan() == Plan(1, 24)


def test_good_drafts_on_a_long_way_are_pipelined_and_fill_it() -> None:
    plan = taught(60, 1, 242).plan()
    assert plan.drafts == 1
    assert plan.ahead * 15 > 242


def test_bad_drafts_are_few_and_wait() -> None:
    pacer = taught(1, 60, 92)
    pacer.exchanged(120_000_000, pipelined=True)
    assert pacer.plan() == Plan(1, 0)


def test_slow_drafts_are_not_made_for_a_near_cloud() -> None:
    assert taught(20, 10, 20, draft_ms=60).plan().drafts == 1


def test_verdicts_are_forgotten() -> None:
    pacer = taught(60, 1, 92)
    before = pacer.acceptance
    for _ in range(60):
        pacer.judged(right=False)
    assert before > 0.9
    assert pacer.acceptance < 0.3


@given(
    st.lists(st.booleans(), max_size=60),
    st.lists(st.integers(0, 10**10), max_size=9),
    st.lists(st.integers(0, 10**10), max_size=9),
    st.lists(st.integers(0, 10**10), max_size=9),
)
def test_any_history_gives_a_plan_within_bounds(
    verdicts: list[bool], exchanges: list[int], pipelined: list[int], drafts: list[int]
) -> None:
    pacer = Pacer(ADAPTIVE)
    for right in verdicts:
        pacer.judged(right=right)
    for duration_ns in exchanges:
        pacer.exchanged(duration_ns, pipelined=False)
    for duration_ns in pipelined:
        pacer.exchanged(duration_ns, pipelined=True)
    for duration_ns in drafts:
        pacer.drafted(duration_ns)
    plan = pacer.plan()
    assert 1 <= plan.drafts <= 16
    assert 0 <= plan.ahead <= 48


def test_who_learns_is_not_told_how_far_ahead() -> None:
    with pytest.raises(ValidationError, match="leave `ahead` out"):
        SpeculationConfig(drafts="adaptive", ahead=3)
    with pytest.raises(ValidationError):
        SpeculationConfig(drafts=0)


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((DRAFTED, EXCHANGED, PIPELINED)), st.integers(0, 3 * 10**8)),
        max_size=30,
    ),
    st.lists(st.integers(0, 1), max_size=60),
)
def test_machine_code_learns_alike(durations: list[tuple[int, int]], verdicts: list[int]) -> None:
    seen = [0] * SIZE
    lay_pace(seen)
    for what, duration_ns in durations:
        remember(seen, what, duration_ns)
    for right in verdicts:
        judge(seen, right)
    array: Any = np.array(seen, np.int64)
    assert compiled(learnt)(array) == learnt(seen)


def test_an_exchange_ends_with_rows_of_the_text_that_it_told_or_of_a_longer_one() -> None:
    window = device_text.window_of(8)
    state = [0] * device_text.size_of(window)
    device_text.lay(state, window, 4, 0, 64, 0, 0)
    state[device_text.ASKED_VERSION] = 2
    assert not device_text.end_exchange(state, 1)
    assert device_text.end_exchange(state, 3)
    assert not device_text.end_exchange(state, 3)
