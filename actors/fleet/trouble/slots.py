"""Sessions at the cloud of a compiled cell in which something may fail: a row each.

The engine's queues and steps name these rows where they name devices in other cells. They lie
behind the devices' rows, with the columns that a session has at its cloud; a device knows its own,
the oldest first. A row is told by its place, and in chains by its place plus 1.
"""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.admission import free, let_in
from actors.fleet.array_types import Array, Column, Table
from actors.fleet.layout import EVICTED, REPLICA, SEVERAL, WAITING, Books, Fleet
from actors.fleet.queues import take_out
from actors.fleet.sessions import sessions_begin, template_of
from actors.plan import REQUEST_BITS

FREE_SLOT, SLOTS_LEFT, NEXT_HAPPENING, NEXT_DEVICE, LAST_FAILURE = range(5)
TROUBLE_FIGURES = 5
"""Books of a cell's troubles: the first row that no session has, plus 1, how many such there are,
and which happening comes next; where it concerns devices one after the other, the next of them, and
which replica failed last, as 1 more than its place among what happens. Behind them, of each
happening: how many sessions were opened again, and how many had to wait."""


def key_of(session: int, epoch: int) -> int:
    """Return what orders the epochs of a device's sessions."""
    return session << REQUEST_BITS | epoch


def take_slot(books: Books, device: int, session: int, epoch: int) -> int:
    """Return a row for a device's session, which opens now."""
    narrow, trouble = books.narrow, books.trouble
    slot = trouble[FREE_SLOT] - 1
    trouble[FREE_SLOT] = narrow[slot, col.NEXT]
    trouble[SLOTS_LEFT] -= 1
    for figure in (col.QUEUED, col.AWAY, col.OVER, col.SESSIONS, col.ROUND, col.SLOT):
        narrow[slot, figure] = 0
    narrow[slot, col.OWNER] = device
    narrow[slot, col.NUMBER] = narrow[device, col.NUMBER]
    narrow[slot, col.KIND] = narrow[device, col.KIND]
    narrow[slot, col.SESSION] = session
    narrow[slot, col.EPOCH] = epoch
    if SEVERAL:
        narrow[slot, col.SERVED] = books.engine[REPLICA]
        narrow[slot, col.GUIDE_READ] = 0
    last = device
    while narrow[last, col.SESSIONS]:
        last = int(narrow[last, col.SESSIONS]) - 1
    narrow[last, col.SESSIONS] = slot + 1
    return slot


def find_slot(narrow: Table, device: int, session: int, epoch: int) -> int:
    """Return the row of a device's session; -1 if it is not, or no longer, at the cloud."""
    row = int(narrow[device, col.SESSIONS])
    while row and (narrow[row - 1, col.SESSION] != session or narrow[row - 1, col.EPOCH] != epoch):
        row = int(narrow[row - 1, col.SESSIONS])
    return row - 1


def last_opened(fleet: Fleet, books: Books, device: int, session: int) -> int:
    """Return the last epoch of a session that came to this replica, or of those before it."""
    return int(books.opened[_opened_row(fleet, books, device, session), books.engine[REPLICA]])


def note_opened(fleet: Fleet, books: Books, device: int, session: int, key: int) -> None:
    """Note it."""
    books.opened[_opened_row(fleet, books, device, session), books.engine[REPLICA]] = key


def _opened_row(fleet: Fleet, books: Books, device: int, session: int) -> int:
    """Return a device's row; where a later session may overtake it, the session's own."""
    if len(books.opened) > fleet.devices:
        return sessions_begin(fleet, device) + session
    return device


def opened_rows(fleet: Fleet, *, overtaking: bool) -> Array:
    """Return what nothing has come of, for each replica.

    Args:
        fleet: fixed figures.
        overtaking: whether frames may overtake each other on a link of the cell.
    """
    rows = max(fleet.sessions, fleet.devices + 1) if overtaking else fleet.devices
    return np.full((rows, max(1, fleet.trouble.replicas)), -1, np.int32)


def is_away(narrow: Table, slot: int) -> bool:
    """Whether it is a session's device that has the word."""
    return narrow[slot, col.AWAY] > 0 and narrow[slot, col.QUEUED] == 0


def release(fleet: Fleet, books: Books, slot: int) -> None:
    """End a session; its memory is free now, or at the end of the step that it runs in."""
    engine, narrow = books.engine, books.narrow
    unchain(narrow, slot)
    queued = int(narrow[slot, col.QUEUED])
    if queued:
        take_out(engine, narrow, queued - 1, slot)
    elif not narrow[slot, col.AWAY]:
        narrow[slot, col.OVER] = 1
        return
    if queued == WAITING + 1 or queued == EVICTED + 1:
        let_in(fleet, books)
        give_slot(books.trouble, narrow, slot)
    else:
        forget(fleet, books, slot)


def forget(fleet: Fleet, books: Books, slot: int) -> None:
    """Take back what a session that is over holds."""
    session = int(books.narrow[slot, col.SESSION])
    free(fleet, books, slot, session, template_of(fleet, books, slot))
    give_slot(books.trouble, books.narrow, slot)


def unchain(narrow: Table, slot: int) -> None:
    """Have a device know nothing of a session any more."""
    before = int(narrow[slot, col.OWNER])
    while narrow[before, col.SESSIONS] != slot + 1:
        before = int(narrow[before, col.SESSIONS]) - 1
    narrow[before, col.SESSIONS] = narrow[slot, col.SESSIONS]


def give_slot(trouble: Column, narrow: Table, slot: int) -> None:
    """Give a row back."""
    if SEVERAL:
        narrow[slot, col.SERVED] = -1
    narrow[slot, col.NEXT] = trouble[FREE_SLOT]
    trouble[FREE_SLOT] = slot + 1
    trouble[SLOTS_LEFT] += 1
