"""What happens in the air of a compiled cell, and what becomes of a frame that lands."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.air import end_crossings, give_row, hub_of, join, landing_ns, serve
from actors.fleet.columns import DOWN, UP
from actors.fleet.devices import finish
from actors.fleet.events import device_of, kind_of, lane_of, number_of, push
from actors.fleet.exchanges import use_logits, use_streamed
from actors.fleet.layout import (
    AIR_LEFT,
    CALM,
    CROSS,
    DRAFTING,
    EVENTS,
    EXCHANGING,
    FAULT,
    GUESSING,
    JOIN,
    LANDED,
    LANE_DOWN,
    LANE_NETWORK,
    LANE_UP,
    LOGITS,
    OWN,
    PAUSING,
    REFUSAL,
    RUNNING,
    SILENT,
    SPARE,
    TROUBLED,
    Books,
    Fleet,
)
from actors.fleet.pausing import use_own, use_paused_logits
from actors.fleet.texts import DUE
from actors.fleet.trouble.frames import land_in_line
from actors.plan import REQUEST_BITS


def air_is_short(fleet: Fleet, books: Books) -> bool:
    """Whether one event may need more rows or events than there is room for."""
    more = most_in_air(fleet, books)
    return more > books.engine[AIR_LEFT] or books.engine[EVENTS] + 2 * more > len(books.heap)


def most_in_air(fleet: Fleet, books: Books) -> int:
    """Return how many frames one event may send at most.

    A step may answer all its rows, and all that crosses may land at once: each of these may bring
    two frames.
    """
    answers = books.engine[RUNNING]
    if DRAFTING and fleet.window:
        answers = max(answers, books.under_way[0, DUE])
    if GUESSING and fleet.guesses:
        answers *= fleet.guesses + 1
    return 2 * (answers + len(books.air) - books.engine[AIR_LEFT]) + SPARE


def hear_air(fleet: Fleet, books: Books, word: int, now_ns: int) -> None:
    """Take an event of what devices share."""
    air, hubs, narrow = books.air, books.hubs, books.narrow
    engine, heap = books.engine, books.heap
    kind, device = kind_of(word), device_of(word)
    if kind == CROSS:
        row = int(narrow[device, col.CROSSING])
        narrow[device, col.CROSSING] = air[row - 1, col.AIR_BEHIND]
        air[row - 1, col.AIR_BEHIND] = 0
        hub = hub_of(fleet, books, device, UP)
        if hubs[hub, col.HUB_FIFO]:
            done_ns = serve(hubs, hub, now_ns, air[row - 1, col.AIR_BYTES])
            land(fleet, books, row, done_ns)
        else:
            join(fleet, books, hub, row, now_ns)
    elif kind == JOIN:
        join(fleet, books, hub_of(fleet, books, device, DOWN), number_of(word), now_ns)
    else:
        end_crossings(fleet, books, device, number_of(word), now_ns)
    # All that crosses by this instant lands before any of it is heard.
    if engine[EVENTS] and heap[0, 0] == now_ns and lane_of(heap[0, 1]) == LANE_NETWORK:
        return
    while engine[LANDED]:
        row = engine[LANDED]
        engine[LANDED] = air[row - 1, col.AIR_BEHIND]
        land(fleet, books, row, now_ns)


def land(fleet: Fleet, books: Books, row: int, done_ns: int) -> None:
    """Have a frame that has crossed what it shares come to who it is for."""
    if TROUBLED:
        land_in_line(fleet, books, row, done_ns)
    if CALM:
        come(fleet, books, row, done_ns)


def come(fleet: Fleet, books: Books, row: int, done_ns: int) -> None:
    """Have a frame arrive, and who it is for make of it what it will."""
    air, engine, at = books.air, books.engine, row - 1
    arrival_ns = landing_ns(fleet, books, row, done_ns)
    device, what, sent_ns = air[at, col.AIR_DEVICE], air[at, col.AIR_WHAT], air[at, col.AIR_SENT]
    select_ns, position = air[at, col.AIR_SELECT], air[at, col.AIR_POSITION]
    ready_ns, compute_ns = air[at, col.AIR_READY], air[at, col.AIR_COMPUTE]
    give_row(engine, air, row)
    if air[at, col.AIR_WAY] == UP:
        if arrival_ns - air[at, col.AIR_HEARD] > fleet.idle_timeout_ns:
            engine[FAULT] = SILENT
        what = what << REQUEST_BITS | air[at, col.AIR_SESSION]
        push(engine, books.heap, arrival_ns, LANE_UP, device, air[at, col.AIR_NUMBER], what)
    elif DRAFTING and fleet.window:
        what = OWN << REQUEST_BITS | air[at, col.AIR_SESSION]
        push(engine, books.heap, arrival_ns, LANE_DOWN, device, air[at, col.AIR_NUMBER], what)
    elif what == REFUSAL:
        finish(fleet, books, device, arrival_ns, LANE_DOWN, 0)
    elif PAUSING and fleet.pauses and what == LOGITS:
        use_paused_logits(
            fleet, books, device, sent_ns, arrival_ns, select_ns, ready_ns, compute_ns
        )
    elif PAUSING and fleet.pauses:
        use_own(
            fleet, books, device, position, sent_ns, arrival_ns, select_ns, ready_ns, compute_ns
        )
    elif EXCHANGING and what == LOGITS:
        use_logits(fleet, books, device, sent_ns, arrival_ns, select_ns)
    elif EXCHANGING:
        use_streamed(
            fleet, books, device, position, sent_ns, arrival_ns, select_ns, ready_ns, compute_ns
        )
