"""What a compiled cell writes down while it runs: histograms, sums, bins, digests.

A record is counted when it is known, which may be before its time has come: what comes after the
cell's end is left out by its time, not by when it was worked out.
"""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.histogram import bucket_of
from actors.fleet.layout import BIN_NS, DIGEST, OUTPUT, PAUSING, STAGE, TOKENS_TOLD, Books, Fleet
from actors.fleet.names import CLASS_FIGURES, HISTOGRAMS, SERIES
from actors.fleet.sampled import write_request, write_token
from costeer.token_record import STAGES
from netsim.random import hash_u64, u64

_ITL, _TTFT, _TPOT, _E2E, _STALL = (
    HISTOGRAMS.index(name) for name in ("itl", "ttft", "tpot", "e2e", "stall")
)
_STAGE = HISTOGRAMS.index(STAGES[0])
_STAGES = len(STAGES)

_TOKENS, _DELIVERED, _CERTIFIED, _REFINED, _ROUNDS, _BUSY = (
    CLASS_FIGURES.index(name)
    for name in ("tokens", "delivered", "certified", "refined", "rounds", "busy_edge_ns")
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


def tell_end(
    fleet: Fleet, books: Books, device: int, now_ns: int, tokens: int, failed: bool
) -> None:
    """Write down that a request ended: with all its tokens, or failed and with fewer."""
    wide = books.wide
    arrival_ns = wide[device, col.ARRIVAL]
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        kind = int(books.narrow[device, col.KIND])
        books.by_class[kind, _FINISHED] += 1
        books.series[bin_of(books.engine, books.series, now_ns), _BIN_FINISHED] += 1
        if failed:
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
        by_class[kind, _CERTIFIED] += certified_of(fleet, books, device, outcome)
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
    engine[TOKENS_TOLD] += int(now_ns <= fleet.ends[1])
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


def certified_of(fleet: Fleet, books: Books, device: int, outcome: int) -> int:
    """Return 1 if the token that is told is certified; the cloud's own, unsteered, never is."""
    if PAUSING and fleet.pauses and books.gates[device, col.OWN_TOKEN]:
        return 0
    return int(fleet.outcome[outcome, col.CERTIFIED])


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
    word += np.uint64(certified_of(fleet, books, device, outcome)) * _ODD[7]
    for stage in range(_STAGES):
        word += np.uint64(books.engine[STAGE + stage]) * _ODD[8 + stage]
    books.words[DIGEST] += hash_u64(word, token)
