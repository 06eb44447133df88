"""Scheduling rules as laws, and the same rules compiled."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.schedule import admit, evict, fill_step, plan_step

pendings = st.lists(st.just(1) | st.integers(1, 60), max_size=12)
batches = st.integers(1, 8)
chunks = st.integers(1, 64)


@given(pendings, batches, chunks)
def test_a_step_keeps_its_bounds(pending_N: list[int], max_batch: int, chunk: int) -> None:
    take_N = plan_step(pending_N, max_batch, chunk)
    assert len(take_N) == len(pending_N)
    assert all(0 <= take <= pending for take, pending in zip(take_N, pending_N, strict=True))
    assert sum(take > 0 for take in take_N) <= max_batch
    prompts = [take for take, pending in zip(take_N, pending_N, strict=True) if pending > 1]
    assert sum(prompts) <= chunk


@given(pendings, batches, chunks)
def test_a_step_leaves_no_row_idle_that_fits(
    pending_N: list[int], max_batch: int, chunk: int
) -> None:
    take_N = plan_step(pending_N, max_batch, chunk)
    rows = sum(take > 0 for take in take_N)
    prompt_tokens = sum(
        take for take, pending in zip(take_N, pending_N, strict=True) if pending > 1
    )
    for take, pending in zip(take_N, pending_N, strict=True):
        if not take:
            assert rows == max_batch or (pending > 1 and prompt_tokens == chunk)
        elif take < pending:
            assert prompt_tokens == chunk


@given(pendings, batches, chunks)
def test_decode_rows_come_first_and_all_in_order(
    pending_N: list[int], max_batch: int, chunk: int
) -> None:
    take_N = plan_step(pending_N, max_batch, chunk)
    pairs = list(zip(take_N, pending_N, strict=True))
    decodes = [take for take, pending in pairs if pending == 1]
    prompts = [(take, pending) for take, pending in pairs if pending > 1]
    assert decodes == sorted(decodes, reverse=True)
    if any(take for take, _ in prompts):
        assert all(decodes)
    # Whole prompts, then at most one that is cut, then none.
    cut = [take for take, pending in prompts if 0 < take < pending]
    assert len(cut) <= 1
    ranks = [0 if take == pending else 1 if take else 2 for take, pending in prompts]
    assert ranks == sorted(ranks)


@given(st.lists(st.integers(1, 30), max_size=10), st.integers(0, 100), st.integers(-1, 10))
def test_admission_is_the_longest_front_that_fits(
    needed_N: list[int], free_tokens: int, free_rows: int
) -> None:
    count = admit(needed_N, free_tokens, free_rows)
    assert 0 <= count <= max(0, free_rows)
    assert sum(needed_N[:count]) <= free_tokens
    if count < len(needed_N) and count < free_rows:
        assert sum(needed_N[: count + 1]) > free_tokens


def test_a_large_session_at_the_front_is_not_overtaken() -> None:
    assert admit([50, 1, 1], 40, 10) == 0
    assert admit([10, 50, 1], 40, 10) == 1


@given(st.lists(st.integers(1, 30), max_size=10), st.integers(-5, 100))
def test_no_more_give_up_their_memory_than_have_to(held_N: list[int], short_tokens: int) -> None:
    count = evict(held_N, short_tokens)
    assert sum(held_N[:count]) >= min(short_tokens, sum(held_N))
    assert count == 0 or sum(held_N[: count - 1]) < short_tokens


def test_a_step_by_example() -> None:
    assert plan_step([1, 5, 1, 9], max_batch=4, chunk_tokens=8) == [1, 5, 1, 3]
    assert plan_step([5, 1, 1], max_batch=2, chunk_tokens=8) == [0, 1, 1]
    assert plan_step([], max_batch=2, chunk_tokens=8) == []


@cache
def compiled(rule: Callable[..., object]) -> Callable[..., object]:
    numba = pytest.importorskip("numba", reason="the compiled drivers need numba")
    made: Callable[..., object] = numba.njit(rule)
    return made


def array(values: Sequence[int]) -> Any:
    return np.array(values, dtype=np.int64)


@settings(max_examples=200)
@given(pendings, batches, chunks)
def test_a_compiled_step_is_the_same_step(pending_N: list[int], max_batch: int, chunk: int) -> None:
    take_N = np.zeros(len(pending_N), np.int64)
    compiled(fill_step)(array(pending_N), take_N, len(pending_N), max_batch, chunk)
    assert take_N.tolist() == plan_step(pending_N, max_batch, chunk)


@settings(max_examples=200)
@given(st.lists(st.integers(1, 30), max_size=10), st.integers(0, 100), st.integers(0, 10))
def test_compiled_admission_is_the_same_admission(
    needed_N: list[int], free_tokens: int, free_rows: int
) -> None:
    assert compiled(admit)(array(needed_N), free_tokens, free_rows) == admit(
        needed_N, free_tokens, free_rows
    )


@settings(max_examples=200)
@given(st.lists(st.integers(1, 30), max_size=10), st.integers(-5, 100))
def test_compiled_eviction_is_the_same_eviction(held_N: list[int], short_tokens: int) -> None:
    assert compiled(evict)(array(held_N), short_tokens) == evict(held_N, short_tokens)
