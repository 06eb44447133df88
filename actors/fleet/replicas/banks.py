"""The engines of a cell's replicas: the present one lies in the engine's books, others apart."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.events import MOST_FRAMES
from actors.fleet.layout import (
    ADMITTED,
    ARMED,
    CLOUD,
    COUNTS,
    EVENTS,
    EVICTED,
    FREE_TOKENS,
    LINE_FREE,
    LINE_LEFT,
    REPLICA,
    REPLICA_BITS,
    RUNNING,
    STAGE,
    STEP,
    YOUNGEST,
    Books,
    Fleet,
)

MOST_REPLICAS = 1 << REPLICA_BITS
"""What an event can tell apart."""


def session_at(session: int, replica: int) -> int:
    """Return what names a device's session at a replica, in the order of ``virtual``."""
    return session << REPLICA_BITS | replica


def replica_at(named: int) -> int:
    """Return the replica of such a name."""
    return named & MOST_REPLICAS - 1


def turn_to(books: Books, replica: int) -> None:
    """Have the engine's books be those of a replica."""
    present = books.engine[REPLICA]
    if present == replica:
        return
    for figure in range(EVENTS):
        swap(books, present, replica, figure)
    swap(books, present, replica, YOUNGEST)
    for figure in range(CLOUD, STAGE):
        swap(books, present, replica, figure)
    books.engine[REPLICA] = replica


def swap(books: Books, present: int, replica: int, figure: int) -> None:
    """Lay a figure of the present replica by, and take that of another one."""
    engine, engines = books.engine, books.engines
    engines[present, figure] = engine[figure]
    engine[figure] = engines[replica, figure]


def is_heard(books: Books, row: int) -> bool:
    """Whether a frame that comes is for the life that its replica is in."""
    life = books.engines[books.engine[REPLICA], col.LIFE]
    return books.air[row - 1, col.AIR_LIFE] == life and life % 2 == 0


def clear_bank(fleet: Fleet, books: Books) -> None:
    """Have the present replica hold nothing, run nothing and know of nobody."""
    engine, engines, line = books.engine, books.engines, books.line
    replica = engine[REPLICA]
    for queue in range(EVICTED + 1):
        engine[COUNTS + queue] = 0
    for figure in (ADMITTED, RUNNING, ARMED, STEP):
        engine[figure] = 0
    engine[FREE_TOKENS] = fleet.kv_tokens
    engines[replica, col.STEP_TURN] = (engines[replica, col.STEP_TURN] + 1) % MOST_FRAMES
    row = engine[YOUNGEST]
    engine[YOUNGEST] = 0
    while row:
        older = line[row - 1, col.LINE_OLDER]
        line[row - 1, col.LINE_NEXT] = engine[LINE_FREE]
        engine[LINE_FREE] = row
        engine[LINE_LEFT] += 1
        row = older
    for row in range(len(books.opened)):
        books.opened[row, replica] = -1
