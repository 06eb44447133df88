"""The network of a compiled cell: one frame over one device's link, and the cloud's way out.

The rules are ``netsim``'s plain functions, called here on the figures of a class, or of the device
where its class says that each has its own.
"""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Shares, Table
from actors.fleet.columns import DOWN, UP
from actors.fleet.crossing import cross_down, cross_up
from actors.fleet.layout import CLOUD, EGRESS_UNTIL, SHARING, TROUBLED, Books, Fleet
from actors.fleet.names import CLOUD_FIGURES, SERIES
from actors.fleet.tally import bin_of
from actors.fleet.traffic import tell_down, tell_up
from netsim.carriage import carry, serialise_ns, sojourn_ns
from netsim.random import Stream, device_key, exponential_with, uniform_with
from netsim.tcp import MILLI, State, Terms
from netsim.transport import first_threshold, with_figures
from netsim.wire import WireTerms, wire_numbers

_JITTER = (int(Stream.DOWNLINK_JITTER), int(Stream.UPLINK_JITTER))
_LOSS = (int(Stream.DOWNLINK_LOSS), int(Stream.UPLINK_LOSS))
_BURST = (int(Stream.DOWNLINK_BURST), int(Stream.UPLINK_BURST))

_EGRESS_BUSY, _EGRESS_BYTES = (
    CLOUD + CLOUD_FIGURES.index(name) for name in ("egress_busy_ns", "egress_bytes")
)
_BIN_EGRESS_BUSY, _BIN_EGRESS_BYTES = (
    SERIES.index(name) for name in ("egress_busy_ns", "egress_bytes")
)
_MOST = (1 << 31) - 1
"""The largest window that is told from an infinite one: two million packets."""


# --------------------------------------------------------------------------- a device's figures


def wire_of(of: Table, kind: int) -> WireTerms:
    """Return what rules bytes on a class's links."""
    at = col.WIRE
    return (
        of[kind, at],
        of[kind, at + 1],
        of[kind, at + 2],
        of[kind, at + 3],
        of[kind, at + 4],
        of[kind, at + 5],
        of[kind, at + 6],
        of[kind, at + 7],
    )


def class_terms(of: Table, kind: int, way: int) -> Terms:
    """Return what rules a direction of a class."""
    at = col.TCP + way * col.WAY_STRIDE
    return (
        of[kind, at],
        of[kind, at + 1],
        of[kind, at + 2],
        of[kind, at + 3],
        of[kind, at + 4],
        of[kind, at + 5],
        of[kind, at + 6],
        of[kind, at + 7],
        of[kind, at + 8],
    )


def own_figures(
    of: Table, own: Table, device: int, kind: int, way: int
) -> tuple[int, int, int, Terms]:
    """Return rate, propagation, time of a full packet and terms of a device's own direction."""
    at = way * col.WAY_STRIDE
    rate_bps, rtt_ns = own[device, col.OWN_BPS + way], own[device, col.OWN_RTT]
    half_ns = rtt_ns // 2
    propagation_ns = half_ns if way == UP else rtt_ns - half_ns
    rto_ns = of[kind, col.TIME_OUT_NS] + rtt_ns * of[kind, col.ADDED]
    ack_ns = rtt_ns + of[kind, col.JITTER] + of[kind, col.JITTER + col.WAY_STRIDE]
    packet_ns = serialise_ns(of[kind, at + col.PACKET_BYTES], rate_bps)
    buffer = of[kind, at + col.TCP + 8]
    if of[kind, at + col.TRACE_RATES] == 0:
        buffer = serialise_ns(of[kind, at + col.BUFFER], rate_bps)
    terms = with_figures(class_terms(of, kind, way), ack_ns, rto_ns, buffer, packet_ns)
    return rate_bps, propagation_ns, packet_ns, terms


def lay_link(fleet: Fleet, books: Books, device: int) -> None:
    """Give a device a link that has carried nothing; see ``Transport.fresh``."""
    narrow = books.narrow
    kind, number = int(narrow[device, col.KIND]), int(narrow[device, col.NUMBER])
    for way in range(2):
        line = way * col.WAY_STRIDE
        initial = fleet.kind[kind, line + col.TCP + 2]
        threshold = fleet.kind[kind, line + col.FRESH]
        if fleet.kind[kind, col.OWN]:
            _, _, packet_ns, terms = own_figures(fleet.kind, fleet.own, device, kind, way)
            paced = fleet.kind[kind, line + col.PACED] > 0
            threshold = first_threshold(terms[0], packet_ns, paced)
        if initial:
            at = way * col.NARROW_STRIDE
            narrow[device, at + col.WINDOW] = initial * MILLI
            narrow[device, at + col.THRESHOLD] = min(threshold, _MOST)
        if fleet.kind[kind, line + col.GAP_NS]:
            ends = way * col.STAY_STRIDE + col.STAY_ENDS
            books.wide[device, ends] = stay_ns(fleet.kind, fleet.word, kind, number, way, 0)


# --------------------------------------------------------------------------- losses


def stay_ns(of: Table, word: np.uint64, kind: int, number: int, way: int, stays: int) -> int:
    """Return how long a device's so manieth gap between bursts, or burst, lasts."""
    line = way * col.WAY_STRIDE
    key = device_key(word, _BURST[way], number)
    draw = exponential_with(key, stays)
    gap_ns, burst_ns = of[kind, line + col.GAP_NS], of[kind, line + col.BURST_NS]
    return sojourn_ns(stays, draw, gap_ns, burst_ns)


def loss_at(
    of: Table,
    odds: Shares,
    word: np.uint64,
    wide: Table,
    narrow: Table,
    device: int,
    way: int,
    now_ns: int,
) -> float:
    """Return how probably a packet that is sent now is lost."""
    kind, number = int(narrow[device, col.KIND]), int(narrow[device, col.NUMBER])
    line, at = 2 * kind + way, way * col.STAY_STRIDE
    if of[kind, way * col.WAY_STRIDE + col.GAP_NS] == 0:
        return odds[line, col.LOSS]
    while wide[device, at + col.STAY_ENDS] <= now_ns:
        stays = wide[device, at + col.STAYS] + 1
        wide[device, at + col.STAYS] = stays
        wide[device, at + col.STAY_ENDS] += stay_ns(of, word, kind, number, way, stays)
    return odds[line, col.BURST_LOSS if wide[device, at + col.STAYS] & 1 else col.LOSS]


# --------------------------------------------------------------------------- frames


def send_up(fleet: Fleet, books: Books, device: int, now_ns: int, size: int) -> int:
    """Send a frame up; return when it arrives, or its row in the air, see ``send_down``."""
    arrival_ns, wire_bytes, packets, ack_bytes = transmit(
        fleet.kind,
        fleet.odds,
        fleet.own,
        fleet.plain,
        fleet.word,
        books.wide,
        books.narrow,
        device,
        UP,
        now_ns,
        size,
    )
    tell_up(fleet, books, device, now_ns, size, wire_bytes, packets, ack_bytes)
    if SHARING and fleet.shared:
        row = cross_up(fleet, books, device, now_ns, arrival_ns, wire_bytes)
        return -row if row else arrival_ns
    return arrival_ns


def send_down(
    fleet: Fleet, books: Books, device: int, now_ns: int, size: int, payload_bytes: int
) -> int:
    """Send a frame down, first through the cloud's way out; return when it arrives.

    Where devices share something, that may depend on who comes later: then the frame's row in the
    air is returned, negative, and who calls writes down what the frame is.
    """
    left_ns = now_ns
    if fleet.egress_bps:
        wire_bytes = wire_numbers(size, fleet.egress_wire)[0]
        took_ns = serialise_ns(wire_bytes, fleet.egress_bps)
        left_ns = max(now_ns, books.engine[EGRESS_UNTIL]) + took_ns
        books.engine[EGRESS_UNTIL] = left_ns
        books.engine[_EGRESS_BUSY] += took_ns
        books.engine[_EGRESS_BYTES] += wire_bytes
        at = bin_of(books.engine, books.series, now_ns)
        books.series[at, _BIN_EGRESS_BUSY] += took_ns
        books.series[at, _BIN_EGRESS_BYTES] += wire_bytes
    arrival_ns, wire_bytes, packets, ack_bytes = transmit(
        fleet.kind,
        fleet.odds,
        fleet.own,
        fleet.plain,
        fleet.word,
        books.wide,
        books.narrow,
        device,
        DOWN,
        left_ns,
        size,
    )
    tell_down(fleet, books, device, now_ns, payload_bytes, size, wire_bytes, packets, ack_bytes)
    if SHARING and fleet.shared:
        if fleet.fluid:
            egress_bytes = wire_numbers(size, fleet.egress_wire)[0]
            books.engine[_EGRESS_BYTES] += egress_bytes
            at = bin_of(books.engine, books.series, now_ns)
            books.series[at, _BIN_EGRESS_BYTES] += egress_bytes
        return cross_down(fleet, books, device, now_ns, left_ns, arrival_ns, wire_bytes)
    return arrival_ns


def transmit(
    of: Table,
    odds: Shares,
    own: Table,
    plain: Column,
    word: np.uint64,
    wide: Table,
    narrow: Table,
    device: int,
    way: int,
    now_ns: int,
    size: int,
) -> tuple[int, int, int, int]:
    """Send a frame over the device's link: (arrival_ns, wire_bytes, packets, ack_bytes).

    Args:
        of: ``Fleet.kind``, and so the next four.
        odds: ...
        own: ...
        plain: ...
        word: ...
        wide: ``Books.wide``.
        narrow: ``Books.narrow``.
        device: whose link.
        way: the direction.
        now_ns: when.
        size: of the frame.
    """
    kind = int(narrow[device, col.KIND])
    near, far, line = way * col.NARROW_STRIDE, way * col.WIDE_STRIDE, way * col.WAY_STRIDE
    counter, number = int(narrow[device, near + col.FRAMES]), int(narrow[device, col.NUMBER])
    if way == UP and counter == 0:
        # All that comes later is sent later than this first frame.
        now_ns += of[kind, col.SETUP_NS]
        if TROUBLED:
            wide[device, col.CONNECTED] = now_ns
    if TROUBLED:
        # But for what is sent again.
        now_ns = max(now_ns, wide[device, col.CONNECTED])
    rate_bps = of[kind, line + col.RATE]
    delay_ns = of[kind, line + col.PROPAGATION]
    terms = class_terms(of, kind, way)
    if of[kind, col.OWN]:
        rate_bps, delay_ns, _, terms = own_figures(of, own, device, kind, way)
    jitter_ns = of[kind, line + col.JITTER]
    if jitter_ns:
        key = device_key(word, _JITTER[way], number)
        delay_ns += int(exponential_with(key, counter) * jitter_ns)
    loss, uniform = loss_at(of, odds, word, wide, narrow, device, way, now_ns), 0.0
    if loss > 0.0:
        uniform = uniform_with(device_key(word, _LOSS[way], number), counter)
    room = int(narrow[device, near + col.ROOM])
    flow: State = (
        wide[device, far + col.BUSY_UNTIL],
        wide[device, far + col.LAST_ARRIVAL],
        int(narrow[device, near + col.WINDOW]),
        int(narrow[device, near + col.THRESHOLD]),
        wide[device, far + col.ROUND_END],
        int(narrow[device, near + col.ROUND_PACKETS]),
        wide[device, far + col.SENT_AT],
        room & 1,
    )
    rates = of[kind, line + col.TRACE_RATES]
    if rates:
        first = of[kind, line + col.TRACE_FIRST]
        carried, bps = first + rates + 1, first + 2 * rates + 2
        trace = (
            plain[first:carried],
            plain[carried:bps],
            plain[bps : bps + rates],
            own[device, col.OWN_OFFSET_NS],
        )
        arrival_ns, wire_bytes, packets, ack_bytes, _, _, room_bytes, after = carry(
            now_ns,
            size,
            delay_ns,
            uniform,
            loss,
            rate_bps,
            wire_of(of, kind),
            terms,
            flow,
            room >> 1,
            trace,
        )
    else:
        arrival_ns, wire_bytes, packets, ack_bytes, _, _, room_bytes, after = carry(
            now_ns,
            size,
            delay_ns,
            uniform,
            loss,
            rate_bps,
            wire_of(of, kind),
            terms,
            flow,
            room >> 1,
        )
    wide[device, far + col.BUSY_UNTIL] = after[0]
    wide[device, far + col.LAST_ARRIVAL] = after[1]
    narrow[device, near + col.WINDOW] = min(after[2], _MOST)
    narrow[device, near + col.THRESHOLD] = min(after[3], _MOST)
    wide[device, far + col.ROUND_END] = after[4]
    narrow[device, near + col.ROUND_PACKETS] = after[5]
    wide[device, far + col.SENT_AT] = after[6]
    narrow[device, near + col.ROOM] = room_bytes << 1 | after[7]
    narrow[device, near + col.FRAMES] = counter + 1
    return arrival_ns, wire_bytes, packets, ack_bytes
