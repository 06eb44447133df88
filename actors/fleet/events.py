"""The events of a compiled cell: a heap of (time_ns, word), four children to a parent.

The word orders events of the same nanosecond: lane, device, number of the device's frame. Below
them stand kind and session, which never decide: an order is had by one event alone.
"""

from __future__ import annotations

from actors.fleet.array_types import Column, Table
from actors.fleet.layout import EVENTS, FAULT, MANY_FRAMES

LANE_BIT = 59
MOST_DEVICES = 1 << 20
MOST_FRAMES = 1 << 23
MOST_SESSIONS = 1 << 12
"""Where the lane begins in a word; and what a word can tell apart: devices of a cell, frames and
sessions of a device."""


def word_of(lane: int, device: int, number: int, kind: int, session: int) -> int:
    """Return the word of an event."""
    return lane << LANE_BIT | device << 39 | number << 16 | kind << 12 | session


def lane_of(word: int) -> int:
    """Return in which lane."""
    return word >> LANE_BIT


def kind_of(word: int) -> int:
    """Return what happens."""
    return word >> 12 & 15


def number_of(word: int) -> int:
    """Return the number of the device's frame."""
    return word >> 16 & MOST_FRAMES - 1


def device_of(word: int) -> int:
    """Return the device's index."""
    return word >> 39 & MOST_DEVICES - 1


def session_of(word: int) -> int:
    """Return which of the device's sessions it is about."""
    return word & MOST_SESSIONS - 1


def push(
    engine: Column, heap: Table, at_ns: int, lane: int, device: int, number: int, what: int
) -> None:
    """Add an event.

    Args:
        engine: the engine's books.
        heap: must have room.
        at_ns: when.
        lane: see ``layout``.
        device: index.
        number: of the device's frame.
        what: kind, and behind it the session.
    """
    if number >= MOST_FRAMES:
        engine[FAULT] = MANY_FRAMES
    word = word_of(lane, device, number, what >> 12, what & MOST_SESSIONS - 1)
    at = engine[EVENTS]
    engine[EVENTS] = at + 1
    while at > 0:
        above = (at - 1) >> 2
        above_ns = heap[above, 0]
        if above_ns < at_ns or (above_ns == at_ns and heap[above, 1] <= word):
            break
        heap[at, 0] = above_ns
        heap[at, 1] = heap[above, 1]
        at = above
    heap[at, 0] = at_ns
    heap[at, 1] = word


def drop_first(engine: Column, heap: Table) -> None:
    """Take the first event out."""
    size = engine[EVENTS] - 1
    engine[EVENTS] = size
    at_ns, word = heap[size, 0], heap[size, 1]
    at = 0
    while True:
        child = 4 * at + 1
        if child >= size:
            break
        best, best_ns, best_word = child, heap[child, 0], heap[child, 1]
        for other in range(child + 1, min(child + 4, size)):
            other_ns = heap[other, 0]
            if other_ns < best_ns or (other_ns == best_ns and heap[other, 1] < best_word):
                best, best_ns, best_word = other, other_ns, heap[other, 1]
        if at_ns < best_ns or (at_ns == best_ns and word <= best_word):
            break
        heap[at, 0] = best_ns
        heap[at, 1] = best_word
        at = best
    heap[at, 0] = at_ns
    heap[at, 1] = word
