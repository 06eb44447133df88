import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.heap import EventHeap, EventKind

small = st.integers(0, 3)
keys = st.tuples(small, st.sampled_from(EventKind), small, small, small)


@given(
    order=st.lists(keys, unique=True).flatmap(lambda k: st.tuples(st.just(k), st.permutations(k)))
)
def test_order_is_total_whatever_the_pushes(
    order: tuple[
        list[tuple[int, EventKind, int, int, int]], list[tuple[int, EventKind, int, int, int]]
    ],
) -> None:
    first, second = order
    popped = []
    for pushes in (first, second):
        heap: EventHeap[str] = EventHeap()
        for key in pushes:
            heap.push(*key, f"payload of {key}")
        assert len(heap) == len(pushes)
        popped.append([heap.pop() for _ in pushes])
    assert popped[0] == popped[1]
    assert [event[:5] for event in popped[0]] == sorted(first)
    assert all(event[5] == f"payload of {event[:5]}" for event in popped[0])


def test_arrivals_come_before_batch_starts() -> None:
    heap: EventHeap[None] = EventHeap()
    for kind in (EventKind.BATCH_START, EventKind.TIMER, EventKind.COMPUTE_DONE, EventKind.ARRIVAL):
        heap.push(5, kind, -1, 0, 0, None)
    heap.push(5, EventKind.ARRIVAL + 1, -2, 0, 0, None)  # a lane stays within its kind
    kinds = [heap.pop()[1] >> 4 << 4 for _ in range(5)]
    assert kinds == sorted(kinds)
    assert kinds.count(EventKind.ARRIVAL) == 2


def test_payloads_are_never_ordered() -> None:
    heap: EventHeap[object] = EventHeap()
    for position in range(20):
        heap.push(0, 0, 0, position, 0, object())
    assert [heap.pop()[3] for _ in range(20)] == list(range(20))


def test_two_different_events_under_one_key_raise() -> None:
    heap: EventHeap[str] = EventHeap()
    heap.push(1, EventKind.TIMER, 2, 3, 4, "a")
    with pytest.raises(NetsimError, match=r"two different events.*'a' and 'b'"):
        heap.push(1, EventKind.TIMER, 2, 3, 4, "b")


def test_the_same_event_twice_is_delivered_twice() -> None:
    heap: EventHeap[bytes] = EventHeap()
    heap.push(1, EventKind.ARRIVAL, 2, 3, 4, b"frame")
    heap.push(1, EventKind.ARRIVAL, 2, 3, 4, b"frame")
    assert heap.pop() == heap.pop() == (1, EventKind.ARRIVAL, 2, 3, 4, b"frame")
    assert len(heap) == 0
    heap.push(1, EventKind.ARRIVAL, 2, 3, 4, b"other")  # the key is free again
    assert heap.peek_time_ns() == 1


def test_time_does_not_run_backwards() -> None:
    heap: EventHeap[None] = EventHeap()
    heap.push(10, 0, 0, 0, 0, None)
    assert heap.now_ns == 0
    heap.pop()
    assert heap.now_ns == 10
    with pytest.raises(NetsimError, match="before now"):
        heap.push(9, 0, 0, 0, 0, None)


def test_empty_heap_says_so() -> None:
    heap: EventHeap[None] = EventHeap()
    with pytest.raises(NetsimError, match="empty"):
        heap.pop()
    with pytest.raises(NetsimError, match="empty"):
        heap.peek_time_ns()
