"""What a compiled cell writes down of the bytes that a device moves."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.layout import DRAFTING, TROUBLED, Books, Fleet
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sessions import sessions_begin
from actors.fleet.tally import counts

_MOVED = CLASS_FIGURES.index("payload_bytes_down")


def tell_up(
    fleet: Fleet,
    books: Books,
    device: int,
    now_ns: int,
    frame_bytes: int,
    wire_bytes: int,
    packets: int,
    ack_bytes: int,
) -> None:
    """Write down what a device sent at an instant."""
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        kind, by_class = int(books.narrow[device, col.KIND]), books.by_class
        by_class[kind, _MOVED + 2] += ack_bytes
        by_class[kind, _MOVED + 4] += frame_bytes
        by_class[kind, _MOVED + 5] += wire_bytes
        by_class[kind, _MOVED + 6] += packets
    if fleet.every and device % fleet.every == 0 and now_ns <= fleet.ends[1]:
        at, slot = device // fleet.every, books.requests
        slot[at, col.METER + 2] += ack_bytes
        slot[at, col.METER + 4] += frame_bytes
        slot[at, col.METER + 5] += wire_bytes
        slot[at, col.METER + 6] += packets


def tell_down(
    fleet: Fleet,
    books: Books,
    device: int,
    now_ns: int,
    payload_bytes: int,
    frame_bytes: int,
    wire_bytes: int,
    packets: int,
    ack_bytes: int,
) -> None:
    """Write down what the cloud sent to a device at an instant."""
    if DRAFTING and fleet.window and not is_asking(fleet, books, device, now_ns):
        return
    if TROUBLED and books.narrow[device, col.ASKING] == 0:
        return
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        kind, by_class = int(books.narrow[device, col.KIND]), books.by_class
        by_class[kind, _MOVED] += payload_bytes
        by_class[kind, _MOVED + 1] += frame_bytes
        by_class[kind, _MOVED + 2] += wire_bytes
        by_class[kind, _MOVED + 3] += packets
        by_class[kind, _MOVED + 5] += ack_bytes
    if fleet.every and device % fleet.every == 0 and now_ns <= fleet.ends[1]:
        at, slot = device // fleet.every, books.requests
        slot[at, col.METER] += payload_bytes
        slot[at, col.METER + 1] += frame_bytes
        slot[at, col.METER + 2] += wire_bytes
        slot[at, col.METER + 3] += packets
        slot[at, col.METER + 5] += ack_bytes


def is_asking(fleet: Fleet, books: Books, device: int, now_ns: int) -> bool:
    """Whether a device that drafts is in a request: what still comes for an ended one is nobody's.

    Bytes that come for an ended request while the next one runs are booked with that one.
    """
    session = sessions_begin(fleet, device) + int(books.narrow[device, col.SESSION])
    more = session < sessions_begin(fleet, device + 1)
    return more and now_ns >= books.wide[device, col.SINCE]
