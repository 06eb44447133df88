"""The loop over a compiled cell's events, and what each frame asks of its cloud.

The states and their order are those of ``costeer.cloud``. What the cloud does has no place on the
heap: a step begins when nothing else happens at its instant; see ``steps``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.admission import free, let_open
from actors.fleet.array_types import Column, Table
from actors.fleet.devices import be_refused, begin, finish
from actors.fleet.drafting import hear_own
from actors.fleet.events import device_of, drop_first, kind_of, lane_of, session_of
from actors.fleet.eviction import ask_more, extend_text, line_is_short
from actors.fleet.ladders import learn
from actors.fleet.landing import air_is_short, hear_air
from actors.fleet.layout import (
    ALONE,
    ARMED,
    BATCHES,
    BATCHES_OUT,
    BEGUN,
    CALM,
    CLOSE,
    COUNTS,
    CROSS,
    DECODING,
    DRAFTING,
    EVENTS,
    EXCHANGING,
    FAULT,
    FINISHED,
    FORWARD,
    GUESS,
    GUESSING,
    HELD_FREE,
    LANE_CHOICE,
    LANE_CLOUD,
    LEARNING,
    MORE,
    NO_FAULT,
    NOW,
    OPEN,
    OWN,
    PROMPTS,
    REFINING,
    REQUESTS_OUT,
    RUNNING,
    SEVERAL,
    SHARING,
    SINGLE,
    SPARE,
    STEP,
    STEP_ENDS,
    TOKEN,
    TOKENS_OUT,
    TROUBLED,
    Books,
    Fleet,
)
from actors.fleet.replicas.failing import happens
from actors.fleet.replicas.steps import arm_step, turn_to_next
from actors.fleet.sessions import length_of, sessions_begin
from actors.fleet.steps import end_forward, end_guess, end_select, start_step
from actors.fleet.texts import DUE, FREE
from actors.fleet.trouble.asking import begin_here
from actors.fleet.trouble.happening import departs, hear_here, slots_are_short
from actors.fleet.verifying import hear_drafting


def begin_all(fleet: Fleet, books: Books) -> None:
    """Begin the first request of every device."""
    for device in range(fleet.devices):
        if TROUBLED:
            begin_here(fleet, books, device)
        if CALM:
            begin(fleet, books, device)


def advance(fleet: Fleet, books: Books, events: int) -> bool:
    """Begin, or take so many events at most; False once the cell is over.

    Fewer are taken where an array has no room for what the next one may need: ``arrays`` makes it.
    """
    engine = books.engine
    if engine[BEGUN] == 0:
        engine[BEGUN] = 1
        begin_all(fleet, books)
        return True
    for _ in range(events):
        if engine[FINISHED] == fleet.sessions or engine[FAULT] != NO_FAULT:
            return False
        if SEVERAL:
            turn_to_next(books)
        if not has_room(fleet, books):
            return True
        if not take_event(fleet, books):
            return False
    return True


def has_room(fleet: Fleet, books: Books) -> bool:
    """Whether every array has room for what one event may write."""
    engine = books.engine
    rows = engine[RUNNING]
    short = False
    if DRAFTING and fleet.window:
        rows = max(rows, books.under_way[0, DUE])
        if CALM:
            short = rows + SPARE > books.under_way[0, FREE]
    if SHARING and fleet.shared:
        short = short or air_is_short(fleet, books)
    if TROUBLED:
        rows = max(rows, 1)
        short = air_is_short(fleet, books) or slots_are_short(books)
    if short or engine[EVENTS] + 2 * rows + SPARE > len(books.heap):
        return False
    if fleet.refines and rows > engine[HELD_FREE]:
        return False
    if engine[COUNTS + REFINING] + fleet.max_batch >= len(books.step):
        return False
    if EXCHANGING and fleet.preempts and line_is_short(fleet, books):
        return False
    if fleet.every == 0:
        return True
    return (
        engine[TOKENS_OUT] + 2 * fleet.slots * fleet.longest <= len(books.rows)
        and engine[REQUESTS_OUT] + 2 * fleet.slots + fleet.trouble.most <= len(books.requests)
        and engine[BATCHES_OUT] + BATCHES < len(engine)
    )


def take_event(fleet: Fleet, books: Books) -> bool:
    """Take what comes next; False if nothing does before the cell's end."""
    engine, heap = books.engine, books.heap
    if TROUBLED and fails(fleet, books):
        return True
    if engine[EVENTS] and comes_next(engine, heap):
        now_ns, word = heap[0, 0], heap[0, 1]
        if now_ns > fleet.ends[1]:
            return False
        drop_first(engine, heap)
        engine[NOW] = now_ns
        hear_event(fleet, books, word, now_ns)
    elif engine[ARMED]:
        start_step(fleet, books, engine[NOW])
    elif engine[STEP]:
        now_ns = engine[STEP_ENDS]
        if now_ns > fleet.ends[1]:
            return False
        engine[NOW] = now_ns
        if engine[STEP] == FORWARD:
            end_forward(fleet, books, now_ns)
        elif GUESSING and engine[STEP] == GUESS:
            end_guess(fleet, books, now_ns)
        else:
            end_select(fleet, books, now_ns)
    else:
        return False
    arm(books)
    return True


def arm(books: Books) -> None:
    """See to a step after all arrivals of this instant, if there is work and none runs."""
    engine = books.engine
    work = engine[COUNTS + DECODING] + engine[COUNTS + PROMPTS] + engine[COUNTS + REFINING]
    if work and engine[STEP] == 0:
        if SEVERAL:
            arm_step(books)
        engine[ARMED] = 1


def fails(fleet: Fleet, books: Books) -> bool:
    """Have what fails next do so if nothing comes before; whether something has."""
    failed = False
    if SEVERAL:
        failed = happens(fleet, books)
    if SINGLE:
        failed = departs(fleet, books)
    return failed


def comes_next(engine: Column, heap: Table) -> bool:
    """Whether the first event comes before what the cloud does."""
    if SEVERAL:  # what replicas do stands there as well
        return True
    if engine[ARMED]:
        return heap[0, 0] == engine[NOW]
    if engine[STEP]:
        ends_ns, first_ns = engine[STEP_ENDS], heap[0, 0]
        earlier = first_ns == ends_ns and lane_of(heap[0, 1]) < LANE_CLOUD
        return first_ns < ends_ns or earlier
    return True


# --------------------------------------------------------------------------- frames


def hear_event(fleet: Fleet, books: Books, word: int, now_ns: int) -> None:
    """Take an event: a frame that came to the cloud, or something at a device."""
    kind, device, session = kind_of(word), device_of(word), session_of(word)
    if SHARING and kind >= CROSS:
        hear_air(fleet, books, word, now_ns)
    elif TROUBLED:
        hear_here(fleet, books, word, now_ns)
    elif DRAFTING and kind == OWN:
        hear_own(fleet, books, lane_of(word), device, session, now_ns)
    elif DRAFTING and fleet.window:
        hear_drafting(fleet, books, kind, device, session, now_ns)
    elif CALM and EXCHANGING:
        hear(fleet, books, kind, device, session, now_ns)


def hear(fleet: Fleet, books: Books, kind: int, device: int, session: int, now_ns: int) -> None:
    """Take a device's frame, or the end of a request that needs no cloud."""
    narrow, wide = books.narrow, books.wide
    if kind == TOKEN:
        if LEARNING and fleet.ladders.starts:
            learn(fleet, books, device, 0, int(narrow[device, col.ROUND]))
        narrow[device, col.POSITION] += 1
        narrow[device, col.ROUND] = 0
        wide[device, col.READY] = now_ns
        wide[device, col.COMPUTE] = 0
        extend_text(fleet, books, device)
    elif kind == MORE:
        narrow[device, col.ROUND] += 1
        ask_more(fleet, books, device)
    elif kind == OPEN:
        wide[device, col.READY] = now_ns
        wide[device, col.COMPUTE] = 0
        narrow[device, col.ROUND] = 0
        if not let_open(fleet, books, device):
            be_refused(fleet, books, device, now_ns)
    elif kind == CLOSE:
        row = sessions_begin(fleet, device) + session if len(fleet.session) > 1 else 0
        free(fleet, books, device, session, int(fleet.session[row, col.TEMPLATE]))
    elif kind == ALONE:
        finish(fleet, books, device, now_ns, LANE_CHOICE, length_of(fleet, books, device))
