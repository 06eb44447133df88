"""How long a device of a compiled cell waits for its cloud; the rules are ``costeer.patience``'s.

A timer is not taken back: one that fires early looks again when the wait is over. The one that
fires first is known (``TIMER_AT``), so that none is missing; what others find is not due.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.events import push
from actors.fleet.layout import LANE_ANSWER, NEVER, OWN, Books, Fleet
from actors.fleet.sessions import session_number
from actors.plan import REQUEST_BITS
from netsim.random import Stream, device_key, uniform_with

_RETRY = int(Stream.RETRY)


def wait_ns(fleet: Fleet, books: Books, device: int, repeats: int) -> int:
    """Return how long a device waits after so many repeats; see ``actors.retry``."""
    key = device_key(fleet.word, _RETRY, session_number(fleet, books, device))
    drawn = 2.0 * uniform_with(key, repeats) - 1.0
    return max(1, round(fleet.trouble.waits[repeats] * (1.0 + fleet.trouble.jitter * drawn)))


def wait_for(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Wait for something else from now on."""
    wide = books.wide
    books.narrow[device, col.TRIES] = 0
    if len(fleet.trouble.waits) == 0:
        return
    wide[device, col.AWAITED] = now_ns
    wide[device, col.DUE] = now_ns + wait_ns(fleet, books, device, 0)
    set_timer(books, device)


def wait_again(fleet: Fleet, books: Books, device: int, now_ns: int) -> bool:
    """Begin the next wait; False where it was the last one."""
    tries = int(books.narrow[device, col.TRIES]) + 1
    if tries == len(fleet.trouble.waits):
        return False
    books.narrow[device, col.TRIES] = tries
    books.wide[device, col.DUE] = now_ns + wait_ns(fleet, books, device, tries)
    return True


def wait_no_more(books: Books, device: int) -> None:
    """Wait for nothing."""
    books.wide[device, col.DUE] = NEVER


def is_over(books: Books, device: int, now_ns: int) -> bool:
    """Take it that a timer has fired; whether the wait is over. Else one is set again."""
    wide = books.wide
    if wide[device, col.TIMER_AT] == now_ns:
        wide[device, col.TIMER_AT] = NEVER
    if now_ns >= wide[device, col.DUE]:
        return True
    set_timer(books, device)
    return False


def set_timer(books: Books, device: int) -> None:
    """See to it that a timer fires when the wait is over, at the latest."""
    due_ns, wide = books.wide[device, col.DUE], books.wide
    if due_ns < wide[device, col.TIMER_AT]:
        wide[device, col.TIMER_AT] = due_ns
        push(books.engine, books.heap, due_ns, LANE_ANSWER, device, 0, OWN << REQUEST_BITS)
