"""The queues of a compiled cell's cloud: chains through the devices, which are in one at most.

The ready set is two of them, sessions with one token and sessions with more: a step takes a prefix
of each, so what it merges is bounded by the batch, not by the fleet.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.layout import (
    COUNTS,
    DECODING,
    FIRST_SEQUENCE,
    HEADS,
    NEXT_SEQUENCE,
    PROMPTS,
    TAILS,
    TROUBLED,
)


def get_ready(engine: Column, narrow: Table, device: int) -> None:
    """Put a device's session behind all that are ready."""
    narrow[device, col.SEQUENCE] = engine[NEXT_SEQUENCE]
    engine[NEXT_SEQUENCE] += 1
    append(engine, narrow, DECODING if narrow[device, col.PENDING] == 1 else PROMPTS, device)


def keep_first(engine: Column, narrow: Table, device: int) -> None:
    """Put a session whose prompt was begun before all that are ready."""
    engine[FIRST_SEQUENCE] -= 1
    narrow[device, col.SEQUENCE] = engine[FIRST_SEQUENCE]
    queue = DECODING if narrow[device, col.PENDING] == 1 else PROMPTS
    narrow[device, col.NEXT] = engine[HEADS + queue]
    if engine[COUNTS + queue] == 0:
        engine[TAILS + queue] = device
    engine[HEADS + queue] = device
    engine[COUNTS + queue] += 1
    if TROUBLED:
        narrow[device, col.QUEUED] = queue + 1


def append(engine: Column, narrow: Table, queue: int, device: int) -> None:
    """Put a device at the end of a queue."""
    if engine[COUNTS + queue]:
        narrow[engine[TAILS + queue], col.NEXT] = device
    else:
        engine[HEADS + queue] = device
    engine[TAILS + queue] = device
    engine[COUNTS + queue] += 1
    if TROUBLED:
        narrow[device, col.QUEUED] = queue + 1


def take_out(engine: Column, narrow: Table, queue: int, device: int) -> None:
    """Take a device out of the queue that it is in, wherever it stands."""
    before, at = -1, engine[HEADS + queue]
    while at != device:
        before, at = at, int(narrow[at, col.NEXT])
    if before < 0:
        engine[HEADS + queue] = narrow[device, col.NEXT]
    else:
        narrow[before, col.NEXT] = narrow[device, col.NEXT]
        if engine[TAILS + queue] == device:
            engine[TAILS + queue] = before
    engine[COUNTS + queue] -= 1
    if TROUBLED:
        narrow[device, col.QUEUED] = 0


def take_first(engine: Column, narrow: Table, queue: int) -> int:
    """Take the first device from a queue."""
    device = engine[HEADS + queue]
    engine[HEADS + queue] = narrow[device, col.NEXT]
    engine[COUNTS + queue] -= 1
    if TROUBLED:
        narrow[device, col.QUEUED] = 0
    return int(device)


def move(engine: Column, narrow: Table, device: int, queue: int) -> None:
    """Put a ready session into the other queue of those, where it keeps its place among all."""
    take_out(engine, narrow, queue, device)
    other = DECODING + PROMPTS - queue
    count, place = engine[COUNTS + other], narrow[device, col.SEQUENCE]
    at = int(engine[HEADS + other])
    if count == 0 or narrow[engine[TAILS + other], col.SEQUENCE] < place:
        append(engine, narrow, other, device)
        return
    engine[COUNTS + other] = count + 1
    if place < narrow[at, col.SEQUENCE]:
        narrow[device, col.NEXT] = at
        engine[HEADS + other] = device
        return
    while narrow[narrow[at, col.NEXT], col.SEQUENCE] < place:
        at = int(narrow[at, col.NEXT])
    narrow[device, col.NEXT] = narrow[at, col.NEXT]
    narrow[at, col.NEXT] = device
