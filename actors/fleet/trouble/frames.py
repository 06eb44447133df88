"""Frames on their way in a compiled cell in which something may fail: a row each until they come.

Those of a device and a direction are a line, in the order in which they were sent. What crosses
something that devices share is put into the line when it lands.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.air import give_row, landing_ns, take_row
from actors.fleet.array_types import Table
from actors.fleet.columns import DOWN, UP
from actors.fleet.events import push
from actors.fleet.layout import (
    CROSS,
    LANE_DOWN,
    LANE_REQUEST,
    LANE_UP,
    OWN,
    SEVERAL,
    SHARING,
    Books,
    Fleet,
)
from actors.fleet.links import send_down, send_up
from actors.fleet.trouble.stalls import gate_ns, loses
from actors.plan import REQUEST_BITS


def say_up(
    fleet: Fleet,
    books: Books,
    device: int,
    now_ns: int,
    lane: int,
    what: int,
    position: int,
    round_: int,
    size: int,
    count: int,
    version: int,
) -> None:
    """Send a device's frame up.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose.
        now_ns: when.
        lane: in which that is.
        what: kind of frame.
        position: that it names, as the next.
        round_: ...
        size: its bytes.
        count: tokens of the text that a DRAFT makes.
        version: that a REFINE names.
    """
    engine, narrow = books.engine, books.narrow
    landed_ns = send_up(fleet, books, device, now_ns, size)
    number = int(narrow[device, UP * col.NARROW_STRIDE + col.FRAMES])
    row = -landed_ns if SHARING and landed_ns < 0 else take_row(engine, books.air)
    air, at = books.air, row - 1
    air[at, col.AIR_WAY] = UP
    air[at, col.AIR_DEVICE] = device
    air[at, col.AIR_SESSION] = narrow[device, col.SESSION]
    air[at, col.AIR_EPOCH] = narrow[device, col.EPOCH]
    air[at, col.AIR_WHAT] = what
    air[at, col.AIR_NUMBER] = number
    air[at, col.AIR_SENT] = now_ns
    air[at, col.AIR_POSITION] = position
    air[at, col.AIR_ROUND] = round_
    air[at, col.AIR_COUNT] = count
    air[at, col.AIR_VERSION] = version
    if SEVERAL:
        replica = int(narrow[device, col.SERVED])
        air[at, col.AIR_REPLICA] = replica
        air[at, col.AIR_LIFE] = books.engines[replica, col.LIFE]
    if SHARING and landed_ns < 0:
        push(engine, books.heap, now_ns, lane, device, number, CROSS << REQUEST_BITS)
        return
    if landed_ns != now_ns or lane == LANE_REQUEST:
        lane = LANE_UP
    come_up(fleet, books, row, landed_ns, lane)


def come_up(fleet: Fleet, books: Books, row: int, arrival_ns: int, lane: int) -> None:
    """Have a frame come to the cloud at an instant, or after the stall that it comes in."""
    air, stalls, replica = books.air, fleet.trouble.stalls, 0
    if SEVERAL:
        replica = air[row - 1, col.AIR_REPLICA]
    if loses(stalls, replica, arrival_ns):
        give_row(books.engine, air, row)
        return
    device = int(air[row - 1, col.AIR_DEVICE])
    air[row - 1, col.AIR_ARRIVAL] = arrival_ns
    put(air, books.narrow, device, UP, row)
    taken_ns = gate_ns(stalls, replica, arrival_ns)
    lane = lane if taken_ns == arrival_ns else LANE_UP
    number = air[row - 1, col.AIR_NUMBER]
    what = air[row - 1, col.AIR_WHAT]
    push(books.engine, books.heap, taken_ns, lane, device, number, what << REQUEST_BITS)


def say_down(
    fleet: Fleet,
    books: Books,
    slot: int,
    now_ns: int,
    what: int,
    size: int,
    payload_bytes: int,
    select_ns: int,
) -> int:
    """Send a frame down to a session's device; return its row.

    Args:
        fleet: fixed figures.
        books: changing ones.
        slot: the session, whose position and round it names.
        now_ns: when.
        what: kind of frame.
        size: its bytes.
        payload_bytes: those of them that a codec made.
        select_ns: how long the select took that it comes from.
    """
    narrow, wide = books.narrow, books.wide
    device = int(narrow[slot, col.OWNER])
    arrival_ns = send_down(fleet, books, device, now_ns, size, payload_bytes)
    shared = SHARING and arrival_ns < 0
    row = -arrival_ns if shared else take_row(books.engine, books.air)
    air, at = books.air, row - 1
    air[at, col.AIR_WAY] = DOWN
    air[at, col.AIR_DEVICE] = device
    air[at, col.AIR_SESSION] = narrow[slot, col.SESSION]
    air[at, col.AIR_EPOCH] = narrow[slot, col.EPOCH]
    air[at, col.AIR_WHAT] = what
    air[at, col.AIR_NUMBER] = narrow[device, DOWN * col.NARROW_STRIDE + col.FRAMES]
    air[at, col.AIR_SENT] = now_ns
    air[at, col.AIR_POSITION] = narrow[slot, col.POSITION]
    air[at, col.AIR_ROUND] = narrow[slot, col.ROUND]
    air[at, col.AIR_SELECT] = select_ns
    air[at, col.AIR_READY] = wide[slot, col.READY]
    air[at, col.AIR_COMPUTE] = wide[slot, col.COMPUTE]
    air[at, col.AIR_UPLINK] = wide[slot, col.UPLINK_NS]
    if not shared:
        come_down(books, row, arrival_ns)
    return row


def come_down(books: Books, row: int, arrival_ns: int) -> None:
    """Have a frame come to its device at an instant."""
    air = books.air
    device, number = int(air[row - 1, col.AIR_DEVICE]), air[row - 1, col.AIR_NUMBER]
    air[row - 1, col.AIR_ARRIVAL] = arrival_ns
    put(air, books.narrow, device, DOWN, row)
    push(books.engine, books.heap, arrival_ns, LANE_DOWN, device, number, OWN << REQUEST_BITS)


def land_in_line(fleet: Fleet, books: Books, row: int, done_ns: int) -> None:
    """Have a frame come that has crossed what its device shares."""
    arrival_ns = landing_ns(fleet, books, row, done_ns)
    if books.air[row - 1, col.AIR_WAY] == UP:
        come_up(fleet, books, row, arrival_ns, LANE_UP)
    else:
        come_down(books, row, arrival_ns)


def put(air: Table, narrow: Table, device: int, way: int, row: int) -> None:
    """Put a frame at the end of its device's line."""
    first = col.UP_FIRST if way == UP else col.DOWN_FIRST
    air[row - 1, col.AIR_NEXT] = 0
    if narrow[device, first]:
        air[int(narrow[device, first + 1]) - 1, col.AIR_NEXT] = row
    else:
        narrow[device, first] = row
    narrow[device, first + 1] = row


def take(air: Table, narrow: Table, device: int, way: int, number: int) -> int:
    """Take the frame of a number from its device's line; return its row, which is the caller's now.

    It is the first but where frames may overtake each other.
    """
    first = col.UP_FIRST if way == UP else col.DOWN_FIRST
    before, row = 0, int(narrow[device, first])
    while air[row - 1, col.AIR_NUMBER] != number:
        before, row = row, int(air[row - 1, col.AIR_NEXT])
    behind = air[row - 1, col.AIR_NEXT]
    if before == 0:
        narrow[device, first] = behind
        return row
    air[before - 1, col.AIR_NEXT] = behind
    if behind == 0:
        narrow[device, first + 1] = before
    return row


def keep(air: Table, narrow: Table, device: int, row: int) -> None:
    """Keep what came for this position or a later one until it is its turn."""
    air[row - 1, col.AIR_NEXT] = narrow[device, col.EARLY]
    narrow[device, col.EARLY] = row


def take_kept(air: Table, narrow: Table, device: int) -> int:
    """Return the row of what was kept for this position, which is the caller's; 0 for nothing."""
    before, row = 0, int(narrow[device, col.EARLY])
    while row and air[row - 1, col.AIR_POSITION] != narrow[device, col.POSITION]:
        before, row = row, int(air[row - 1, col.AIR_NEXT])
    if row and before:
        air[before - 1, col.AIR_NEXT] = air[row - 1, col.AIR_NEXT]
    elif row:
        narrow[device, col.EARLY] = air[row - 1, col.AIR_NEXT]
    return row


def find_row(air: Table, narrow: Table, device: int, way: int, number: int) -> int:
    """Return the row of a device's frame under way that has a number."""
    row = int(narrow[device, col.UP_FIRST if way == UP else col.DOWN_FIRST])
    while air[row - 1, col.AIR_NUMBER] != number:
        row = air[row - 1, col.AIR_NEXT]
    return row
