"""Sessions of a compiled cell that grow, lose their memory and ask for it again.

The rules are those of ``costeer.memory`` and ``costeer.cloud``; who is evicted is
``costeer.schedule``'s to say.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.admission import let_in, raise_peak, wait
from actors.fleet.layout import (
    ADMITTED,
    CLOUD,
    COUNTS,
    DECODING,
    EVICTED,
    FREE_TOKENS,
    LINE_LEFT,
    PEAKS,
    PROMPTS,
    REFINING,
    WAITING,
    YOUNGEST,
    Books,
    Fleet,
)
from actors.fleet.line import find, leave
from actors.fleet.names import CLOUD_FIGURES, CLOUD_PEAKS
from actors.fleet.queues import append, get_ready, take_out
from actors.fleet.sessions import text_of
from costeer.schedule import evict

_PREEMPTED, _RECOMPUTED = (
    CLOUD + CLOUD_FIGURES.index(name) for name in ("preempted_sessions", "recomputed_tokens")
)
_PEAK_KV, _PEAK_WAITING = (PEAKS + CLOUD_PEAKS.index(name) for name in ("kv_tokens", "waiting"))


def line_is_short(fleet: Fleet, books: Books) -> bool:
    """Whether more sessions may be admitted by one event than there are rows for."""
    engine = books.engine
    wait = engine[COUNTS + WAITING] + engine[COUNTS + EVICTED]
    return engine[LINE_LEFT] <= wait and len(books.line) < fleet.most_admitted


def extend_text(fleet: Fleet, books: Books, device: int) -> None:
    """Give a device's session its next token, to run at once or when there is memory again."""
    engine, narrow = books.engine, books.narrow
    narrow[device, col.PENDING] = 1
    if fleet.preempts:
        row = find(books.line, narrow, device, int(narrow[device, col.SESSION]))
        if row == 0:
            narrow[device, col.PENDING] = text_of(fleet, books, device)
            wait(fleet, books, device, EVICTED)
            return
        books.line[row - 1, col.LINE_TOKENS] += 1
        engine[FREE_TOKENS] -= 1
    get_ready(engine, narrow, device)


def ask_more(fleet: Fleet, books: Books, device: int) -> None:
    """Refine a device's token, from the row that is kept or from one that is run again."""
    narrow = books.narrow
    if fleet.preempts:
        if find(books.line, narrow, device, int(narrow[device, col.SESSION])) == 0:
            narrow[device, col.PENDING] = text_of(fleet, books, device)
            wait(fleet, books, device, EVICTED)
            return
        narrow[device, col.PENDING] = -1
    append(books.engine, narrow, REFINING, device)


def make_room(fleet: Fleet, books: Books) -> None:
    """Evict sessions while more memory is held than there is; no step is under way."""
    engine, line = books.engine, books.line
    short, row, victims = -engine[FREE_TOKENS], engine[YOUNGEST], 0
    oldest = 0
    while row and evict(line[row - 1, col.LINE_TOKENS : col.LINE_TOKENS + 1], short):
        short -= line[row - 1, col.LINE_TOKENS]
        victims += 1
        oldest = row
        row = line[row - 1, col.LINE_OLDER]
    row = oldest
    for _ in range(victims):
        younger = line[row - 1, col.LINE_YOUNGER]
        lose_cache(books, line[row - 1, col.LINE_DEVICE], line[row - 1, col.LINE_SESSION])
        row = younger
    if victims:
        let_in(fleet, books)
        raise_peak(engine, _PEAK_WAITING, engine[COUNTS + WAITING] + engine[COUNTS + EVICTED])
    raise_peak(engine, _PEAK_KV, fleet.kv_tokens - engine[FREE_TOKENS])


def lose_cache(books: Books, device: int, session: int) -> None:
    """Take a session's memory; it waits for some if it has something to compute."""
    engine, narrow = books.engine, books.narrow
    held = leave(engine, books.line, narrow, device, session)
    engine[FREE_TOKENS] += held
    engine[ADMITTED] -= 1
    engine[_PREEMPTED] += 1
    engine[_RECOMPUTED] += held
    if session != narrow[device, col.SESSION]:
        return  # closed by its device, and CLOSE is under way
    pending = int(narrow[device, col.PENDING])
    if pending == 0:
        return
    if pending < 0:
        take_out(engine, narrow, REFINING, device)
    else:
        take_out(engine, narrow, DECODING if pending == 1 else PROMPTS, device)
        engine[_RECOMPUTED] -= pending
    narrow[device, col.PENDING] = held
    append(engine, narrow, EVICTED, device)
