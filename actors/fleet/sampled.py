"""What a compiled cell writes down of sampled devices: each token and request in full.

A sampled device has room for the tokens of the session that it is in; those of a session that has
ended go behind all such rooms, until they are fetched.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.layout import REQUESTS_OUT, SEVERAL, STAGE, TOKENS_OUT, Books, Fleet
from costeer.token_record import STAGES

_STAGES = len(STAGES)


def write_token(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    outcome: int,
    now_ns: int,
    latency_ns: int,
    busy_ns: int,
) -> None:
    """Write a sampled device's token down in full."""
    rows = books.rows
    row = device // fleet.every * fleet.longest + position
    rows[row, col.ROW_DEVICE] = device
    rows[row, col.ROW_REQUEST] = books.narrow[device, col.SESSION]
    rows[row, col.ROW_POSITION] = position
    rows[row, col.ROW_OUTCOME] = outcome
    rows[row, col.CHOSEN_AT] = now_ns
    rows[row, col.LATENCY] = latency_ns
    for stage in range(_STAGES):
        rows[row, col.STAGES + stage] = books.engine[STAGE + stage]
    rows[row, col.BUSY] = busy_ns
    if SEVERAL:
        rows[row, col.ROW_REPLICA] = books.narrow[device, col.SERVED]


def write_own(fleet: Fleet, books: Books, device: int, position: int) -> None:
    """Write down whether a sampled device's next token is the cloud's own."""
    if fleet.every and device % fleet.every == 0:
        row = device // fleet.every * fleet.longest + position
        books.rows[row, col.UNSTEERED] = books.gates[device, col.OWN_TOKEN]


def book(fleet: Fleet, books: Books, device: int) -> None:
    """Book what a sampled device moved with its next token that has no bytes yet."""
    slot, rows = books.requests, books.rows
    at = device // fleet.every
    row = at * fleet.longest + slot[at, col.BOOKED]
    slot[at, col.BOOKED] += 1
    for figure in range(col.MOVED_FIGURES):
        moved = slot[at, col.METER + figure]
        rows[row, col.MOVED + figure] = moved
        slot[at, col.TOTAL + figure] += moved
        slot[at, col.METER + figure] = 0


def book_accepted(fleet: Fleet, books: Books, device: int, position: int, now_ns: int) -> None:
    """Book the bytes of streamed tokens before a position that were accepted by now.

    A token's bytes are what was sent until it was accepted, so they are booked when the next frame
    is sent, or after the last one.
    """
    slot, rows = books.requests, books.rows
    at = device // fleet.every
    first = at * fleet.longest
    while (
        slot[at, col.BOOKED] < position
        and rows[first + slot[at, col.BOOKED], col.CHOSEN_AT] <= now_ns
    ):
        book(fleet, books, device)


def write_request(fleet: Fleet, books: Books, device: int, now_ns: int, tokens: int) -> None:
    """Write a sampled device's request down in full, with its tokens, and clear its books."""
    engine, slot, rows = books.engine, books.requests, books.rows
    at = device // fleet.every
    while slot[at, col.BOOKED] < tokens:
        book(fleet, books, device)
    first = at * fleet.longest
    for position in range(tokens):
        out = fleet.slots * fleet.longest + engine[TOKENS_OUT]
        if rows[first + position, col.CHOSEN_AT] <= fleet.ends[1]:
            for figure in range(col.ROW_FIGURES):
                rows[out, figure] = rows[first + position, figure]
            engine[TOKENS_OUT] += 1
    out, requests = fleet.slots + engine[REQUESTS_OUT], books.requests
    requests[out, col.ROW_DEVICE] = device
    requests[out, col.ROW_REQUEST] = books.narrow[device, col.SESSION]
    requests[out, col.ASKED_AT] = books.wide[device, col.ARRIVAL]
    requests[out, col.ENDED_AT] = now_ns
    requests[out, col.FAILED] = int(tokens == 0)
    requests[out, col.TOKENS] = tokens
    if SEVERAL:
        requests[out, col.REQUEST_REPLICA] = books.narrow[device, col.SERVED]
    for figure in range(col.MOVED_FIGURES):
        closing = slot[at, col.METER + figure]
        requests[out, col.MOVED_IN_ALL + figure] = slot[at, col.TOTAL + figure] + closing
        requests[out, col.CLOSING + figure] = closing
        slot[at, col.TOTAL + figure] = 0
        slot[at, col.METER + figure] = 0
    slot[at, col.BOOKED] = 0
    engine[REQUESTS_OUT] += 1
