from __future__ import annotations

import numpy as np
import pytest
import torch

from actors.models.slots import SlotCache, as_indices
from costeer.errors import LocalProtocolError


def cache(slots: int = 2, context: int = 4) -> SlotCache:
    return SlotCache(
        2, 1, 3, dtype=torch.float32, device=torch.device("cpu"), slots=slots, context=context
    )


def write(store: SlotCache, slot: int, start: int, values: list[float]) -> torch.Tensor:
    """Write one row to both layers; return what layer 1 then reads."""
    store.plan(as_indices([slot]), as_indices([start]), as_indices([len(values)]))
    keys = torch.tensor(values, dtype=torch.float32)[None, None, :, None].expand(
        1, 1, len(values), 3
    )
    store.update(keys, -keys, 0)
    return store.update(keys + 0.5, -keys, 1)[0][0, 0, :, 0]


def test_slots_are_taken_freed_and_taken_again() -> None:
    store = cache(slots=2)
    first, second = store.take(), store.take()
    assert {first, second} == {0, 1}
    store.free(first)
    assert store.take() == first
    assert store.slots_used == 2
    assert store.take() == 2
    assert store.slots_used == 3


def test_growing_keeps_what_is_stored() -> None:
    store = cache(slots=1, context=4)
    slot = store.take()
    write(store, slot, 0, [1, 2, 3])
    before = store.allocated_bytes
    for _ in range(5):
        store.take()
    read = write(store, slot, 3, [4, 5, 6])
    assert read.tolist() == [1.5, 2.5, 3.5, 4.5, 5.5, 6.5]
    assert store.length(slot) == 6
    assert store.context >= 6
    assert store.allocated_bytes > before


def test_truncated_tokens_are_overwritten() -> None:
    store = cache()
    slot = store.take()
    write(store, slot, 0, [1, 2, 3])
    store.truncate(slot, 1)
    assert store.length(slot) == 1
    assert write(store, slot, 1, [9]).tolist() == [1.5, 9.5]


def test_a_fork_goes_its_own_way() -> None:
    store = cache(slots=1)
    slot = store.take()
    write(store, slot, 0, [1, 2])
    copy = store.fork(slot)
    assert write(store, copy, 2, [7]).tolist() == [1.5, 2.5, 7.5]
    assert write(store, slot, 2, [8]).tolist() == [1.5, 2.5, 8.5]


def test_rows_of_scattered_slots_are_read_in_the_order_of_the_batch() -> None:
    store = cache(slots=4)
    slots = [store.take() for _ in range(4)]
    for slot in slots:
        write(store, slot, 0, [slot])
    picked = as_indices([0, 1, 3])
    store.plan(picked, as_indices([1, 1, 1]), as_indices([2, 1, 2]))
    keys = torch.zeros(3, 1, 2, 3)
    read, _ = store.update(keys, keys, 0)
    assert read.shape == (3, 1, 3, 3)
    assert read[:, 0, 0, 0].tolist() == [0, 1, 3]


@pytest.mark.parametrize(
    ("slots", "starts"),
    [([0, 0], [0, 0]), ([1, 0], [0, 0]), ([0, 2], [0, 0]), ([0, 1], [1, 0]), ([0, 1], [0, -1])],
    ids=["twice", "out of order", "not in use", "beyond its tokens", "negative"],
)
def test_a_plan_that_cannot_be_meant_is_refused(slots: list[int], starts: list[int]) -> None:
    store = cache(slots=3)
    store.take()
    store.take()
    with pytest.raises(LocalProtocolError):
        store.plan(as_indices(slots), as_indices(starts), np.ones(2, dtype=np.int64))


def test_misuse_of_a_slot_is_refused() -> None:
    store = cache()
    slot = store.take()
    with pytest.raises(LocalProtocolError, match="cannot be cut"):
        store.truncate(slot, 1)
    store.free(slot)
    for misuse in (store.free, store.fork, store.length):
        with pytest.raises(LocalProtocolError, match="not in use"):
            misuse(slot)
    with pytest.raises(LocalProtocolError, match="before plan"):
        cache().update(torch.zeros(1, 1, 1, 3), torch.zeros(1, 1, 1, 3), 0)
