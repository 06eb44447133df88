"""Frames of a compiled cell on their way into what devices share, and out of it."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.air import give_row, hub_of, join, landing_ns, serve, take_row
from actors.fleet.columns import DOWN, UP
from actors.fleet.events import push
from actors.fleet.layout import JOIN, LANE_NETWORK, REPLICA, SEVERAL, Books, Fleet
from actors.plan import REQUEST_BITS


def cross_down(
    fleet: Fleet,
    books: Books,
    device: int,
    now_ns: int,
    left_ns: int,
    arrival_ns: int,
    wire_bytes: int,
) -> int:
    """Send a frame down through what its device shares; see ``send_down``.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose frame it is.
        now_ns: when the cloud sends it.
        left_ns: when it has left the cloud, where frames do so one after the other.
        arrival_ns: when it arrives by its own link alone.
        wire_bytes: its bytes there.
    """
    engine, air, hubs = books.engine, books.air, books.hubs
    hub = hub_of(fleet, books, device, DOWN)
    if hub < 0:
        return arrival_ns
    row = take_row(engine, air)
    fill_row(books, row, device, DOWN, arrival_ns, wire_bytes)
    if hubs[hub, col.HUB_FIFO]:
        done_ns = serve(hubs, hub, left_ns, wire_bytes)
        arrival_ns = landing_ns(fleet, books, row, done_ns)
        give_row(engine, air, row)
        return arrival_ns
    if left_ns == now_ns:
        join(fleet, books, hub, row, now_ns)
    else:
        push(engine, books.heap, left_ns, LANE_NETWORK, device, row, JOIN << REQUEST_BITS)
    return -row


def fill_row(
    books: Books, row: int, device: int, way: int, arrival_ns: int, wire_bytes: int
) -> None:
    """Write down what a device's own link made of a frame."""
    air, at = books.air, row - 1
    departure_ns = books.wide[device, way * col.WIDE_STRIDE + col.BUSY_UNTIL]
    air[at, col.AIR_WAY] = way
    air[at, col.AIR_DEVICE] = device
    air[at, col.AIR_SESSION] = books.narrow[device, col.SESSION]
    if SEVERAL:
        air[at, col.AIR_REPLICA] = books.engine[REPLICA]
    air[at, col.AIR_ARRIVAL] = arrival_ns
    air[at, col.AIR_TRAVEL] = arrival_ns - departure_ns
    air[at, col.AIR_BYTES] = wire_bytes


def cross_up(
    fleet: Fleet, books: Books, device: int, sent_ns: int, arrival_ns: int, wire_bytes: int
) -> int:
    """Lay a frame down that is sent up through what its device shares; return its row, 0 for none.

    It meets the others when its time has come.
    """
    if hub_of(fleet, books, device, UP) < 0:
        return 0
    narrow, air = books.narrow, books.air
    row = take_row(books.engine, air)
    fill_row(books, row, device, UP, arrival_ns, wire_bytes)
    air[row - 1, col.AIR_SENT] = sent_ns
    first = int(narrow[device, col.CROSSING])
    if first == 0:
        narrow[device, col.CROSSING] = row
        return row
    while air[first - 1, col.AIR_BEHIND]:
        first = air[first - 1, col.AIR_BEHIND]
    air[first - 1, col.AIR_BEHIND] = row
    return row
