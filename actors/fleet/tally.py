"""What a compiled cell writes down while it runs: histograms, sums, bins, digests, sampled rows.

A record is counted when it is known, which may be before its time has come: what comes after the
cell's end is left out by its time, not by when it was worked out.
"""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.histogram import bucket_of
from actors.fleet.layout import (
    BIN_NS,
    DIGEST,
    DRAFTING,
    OUTPUT,
    REQUESTS_OUT,
    STAGE,
    TOKENS_OUT,
    TOKENS_TOLD,
    Books,
    Column,
    Fleet,
    Table,
)
from actors.fleet.names import CLASS_FIGURES, HISTOGRAMS, SERIES
from actors.fleet.sessions import sessions_begin
from costeer.critical_path import walk_back
from costeer.token_record import STAGES
from netsim.random import hash_u64, u64

_ITL, _TTFT, _TPOT, _E2E, _STALL = (
    HISTOGRAMS.index(name) for name in ("itl", "ttft", "tpot", "e2e", "stall")
)
_STAGE = HISTOGRAMS.index(STAGES[0])
_STAGES = len(STAGES)
_OVERHEAD = _STAGES - 1

_TOKENS, _DELIVERED, _CERTIFIED, _REFINED, _ROUNDS, _MOVED, _BUSY = (
    CLASS_FIGURES.index(name)
    for name in (
        "tokens",
        "delivered",
        "certified",
        "refined",
        "rounds",
        "payload_bytes_down",
        "busy_edge_ns",
    )
)
_DRAFTED = CLASS_FIGURES.index("drafted")
_ARRIVED, _FINISHED, _FAILED, _FIRST_STAGE = (
    CLASS_FIGURES.index(name) for name in ("arrived", "finished", "failed", f"first_{STAGES[0]}_ns")
)
_BIN_TOKENS, _BIN_ARRIVED, _BIN_FINISHED = (
    SERIES.index(name) for name in ("tokens", "arrived", "finished")
)
_ODD = tuple(np.uint64(u64(1, 0xD16E, 0, each) | 1) for each in range(11 + len(STAGES)))
"""Odd numbers that records are hashed with."""
_REQUEST_ODD = 8 + len(STAGES)
"""Where those begin that requests are hashed with, behind those of tokens."""


# --------------------------------------------------------------------------- sums


def counts(ends: tuple[int, int], arrival_ns: int, now_ns: int) -> bool:
    """Whether what a request does at an instant is counted; the ends of warm-up and cell rule."""
    return now_ns <= ends[1] and arrival_ns >= ends[0]


def count(histograms: Table, kind: int, which: int, value: int) -> None:
    """Count a value in a class's histogram."""
    row = kind * len(HISTOGRAMS) + which
    histograms[row, bucket_of(value)] += 1
    histograms[row, col.SUM] += value
    histograms[row, col.LEAST] = min(histograms[row, col.LEAST], value)
    histograms[row, col.MOST] = max(histograms[row, col.MOST], value)


def bin_of(engine: Column, series: Table, now_ns: int) -> int:
    """Return the bin that an instant lies in; where there is none yet, all bins are widened."""
    size = len(series)
    found = now_ns // engine[BIN_NS]
    while found >= size:
        engine[BIN_NS] *= 2
        for at in range(size):
            for figure in range(len(SERIES)):
                two = 0
                for part in range(2 * at, min(2 * at + 2, size)):
                    two += series[part, figure]
                    series[part, figure] = 0
                series[at, figure] = two
        found = now_ns // engine[BIN_NS]
    return found


# --------------------------------------------------------------------------- requests


def tell_arrival(fleet: Fleet, books: Books, device: int, intended_ns: int) -> None:
    """Write down that a request came."""
    if counts(fleet.ends, intended_ns, intended_ns):
        kind = int(books.narrow[device, col.KIND])
        books.by_class[kind, _ARRIVED] += 1
        books.series[bin_of(books.engine, books.series, intended_ns), _BIN_ARRIVED] += 1
        by_class = books.by_class
        by_class[kind, col.FIRST_ARRIVAL] = min(by_class[kind, col.FIRST_ARRIVAL], intended_ns)


def tell_end(fleet: Fleet, books: Books, device: int, now_ns: int, tokens: int) -> None:
    """Write down that a request ended: with all its tokens, or refused and with none."""
    wide = books.wide
    arrival_ns = wide[device, col.ARRIVAL]
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        kind = int(books.narrow[device, col.KIND])
        books.by_class[kind, _FINISHED] += 1
        books.series[bin_of(books.engine, books.series, now_ns), _BIN_FINISHED] += 1
        if tokens == 0:
            books.by_class[kind, _FAILED] += 1
        else:
            first_ns = wide[device, col.FIRST]
            count(books.histograms, kind, _E2E, now_ns - arrival_ns)
            count(books.histograms, kind, _STALL, wide[device, col.READ] - first_ns)
            if tokens > 1:
                count(books.histograms, kind, _TPOT, (now_ns - first_ns) // (tokens - 1))
        word = identity(books.narrow, device) * _ODD[_REQUEST_ODD]
        word += np.uint64(arrival_ns) * _ODD[_REQUEST_ODD + 1]
        word += np.uint64(now_ns) * _ODD[_REQUEST_ODD + 2]
        books.words[DIGEST] += hash_u64(word, np.uint64(tokens))
    if fleet.every and device % fleet.every == 0:
        write_request(fleet, books, device, now_ns, tokens)


def identity(narrow: Table, device: int) -> np.uint64:
    """Return what tells a request from all others of the fleet."""
    number = np.uint64(narrow[device, col.NUMBER])
    return number * np.uint64(4096) + np.uint64(narrow[device, col.SESSION])


# --------------------------------------------------------------------------- tokens


def tell_token(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    outcome: int,
    now_ns: int,
    busy_ns: int,
    rounds: int,
) -> None:
    """Write down that a token was chosen, its stages standing in the scratch; begin the next one.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose it is.
        position: of the token.
        outcome: row of what is said.
        now_ns: when, at the device.
        busy_ns: hidden work of the small model.
        rounds: of refinement.
    """
    wide, engine = books.wide, books.engine
    since_ns = wide[device, col.SINCE] if position else wide[device, col.ARRIVAL]
    latency_ns = now_ns - since_ns
    if position == 0:
        wide[device, col.FIRST] = now_ns
        wide[device, col.READ] = now_ns
    else:
        lead_ns = now_ns - position * fleet.reading_ns
        wide[device, col.READ] = max(wide[device, col.READ], lead_ns)
    wide[device, col.SINCE] = now_ns
    kind, by_class = int(books.narrow[device, col.KIND]), books.by_class
    if fleet.ends[0] <= now_ns <= fleet.ends[1]:
        by_class[kind, _DELIVERED] += 1
        by_class[kind, col.LAST_TOKEN] = max(by_class[kind, col.LAST_TOKEN], now_ns)
        books.series[bin_of(books.engine, books.series, now_ns), _BIN_TOKENS] += 1
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        by_class[kind, _TOKENS] += 1
        by_class[kind, _CERTIFIED] += fleet.outcome[outcome, col.CERTIFIED]
        by_class[kind, _BUSY] += busy_ns
        if rounds:
            by_class[kind, _REFINED] += 1
            by_class[kind, _ROUNDS] += rounds
        if position:
            count(books.histograms, kind, _ITL, latency_ns)
        else:
            count(books.histograms, kind, _TTFT, latency_ns)
            for stage in range(_STAGES):
                by_class[kind, _FIRST_STAGE + stage] += engine[STAGE + stage]
        for stage in range(_STAGES):
            if engine[STAGE + stage]:
                count(books.histograms, kind, _STAGE + stage, engine[STAGE + stage])
        hash_token(fleet, books, device, position, outcome, now_ns, latency_ns, busy_ns, rounds)
    engine[TOKENS_TOLD] += 1
    if fleet.every and device % fleet.every == 0:
        write_token(fleet, books, device, position, outcome, now_ns, latency_ns, busy_ns)


def tell_drafts(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    now_ns: int,
    right: int,
    refuted: int,
    unsent: int,
) -> None:
    """Write down what became of drafts with the token that is told next."""
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        kind, by_class = int(books.narrow[device, col.KIND]), books.by_class
        by_class[kind, _DRAFTED] += right
        by_class[kind, _DRAFTED + 1] += int(refuted > 0)
        by_class[kind, _DRAFTED + 2] += refuted
        by_class[kind, _DRAFTED + 3] += unsent
    if fleet.every and device % fleet.every == 0:
        row = device // fleet.every * fleet.longest + position
        books.rows[row, col.DRAFTED] = right
        books.rows[row, col.REFUTED] = refuted
        books.rows[row, col.UNSENT] = unsent


def cut_stages(engine: Column, latency_ns: int) -> None:
    """Cut the stages in the scratch to what a latency consists of."""
    walk_back(latency_ns, engine[STAGE : STAGE + _STAGES])


def hash_token(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    outcome: int,
    now_ns: int,
    latency_ns: int,
    busy_ns: int,
    rounds: int,
) -> None:
    """Add a token's record to both digests."""
    word = identity(books.narrow, device) * _ODD[0] + np.uint64(position) * _ODD[1]
    token = np.uint64(fleet.outcome[outcome, col.OUTCOME_TOKEN])
    books.words[OUTPUT] += hash_u64(word, token)
    word += token * _ODD[2] + np.uint64(now_ns) * _ODD[3] + np.uint64(latency_ns) * _ODD[4]
    word += np.uint64(busy_ns) * _ODD[5] + np.uint64(rounds) * _ODD[6]
    word += np.uint64(fleet.outcome[outcome, col.CERTIFIED]) * _ODD[7]
    for stage in range(_STAGES):
        word += np.uint64(books.engine[STAGE + stage]) * _ODD[8 + stage]
    books.words[DIGEST] += hash_u64(word, token)


# --------------------------------------------------------------------------- bytes


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


# --------------------------------------------------------------------------- sampled rows


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
    for figure in range(col.MOVED_FIGURES):
        closing = slot[at, col.METER + figure]
        requests[out, col.MOVED_IN_ALL + figure] = slot[at, col.TOTAL + figure] + closing
        requests[out, col.CLOSING + figure] = closing
        slot[at, col.TOTAL + figure] = 0
        slot[at, col.METER + figure] = 0
    slot[at, col.BOOKED] = 0
    engine[REQUESTS_OUT] += 1
