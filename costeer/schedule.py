"""The engine's scheduling rules as integer functions.

No objects, only integers and sequences of them: ``cloud.CloudEngine`` calls them with lists, and
numba compiles them as they stand for integer arrays (a test holds the two equal). Continuous
batching with chunked prefill, as serving engines do it (Sarathi-Serve, vLLM): decode rows first,
since each of them is a user who waits for a token; then prompt chunks within the step's token
budget; both in the order in which they became ready. A prompt that was begun keeps its place at
the front, so one prompt at most is half done.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence, Sequence


def plan_step(pending_N: Sequence[int], max_batch: int, chunk_tokens: int) -> list[int]:
    """Return how many tokens of each ready row the next forward takes; see ``fill_step``."""
    take_N = [0] * len(pending_N)
    fill_step(pending_N, take_N, len(pending_N), max_batch, chunk_tokens)
    return take_N


def fill_step(
    pending_N: Sequence[int],
    take_N: MutableSequence[int],
    count: int,
    max_batch: int,
    chunk_tokens: int,
) -> None:
    """Write down how many tokens of each ready row the next forward takes: 0 for rows that wait.

    Args:
        pending_N: tokens not yet in the cache, per row in ready order; each at least 1.
        take_N: takes one figure per row.
        count: N.
        max_batch: rows at most.
        chunk_tokens: prompt tokens at most, over all rows with more than one pending token.
    """
    rows = 0
    for index in range(count):
        take_N[index] = 0
        if pending_N[index] == 1 and rows < max_batch:
            take_N[index] = 1
            rows += 1
    budget = chunk_tokens
    for index in range(count):
        if rows == max_batch or budget == 0:
            return
        pending = pending_N[index]
        if pending > 1:
            take_N[index] = min(pending, budget)
            budget -= take_N[index]
            rows += 1


def admit(needed_N: Sequence[int], free_tokens: int, free_rows: int) -> int:
    """Return how many waiting sessions, from the front, now fit.

    First come, first served: a large session at the front holds back smaller ones behind it, so
    that none waits for ever.

    Args:
        needed_N: KV tokens that each waiting session reserves, in arrival order.
        free_tokens: KV tokens not reserved.
        free_rows: sessions that may still be open.
    """
    count = 0
    for needed in needed_N:
        if count >= free_rows or needed > free_tokens:
            break
        free_tokens -= needed
        count += 1
    return count


def evict(held_N: Sequence[int], short_tokens: int) -> int:
    """Return how many admitted sessions, from the one admitted last, have to give up their memory.

    As serving engines preempt (vLLM): whoever was admitted last goes first, so those before it come
    to their end, and what it had computed is computed again when there is room.

    Args:
        held_N: KV tokens that each admitted session holds, the one admitted last first.
        short_tokens: by how much what is held exceeds the memory.
    """
    count = 0
    for held in held_N:
        if short_tokens <= 0:
            break
        short_tokens -= held
        count += 1
    return count
