"""Memory of a compiled cell's cloud: who is let in, who waits for it, who is turned away."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.devices import be_refused
from actors.fleet.layout import (
    ADMITTED,
    CLOUD,
    COUNTS,
    FREE_TOKENS,
    HEADS,
    PEAKS,
    WAITING,
    Books,
    Column,
    Fleet,
)
from actors.fleet.names import CLOUD_FIGURES, CLOUD_PEAKS
from actors.fleet.queues import append, get_ready, take_first
from actors.fleet.sessions import template_of
from costeer.schedule import admit

_WAITED, _REFUSED = (
    CLOUD + CLOUD_FIGURES.index(name) for name in ("waited_sessions", "refused_sessions")
)
_PEAK_KV, _PEAK_WAITING, _PEAK_RUNNING = (
    PEAKS + CLOUD_PEAKS.index(name) for name in ("kv_tokens", "waiting", "running")
)


def let_open(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Let a session in, have it wait for memory, or refuse it."""
    engine, template = books.engine, template_of(fleet, books, device)
    books.narrow[device, col.PENDING] = fleet.template[template, col.PROMPT]
    waiting = engine[COUNTS + WAITING]
    needs = fleet.template[template, col.NEEDS : col.NEEDS + 1]
    fits = admit(needs, engine[FREE_TOKENS], fleet.max_sessions - engine[ADMITTED])
    if waiting or fits == 0:
        if waiting >= fleet.max_waiting:
            books.engine[_REFUSED] += 1
            be_refused(fleet, books, device, now_ns)
            return
        books.engine[_WAITED] += 1
    append(books.engine, books.narrow, WAITING, device)
    let_in(fleet, books)
    raise_peak(engine, _PEAK_WAITING, engine[COUNTS + WAITING])


def let_in(fleet: Fleet, books: Books) -> None:
    """Reserve memory for those that wait, from the front, while it suffices."""
    engine = books.engine
    while engine[COUNTS + WAITING]:
        device = engine[HEADS + WAITING]
        template = template_of(fleet, books, device)
        needs = fleet.template[template, col.NEEDS : col.NEEDS + 1]
        if admit(needs, engine[FREE_TOKENS], fleet.max_sessions - engine[ADMITTED]) == 0:
            return
        take_first(books.engine, books.narrow, WAITING)
        engine[FREE_TOKENS] -= fleet.template[template, col.NEEDS]
        engine[ADMITTED] += 1
        raise_peak(engine, _PEAK_KV, fleet.kv_tokens - engine[FREE_TOKENS])
        raise_peak(engine, _PEAK_RUNNING, engine[ADMITTED])
        get_ready(books.engine, books.narrow, device)


def raise_peak(engine: Column, which: int, value: int) -> None:
    """Keep the most of something."""
    engine[which] = max(engine[which], value)


def free(fleet: Fleet, books: Books, template: int) -> None:
    """Take back what a session of this kind reserved."""
    books.engine[FREE_TOKENS] += fleet.template[template, col.NEEDS]
    books.engine[ADMITTED] -= 1
    let_in(fleet, books)
