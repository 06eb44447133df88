"""Steps of a cell's replicas, each with an engine of its own: what begins or ends is an event."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.columns import UP
from actors.fleet.events import MOST_FRAMES, device_of, kind_of, lane_of, number_of, push
from actors.fleet.layout import (
    ARMED,
    CLOSE,
    EVENTS,
    FORWARD,
    GUESS,
    GUESSING,
    LANE_CLOUD,
    LANE_IDLE,
    LANE_STEP,
    NOW,
    OWN,
    REPLICA,
    RUNNING,
    STEP,
    STEP_ENDS,
    Books,
    Fleet,
)
from actors.fleet.replicas.banks import replica_at, turn_to
from actors.fleet.steps import end_forward, end_guess, end_select, start_step
from actors.fleet.trouble.frames import find_row
from actors.plan import REQUEST_BITS


def turn_to_next(books: Books) -> None:
    """Have the engine's books be those of the replica that the first event concerns, if any."""
    if books.engine[EVENTS] == 0:
        return
    word = books.heap[0, 1]
    kind, lane, device = kind_of(word), lane_of(word), device_of(word)
    if kind <= CLOSE:
        row = find_row(books.air, books.narrow, device, UP, number_of(word))
        turn_to(books, books.air[row - 1, col.AIR_REPLICA])
    elif kind == OWN and lane == LANE_IDLE:
        turn_to(books, replica_at(number_of(word)))
    elif kind == OWN and lane in (LANE_CLOUD, LANE_STEP):
        turn_to(books, device)


def arm_step(books: Books) -> None:
    """See to it that the present replica begins a step after all arrivals of this instant."""
    engine = books.engine
    if engine[ARMED] == 0:
        engine[ARMED] = 1
        what = OWN << REQUEST_BITS
        push(engine, books.heap, engine[NOW], LANE_STEP, engine[REPLICA], 0, what)


def begin_step(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Begin a step of the present replica, unless it has failed in this instant."""
    if books.engine[ARMED]:
        start_step(fleet, books, now_ns)
        lay_step_by(books)


def end_step(fleet: Fleet, books: Books, turn: int, now_ns: int) -> None:
    """End the step of the present replica, unless it has failed meanwhile."""
    engine = books.engine
    if books.engines[engine[REPLICA], col.STEP_TURN] != turn:
        return
    take_step_up(books)
    if engine[STEP] == FORWARD:
        end_forward(fleet, books, now_ns)
    elif GUESSING and engine[STEP] == GUESS:
        end_guess(fleet, books, now_ns)
    else:
        end_select(fleet, books, now_ns)
    lay_step_by(books)


def lay_step_by(books: Books) -> None:
    """Keep who is in the step that has begun, if one has; others need the room meanwhile."""
    engine, engines, narrow, step = books.engine, books.engines, books.narrow, books.step
    if engine[STEP] == 0:
        return
    replica = engine[REPLICA]
    turn = (engines[replica, col.STEP_TURN] + 1) % MOST_FRAMES
    engines[replica, col.STEP_TURN] = turn
    what = OWN << REQUEST_BITS
    push(engine, books.heap, engine[STEP_ENDS], LANE_CLOUD, replica, turn, what)
    engines[replica, col.STEP_HEAD] = step[0, col.RUNNING_NOW]
    for index in range(engine[RUNNING]):
        slot = int(step[index, col.RUNNING_NOW])
        narrow[slot, col.TAKEN_NOW] = step[index, col.TAKEN]
        if index + 1 < engine[RUNNING]:
            narrow[slot, col.NEXT] = step[index + 1, col.RUNNING_NOW]


def take_step_up(books: Books) -> None:
    """Lay out who is in the step that ends."""
    engine, narrow, step = books.engine, books.narrow, books.step
    slot = int(books.engines[engine[REPLICA], col.STEP_HEAD])
    for index in range(engine[RUNNING]):
        step[index, col.RUNNING_NOW] = slot
        step[index, col.TAKEN] = narrow[slot, col.TAKEN_NOW]
        slot = int(narrow[slot, col.NEXT])
