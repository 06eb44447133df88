"""What is known at a compiled cell's end of what had not ended: of requests, and of devices."""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.layout import Books, Fleet
from actors.fleet.sampled import book_accepted
from actors.fleet.sessions import sessions_begin

CUT_OFF = -1
"""The end of a request, in a sample's rows, that had none."""


def unfinished(fleet: Fleet, books: Books, end_ns: int) -> tuple[Array, Array]:
    """Return the rows of sampled devices' requests that had come by the end and not ended.

    Args:
        fleet: fixed figures.
        books: changing ones.
        end_ns: the cell's last instant.
    """
    tokens: list[Array] = [np.zeros((0, col.ROW_FIGURES), np.int64)]
    requests: list[Array] = [np.zeros((0, col.REQUEST_FIGURES), np.int64)]
    for slot in range(fleet.slots):
        device, told = slot * fleet.every, len(requests)
        begun = int(books.narrow[device, col.SESSION])
        if 0 <= begun < _sessions(fleet, device) and books.wide[device, col.ARRIVAL] <= end_ns:
            book_accepted(fleet, books, device, fleet.longest, end_ns)
            rows = np.asarray(books.rows)[slot * fleet.longest : (slot + 1) * fleet.longest]
            mine = rows[(rows[:, col.ROW_REQUEST] == begun) & (rows[:, col.CHOSEN_AT] <= end_ns)]
            tokens.append(mine)
            requests.append(_cut_off(books, device, slot, mine))
        requests += [
            _waiting(fleet, device, request)
            for request in _came_meanwhile(fleet, device, begun + 1, end_ns)
        ]
        if fleet.trouble.replicas:
            for each in requests[told:]:
                each[0, col.REQUEST_REPLICA] = books.narrow[device, col.SERVED]
    return np.concatenate(tokens), np.concatenate(requests)


def devices_done(fleet: Fleet, books: Books, end_ns: int) -> Array:
    """Return which devices have nothing more to ask: their last requests have come, or they left.

    Args:
        fleet: fixed figures.
        books: changing ones.
        end_ns: the cell's last instant.
    """
    narrow, wide = (np.asarray(each)[: fleet.devices] for each in (books.narrow, books.wide))
    last_D = _last_sessions(fleet)
    request_D = narrow[:, col.SESSION] - (last_D - _first_sessions(fleet))
    if fleet.opened:
        due_ns = np.asarray(fleet.due_ns)
        came_D = (due_ns if len(due_ns) == 1 else due_ns[last_D]) <= end_ns
    else:
        came_D = (request_D == 0) & (wide[:, col.ARRIVAL] <= end_ns)
    done_D: Array = (request_D > 0) | came_D
    return done_D


def _first_sessions(fleet: Fleet) -> Array:
    if fleet.each:
        return np.arange(fleet.devices) * fleet.each
    return np.asarray(fleet.first_session)[: fleet.devices].astype(np.int64)


def _last_sessions(fleet: Fleet) -> Array:
    if fleet.each:
        return _first_sessions(fleet) + fleet.each - 1
    return np.asarray(fleet.first_session)[1:].astype(np.int64) - 1


def _sessions(fleet: Fleet, device: int) -> int:
    return int(sessions_begin(fleet, device + 1) - sessions_begin(fleet, device))


def _cut_off(books: Books, device: int, slot: int, tokens: Array) -> Array:
    """Return the row of the request that a sampled device was in."""
    row = np.zeros((1, col.REQUEST_FIGURES), np.int64)
    row[0, : col.MOVED_IN_ALL] = (
        device,
        books.narrow[device, col.SESSION],
        books.wide[device, col.ARRIVAL],
        CUT_OFF,
        0,
        len(tokens),
    )
    mine = np.asarray(books.requests)[slot]
    moved = mine[: col.TOTAL] + mine[col.TOTAL : col.BOOKED]
    row[0, col.MOVED_IN_ALL : col.CLOSING] = moved
    row[0, col.CLOSING : col.WHY] = moved - tokens[:, col.MOVED : col.MOVED_END].sum(axis=0)
    return row


def _waiting(fleet: Fleet, device: int, request: int) -> Array:
    """Return the row of a request that waited behind another one."""
    row = np.zeros((1, col.REQUEST_FIGURES), np.int64)
    session = int(sessions_begin(fleet, device)) + request
    row[0, : col.FAILED] = device, request, _due_ns(fleet, session, session + 1)[0], CUT_OFF
    return row


def _due_ns(fleet: Fleet, first: int, end: int) -> Array:
    """Return when, or after what pause, sessions come; all may have one figure."""
    due_ns = np.asarray(fleet.due_ns)
    return np.full(end - first, due_ns[0]) if len(due_ns) == 1 else due_ns[first:end]


def _came_meanwhile(fleet: Fleet, device: int, request: int, end_ns: int) -> list[int]:
    """Return a device's requests from one on that had come by the end (open loop)."""
    if not fleet.opened:
        return []
    first, last = (int(sessions_begin(fleet, each)) for each in (device, device + 1))
    due_ns = _due_ns(fleet, first + request, max(first + request, last))
    return list(range(request, request + int((due_ns <= end_ns).sum())))
