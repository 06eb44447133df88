"""Memory of a compiled cell's cloud: who is let in, who waits for it, who is turned away."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column
from actors.fleet.layout import (
    ADMITTED,
    ASKED,
    CLOUD,
    COUNTS,
    DRAFTING,
    EVICTED,
    EXCHANGING,
    FREE_TOKENS,
    HEADS,
    PEAKS,
    WAITING,
    Books,
    Fleet,
)
from actors.fleet.line import join, leave
from actors.fleet.names import CLOUD_FIGURES, CLOUD_PEAKS
from actors.fleet.queues import append, get_ready, take_first
from actors.fleet.sessions import template_of, text_of
from actors.fleet.texts import READY, STATUS, begin_of
from costeer.schedule import admit

_WAITED, _REFUSED = (
    CLOUD + CLOUD_FIGURES.index(name) for name in ("waited_sessions", "refused_sessions")
)
_PEAK_KV, _PEAK_WAITING, _PEAK_RUNNING = (
    PEAKS + CLOUD_PEAKS.index(name) for name in ("kv_tokens", "waiting", "running")
)


def let_open(fleet: Fleet, books: Books, device: int) -> bool:
    """Let a session in, have it wait for memory, or refuse it; return whether it is not refused."""
    engine = books.engine
    books.narrow[device, col.PENDING] = text_of(fleet, books, device)
    waiting = engine[COUNTS + WAITING]
    if waiting or engine[COUNTS + EVICTED] or fits(fleet, books, device) == 0:
        if waiting >= fleet.max_waiting:
            books.engine[_REFUSED] += 1
            return False
        books.engine[_WAITED] += 1
    wait(fleet, books, device, WAITING)
    return True


def wait(fleet: Fleet, books: Books, device: int, queue: int) -> None:
    """Have a session wait for memory, behind those that were evicted or behind all."""
    engine = books.engine
    append(engine, books.narrow, queue, device)
    let_in(fleet, books)
    raise_peak(engine, _PEAK_WAITING, engine[COUNTS + WAITING] + engine[COUNTS + EVICTED])


def fits(fleet: Fleet, books: Books, device: int) -> int:
    """Whether there is memory for a session; what it needs is laid down."""
    engine, template = books.engine, template_of(fleet, books, device)
    engine[ASKED] = fleet.template[template, col.NEEDS]
    if EXCHANGING and fleet.preempts:
        engine[ASKED] = text_of(fleet, books, device)
    free_rows = fleet.max_sessions - engine[ADMITTED]
    return admit(engine[ASKED : ASKED + 1], engine[FREE_TOKENS], free_rows)


def let_in(fleet: Fleet, books: Books) -> None:
    """Reserve memory for those that wait, from the front, while it suffices."""
    engine = books.engine
    while engine[COUNTS + EVICTED] or engine[COUNTS + WAITING]:
        queue = EVICTED if engine[COUNTS + EVICTED] else WAITING
        device = engine[HEADS + queue]
        if fits(fleet, books, device) == 0:
            return
        take_first(engine, books.narrow, queue)
        engine[FREE_TOKENS] -= engine[ASKED]
        engine[ADMITTED] += 1
        if EXCHANGING and fleet.preempts:
            join(engine, books.line, books.narrow, device, engine[ASKED])
        raise_peak(engine, _PEAK_KV, fleet.kv_tokens - engine[FREE_TOKENS])
        raise_peak(engine, _PEAK_RUNNING, engine[ADMITTED])
        get_ready(engine, books.narrow, device)
        if DRAFTING and fleet.window:
            books.texts[begin_of(fleet.window, device) + STATUS] = READY


def raise_peak(engine: Column, which: int, value: int) -> None:
    """Keep the most of something."""
    engine[which] = max(engine[which], value)


def free(fleet: Fleet, books: Books, device: int, session: int, template: int) -> None:
    """Take back what a device's session, of this kind, reserved."""
    engine = books.engine
    freed = fleet.template[template, col.NEEDS]
    if EXCHANGING and fleet.preempts:
        freed = leave(engine, books.line, books.narrow, device, session)
        if freed == 0:
            return
    engine[FREE_TOKENS] += freed
    engine[ADMITTED] -= 1
    let_in(fleet, books)
