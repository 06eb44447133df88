"""The arrays of a compiled fleet: what is fixed, what changes, and the small things both need.

Rules
-----
* A column has one integer per device (D), session (S), row of outcomes (R) or class; a table has
  several. All are 64-bit integers, times in nanoseconds; nothing is an object.
* A session is counted over the fleet, devices in order; a device's sessions follow one another.
* An event is (time_ns, order, kind, session). The order holds lane, device and the number of the
  device's frame, as the heap of the ``virtual`` way has them; a frame that takes no time up is
  taken in its sender's lane, since that is when the other way comes to it.
"""

from __future__ import annotations

from collections.abc import MutableSequence
from typing import NamedTuple, Protocol, overload

import numpy as np

from netsim.hardware.roofline import ForwardTerms


class Column(Protocol):
    """One-dimensional array of integers."""

    def __len__(self) -> int: ...
    @overload
    def __getitem__(self, at: int) -> int: ...
    @overload
    def __getitem__(self, at: slice) -> MutableSequence[int]: ...
    def __setitem__(self, at: int, value: int) -> None: ...


class Table(Protocol):
    """Two-dimensional array of integers."""

    @overload
    def __getitem__(self, at: tuple[int, int]) -> int: ...
    @overload
    def __getitem__(self, at: tuple[int, slice]) -> MutableSequence[int]: ...
    def __setitem__(self, at: tuple[int, int], value: int) -> None: ...


class Shares(Protocol):
    """One-dimensional array of real numbers."""

    def __getitem__(self, at: int) -> float: ...


LOCAL, STEERED, STREAMED = 0, 1, 2
"""What the cloud does for a fleet."""

OPEN, TOKEN, MORE, CLOSE, FORWARD_DONE, SELECT_DONE, STEP = range(7)
"""Kinds of events."""

LANE_UP, LANE_DOWN, LANE_CLOUD, LANE_CHOICE, LANE_STEP = 0x01, 0x02, 0x10, 0x13, 0x30
"""Lanes of the ``virtual`` way that order events of the same nanosecond."""

DOWN, UP = 0, 1
"""Directions of a link."""

SENT, ROOM, FLOW_FIGURES = 8, 9, 10
"""Of a direction, after ``netsim.tcp.STATE``: frames sent, and room in the packet sent last."""

DECODING, PROMPTS, WAITING = 0, 1, 2
"""Queues of the engine: ready with one token, ready with more, without memory."""

# Columns of a token's row.
CHOSEN_AT, LATENCY, STAGES, BUSY, MOVED = 0, 1, 2, 14, 15
STAGES_END, ROW_FIGURES = 14, 22
MOVED_FIGURES = 7
"""Of a meter: payload, frame, wire, packets down; frame, wire, packets up."""

# Books of the engine, by index.
HEADS, COUNTS = 0, 3
(
    FREE_TOKENS,
    ADMITTED,
    FIRST_SEQUENCE,
    NEXT_SEQUENCE,
    RUNNING,
    REFINING,
    ARMED,
    BUSY_STEP,
    STEP_NS,
    EGRESS_UNTIL,
    EGRESS_BUSY,
    EVENTS,
    FINISHED,
    BATCHES,
    NOW,
    FAULT,
    FORWARD_NS,
    SELECT_NS,
    LEAST_FREE,
    WAITED,
) = range(6, 26)
ENGINE_FIGURES = 26

NO_FAULT, SILENT, FULL = 0, 1, 2
"""What a fleet cannot go on with: a device silent for too long, too many sessions waiting."""


class Fleet(NamedTuple):
    """What does not change while a fleet runs.

    Args:
        devices: D.
        sessions: S.
        role: what the cloud does: ``LOCAL``, ``STEERED`` or ``STREAMED``.
        branches: of the small model.
        ladder_rounds: of the tables below, the first answer included.
        opened: 1 in an open loop.
        max_batch: see ``EngineLimits``, as the next four.
        chunk_tokens: ...
        max_sessions: ...
        max_waiting: ...
        idle_timeout_ns: ...
        egress_bps: the cloud's way out; 0 for no limit.
        down_bucket: sizes of LOGITS frames are multiples of this.
        up_bucket: sizes of the device's frames likewise.
        word: what ``device_key`` needs of the seed.
        cloud_terms: what rules the cloud's forwards.
        egress_wire: what rules bytes at the egress.
        of_device: what is fixed of each device, see ``columns``, and one row more (D + 1, 4).
        of_session: what is fixed of each session (S, 11).
        of_outcome: what is fixed of each outcome (R, 3).
        payload_bytes: of each.
        line: rate_bps, propagation_ns, jitter_ns of each direction (2 · links, 3).
        loss: of each direction (2 · links).
        tcp: ``netsim.tcp.TERMS`` of each direction (2 · links, 9).
        wire: ``WireFormat.terms`` of each link (links, 8).
        setup_ns: of each link.
        edge_terms: what rules forwards, per device class (classes, 8).
        decode_ns: by device class and round.
        steer_ns: by device class; to choose where nothing is steered.
        round_ns: the cloud's select and encode, by round and rows.
        choose_ns: the cloud's choices, by rows.
    """

    devices: int
    sessions: int
    role: int
    branches: int
    ladder_rounds: int
    opened: int
    max_batch: int
    chunk_tokens: int
    max_sessions: int
    max_waiting: int
    idle_timeout_ns: int
    egress_bps: int
    down_bucket: int
    up_bucket: int
    word: np.uint64
    cloud_terms: ForwardTerms
    egress_wire: tuple[int, int, int, int, int, int, int, int]
    of_device: Table
    of_session: Table
    of_outcome: Table
    payload_bytes: Column
    line: Table
    loss: Shares
    tcp: Table
    wire: Table
    setup_ns: Column
    edge_terms: Table
    decode_ns: Table
    steer_ns: Column
    round_ns: Table
    choose_ns: Column


class Books(NamedTuple):
    """What changes.

    Args:
        engine: the engine's figures, see the indices above.
        queues: rings of devices, one row per queue (3, D).
        running: devices of the step under way.
        refining: devices that asked for MORE.
        merged: scratch for a step's candidates: devices (2 · batch).
        pending_now: scratch likewise: their pending tokens.
        heap_ns: events: when.
        heap_order: their order within the nanosecond.
        heap_what: kind and session.
        flow: ``netsim.tcp.STATE``, frames sent and room of each direction (2 · D, 10).
        meter: bytes not booked yet (D, 7).
        device: what changes of each device, see ``columns`` (D, 19).
        rows: what is written down of each token (tokens, 21).
        request: what changes of each session, see ``columns`` (S, 9).
        ended: sessions in the order in which their ends became known.
        batches: rows of the forwards since they were read last.
    """

    engine: Column
    queues: Table
    running: Column
    refining: Column
    merged: Column
    pending_now: Column
    heap_ns: Column
    heap_order: Column
    heap_what: Column
    flow: Table
    meter: Table
    device: Table
    rows: Table
    request: Table
    ended: Column
    batches: Column


# --------------------------------------------------------------------------- the heap


def order_of(lane: int, device: int, number: int) -> int:
    """Place of an event within its nanosecond. Devices are below 2**20, numbers below 2**36."""
    return (lane << 56) | (device << 36) | number


def push(books: Books, at_ns: int, order: int, kind: int, session: int) -> None:
    """Add an event."""
    times, orders, what = books.heap_ns, books.heap_order, books.heap_what
    at = books.engine[EVENTS]
    books.engine[EVENTS] = at + 1
    while at > 0:
        above = (at - 1) >> 1
        if times[above] < at_ns or (times[above] == at_ns and orders[above] <= order):
            break
        times[at], orders[at], what[at] = times[above], orders[above], what[above]
        at = above
    times[at], orders[at], what[at] = at_ns, order, session << 3 | kind


def pop(books: Books) -> tuple[int, int, int]:
    """Take the first event: (time_ns, kind, session)."""
    times, orders, what = books.heap_ns, books.heap_order, books.heap_what
    first_ns, first_what = times[0], what[0]
    size = books.engine[EVENTS] - 1
    books.engine[EVENTS] = size
    at_ns, order, last = times[size], orders[size], what[size]
    at = 0
    while True:
        below = 2 * at + 1
        if below >= size:
            break
        right = below + 1
        if right < size and (
            times[right] < times[below]
            or (times[right] == times[below] and orders[right] < orders[below])
        ):
            below = right
        if at_ns < times[below] or (at_ns == times[below] and order <= orders[below]):
            break
        times[at], orders[at], what[at] = times[below], orders[below], what[below]
        at = below
    times[at], orders[at], what[at] = at_ns, order, last
    return first_ns, first_what & 7, first_what >> 3
