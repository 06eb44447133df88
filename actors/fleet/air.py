"""What devices of a compiled cell share: radio cells, and the cloud's way out at the same time.

The model is ``netsim.sharing``'s, and ``actors.network`` says which frame crosses what. A *hub* is
one such thing with all that crosses it: the cloud's way out is hub 0, and each radio cell has one
for either direction. What crosses the cloud's way out has its radio cell or its own link as a leaf.

A frame has a row from when it is sent until it lands: its own link has carried it, its bytes are
booked, and what is open is when it has crossed the hub.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.columns import DOWN
from actors.fleet.events import push
from actors.fleet.layout import (
    AIR_FREE,
    AIR_LEFT,
    CLOUD,
    LANDED,
    LANE_NETWORK,
    NETWORK_NOW,
    SEVERAL,
    SHARES,
    SINGLE,
    Books,
    Fleet,
)
from actors.fleet.names import CLOUD_FIGURES, SERIES
from actors.fleet.tally import bin_of
from actors.plan import REQUEST_BITS
from netsim.carriage import serialise_ns
from netsim.fairness import BITS, completion_ns, share_bps

_EGRESS_BUSY = CLOUD + CLOUD_FIGURES.index("egress_busy_ns")
_BIN_EGRESS_BUSY = SERIES.index("egress_busy_ns")
TURNS = (1 << 23) - 1
"""Changes of a hub are counted up to here and begin anew."""


def take_row(engine: Column, air: Table) -> int:
    """Return a row that nobody has."""
    row = engine[AIR_FREE]
    engine[AIR_FREE] = air[row - 1, col.AIR_BEHIND]
    engine[AIR_LEFT] -= 1
    air[row - 1, col.AIR_BEHIND] = 0
    return row


def give_row(engine: Column, air: Table, row: int) -> None:
    """Give a row back."""
    air[row - 1, col.AIR_BEHIND] = engine[AIR_FREE]
    engine[AIR_FREE] = row
    engine[AIR_LEFT] += 1


def hub_of(fleet: Fleet, books: Books, device: int, way: int) -> int:
    """Return what a device's frames cross in a direction; -1 for nothing that others cross too."""
    if fleet.fluid and way == DOWN:
        return 0
    radio = int(books.narrow[device, col.RADIO])
    if radio < 0:
        return -1
    hub = 1 + 2 * radio + way
    return hub if books.hubs[hub, col.HUB_BPS] else -1


def serve(hubs: Table, hub: int, at_ns: int, wire_bytes: int) -> int:
    """Have a hub serve a frame behind all that came before; return when it has."""
    begun_ns = max(at_ns, hubs[hub, col.HUB_UNTIL])
    hubs[hub, col.HUB_UNTIL] = begun_ns + serialise_ns(wire_bytes, hubs[hub, col.HUB_BPS])
    return hubs[hub, col.HUB_UNTIL]


def join(fleet: Fleet, books: Books, hub: int, row: int, now_ns: int) -> None:
    """Begin to send a frame through a hub, or behind those of its own connection."""
    air, at = books.air, row - 1
    device, way = air[at, col.AIR_DEVICE], air[at, col.AIR_WAY]
    pass_time(books, hub, now_ns)
    tail = int(books.narrow[device, col.TAIL + way])
    if SEVERAL and tail:
        tail = last_of(books, hub, row)
    books.narrow[device, col.TAIL + way] = row
    if tail:
        air[tail - 1, col.AIR_BEHIND] = row
        return
    begin_flow(books.hubs, air, hub, row)
    share(fleet, books, hub)


def last_of(books: Books, hub: int, row: int) -> int:
    """Return the last frame of a frame's connection, 0 for none.

    Frames that come down to a device from several replicas are as many connections.
    """
    air, at = books.air, row - 1
    down = air[at, col.AIR_WAY] == DOWN
    found = books.hubs[hub, col.HUB_FIRST]
    while found and (
        air[found - 1, col.AIR_DEVICE] != air[at, col.AIR_DEVICE]
        or (down and air[found - 1, col.AIR_REPLICA] != air[at, col.AIR_REPLICA])
    ):
        found = air[found - 1, col.AIR_AFTER]
    while found and air[found - 1, col.AIR_BEHIND]:
        found = air[found - 1, col.AIR_BEHIND]
    return int(found)


def begin_flow(hubs: Table, air: Table, hub: int, row: int) -> None:
    """Put a frame among those that cross a hub."""
    first = hubs[hub, col.HUB_FIRST]
    air[row - 1, col.AIR_LEFT_BITS] = air[row - 1, col.AIR_BYTES] * BITS
    air[row - 1, col.AIR_BEFORE] = 0
    air[row - 1, col.AIR_AFTER] = first
    if first:
        air[first - 1, col.AIR_BEFORE] = row
    hubs[hub, col.HUB_FIRST] = row
    hubs[hub, col.HUB_FLOWS] += 1


def follow_flow(hubs: Table, air: Table, hub: int, row: int, behind: int) -> None:
    """Put the next frame of a connection in the place of one that has crossed."""
    before, after = air[row - 1, col.AIR_BEFORE], air[row - 1, col.AIR_AFTER]
    air[behind - 1, col.AIR_LEFT_BITS] = air[behind - 1, col.AIR_BYTES] * BITS
    air[behind - 1, col.AIR_BEFORE] = before
    air[behind - 1, col.AIR_AFTER] = after
    if before:
        air[before - 1, col.AIR_AFTER] = behind
    else:
        hubs[hub, col.HUB_FIRST] = behind
    if after:
        air[after - 1, col.AIR_BEFORE] = behind


def end_flow(hubs: Table, air: Table, hub: int, row: int) -> None:
    """Take a frame out of those that cross a hub."""
    before, after = air[row - 1, col.AIR_BEFORE], air[row - 1, col.AIR_AFTER]
    if before:
        air[before - 1, col.AIR_AFTER] = after
    else:
        hubs[hub, col.HUB_FIRST] = after
    if after:
        air[after - 1, col.AIR_BEFORE] = before
    hubs[hub, col.HUB_FLOWS] -= 1


def pass_time(books: Books, hub: int, now_ns: int) -> None:
    """Send at the present rates until now."""
    air, hubs = books.air, books.hubs
    elapsed_ns = now_ns - hubs[hub, col.HUB_NOW]
    hubs[hub, col.HUB_NOW] = now_ns
    books.engine[NETWORK_NOW] = now_ns
    row = hubs[hub, col.HUB_FIRST]
    if hub == 0 and row:
        books.engine[_EGRESS_BUSY] += elapsed_ns
        at = bin_of(books.engine, books.series, now_ns - elapsed_ns)
        books.series[at, _BIN_EGRESS_BUSY] += elapsed_ns
    while row:
        air[row - 1, col.AIR_LEFT_BITS] -= air[row - 1, col.AIR_RATE] * elapsed_ns
        row = air[row - 1, col.AIR_AFTER]


def end_crossings(fleet: Fleet, books: Books, hub: int, turn: int, now_ns: int) -> None:
    """Chain up the frames that have crossed a hub by now, and begin what is behind them."""
    air, hubs, narrow = books.air, books.hubs, books.narrow
    if hubs[hub, col.HUB_TURN] != turn:
        return  # who joined in the meantime moved it
    pass_time(books, hub, now_ns)
    row = hubs[hub, col.HUB_FIRST]
    while row:
        at = row - 1
        after = air[at, col.AIR_AFTER]
        if air[at, col.AIR_LEFT_BITS] <= 0:
            behind = air[at, col.AIR_BEHIND]
            if behind:
                follow_flow(hubs, air, hub, row, behind)
            else:
                end_flow(hubs, air, hub, row)
                if SINGLE:
                    narrow[air[at, col.AIR_DEVICE], col.TAIL + air[at, col.AIR_WAY]] = 0
            air[at, col.AIR_BEHIND] = books.engine[LANDED]
            books.engine[LANDED] = row
        row = after
    share(fleet, books, hub)


def share(fleet: Fleet, books: Books, hub: int) -> None:
    """Give all that cross a hub their max-min fair rates, and look again when the first is done."""
    air, hubs = books.air, books.hubs
    flows, left_bps = hubs[hub, col.HUB_FLOWS], hubs[hub, col.HUB_BPS]
    hubs[hub, col.HUB_TURN] = hubs[hub, col.HUB_TURN] + 1 & TURNS
    if flows == 0:
        return
    row = hubs[hub, col.HUB_FIRST]
    while row:
        air[row - 1, col.AIR_RATE] = 0
        row = air[row - 1, col.AIR_AFTER]
    rate_bps = rest_bps(fleet, books) if hub == 0 else share_bps(left_bps, flows)
    next_ns = -1
    row = hubs[hub, col.HUB_FIRST]
    while row:
        at = row - 1
        if air[at, col.AIR_RATE] == 0:
            air[at, col.AIR_RATE] = rate_bps
        done_ns = completion_ns(
            hubs[hub, col.HUB_NOW], air[at, col.AIR_LEFT_BITS], air[at, col.AIR_RATE]
        )
        next_ns = done_ns if next_ns < 0 else min(next_ns, done_ns)
        row = air[at, col.AIR_AFTER]
    turn = hubs[hub, col.HUB_TURN]
    push(books.engine, books.heap, next_ns, LANE_NETWORK, hub, turn, SHARES << REQUEST_BITS)


def rest_bps(fleet: Fleet, books: Books) -> int:
    """Give what leaves the cloud the rates of tighter leaves; return what each other flow gets."""
    air, hubs = books.air, books.hubs
    flows, left_bps, found = hubs[0, col.HUB_FLOWS], hubs[0, col.HUB_BPS], 1
    count_members(books)
    while found:
        found = 0
        row = hubs[0, col.HUB_FIRST]
        while row and flows:
            if air[row - 1, col.AIR_RATE] == 0:
                leaf_bps = leaf_share(fleet, books, air[row - 1, col.AIR_DEVICE])
                if 0 <= leaf_bps < left_bps // flows:
                    air[row - 1, col.AIR_RATE] = max(leaf_bps, 1)
                    left_bps = max(left_bps - max(leaf_bps, 1), 0)
                    flows -= 1
                    found = 1
            row = air[row - 1, col.AIR_AFTER]
    return share_bps(left_bps, max(flows, 1))


def count_members(books: Books) -> None:
    """Count who of those that cross the cloud's way out is in which radio cell."""
    air, hubs = books.air, books.hubs
    for step in range(2):
        row = hubs[0, col.HUB_FIRST]
        while row:
            radio = int(books.narrow[air[row - 1, col.AIR_DEVICE], col.RADIO])
            if radio >= 0:
                leaf = 1 + 2 * radio + DOWN
                hubs[leaf, col.HUB_MEMBERS] = hubs[leaf, col.HUB_MEMBERS] + 1 if step else 0
            row = air[row - 1, col.AIR_AFTER]


def leaf_share(fleet: Fleet, books: Books, device: int) -> int:
    """Return what a device's own link, or its part of its radio cell, lets through; -1 for all."""
    radio = int(books.narrow[device, col.RADIO])
    if radio >= 0:
        leaf = 1 + 2 * radio + DOWN
        rate_bps = books.hubs[leaf, col.HUB_BPS]
        if rate_bps == 0 or books.hubs[leaf, col.HUB_FIFO]:
            return -1
        return rate_bps // books.hubs[leaf, col.HUB_MEMBERS]
    kind = int(books.narrow[device, col.KIND])
    rate_bps = fleet.kind[kind, col.RATE]
    if fleet.kind[kind, col.OWN]:
        rate_bps = fleet.own[device, col.OWN_BPS]
    return rate_bps or -1


def landing_ns(fleet: Fleet, books: Books, row: int, done_ns: int) -> int:
    """Return when a frame arrives that has crossed its hub."""
    air, at = books.air, row - 1
    device, way = air[at, col.AIR_DEVICE], air[at, col.AIR_WAY]
    if fleet.fluid and way == DOWN:
        # A radio cell that serves one frame after the other comes behind the cloud's way out.
        radio = int(books.narrow[device, col.RADIO])
        leaf = 1 + 2 * radio + DOWN
        if radio >= 0 and books.hubs[leaf, col.HUB_FIFO] and books.hubs[leaf, col.HUB_BPS]:
            done_ns = serve(books.hubs, leaf, done_ns, air[at, col.AIR_BYTES])
    arrival_ns = max(air[at, col.AIR_ARRIVAL], done_ns + air[at, col.AIR_TRAVEL])
    kind = int(books.narrow[device, col.KIND])
    if fleet.kind[kind, way * col.WAY_STRIDE + col.TCP + col.ORDERED]:
        arrival_ns = max(arrival_ns, books.wide[device, col.LANDED_AT + way])
        books.wide[device, col.LANDED_AT + way] = arrival_ns
    return arrival_ns
