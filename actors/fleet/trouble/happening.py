"""What happens next in a compiled cell in which something may fail."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.events import device_of, kind_of, lane_of, number_of, session_of
from actors.fleet.layout import (
    ALONE,
    ARMED,
    CLOSE,
    DRAFT,
    DRAFTING,
    ENDED,
    EVENTS,
    LANE_ANSWER,
    LANE_CHOICE,
    LANE_CLOUD,
    LANE_DOWN,
    LANE_DRAFT,
    LANE_FORWARD,
    LANE_IDLE,
    LANE_REQUEST,
    NOW,
    REFINE,
    SEVERAL,
    STEP,
    STEP_ENDS,
    Books,
    Fleet,
)
from actors.fleet.replicas.failing import AT_NS, WHO
from actors.fleet.replicas.steps import begin_step, end_step
from actors.fleet.trouble.asking import end_request, leave, start
from actors.fleet.trouble.choosing import choose_now, hear_cloud, hear_text, look_at_clock
from actors.fleet.trouble.serving import hear_frame, look_after, look_at_session
from actors.fleet.trouble.slots import NEXT_HAPPENING, SLOTS_LEFT


def hear_here(fleet: Fleet, books: Books, word: int, now_ns: int) -> None:
    """Take an event that is not of the air."""
    kind, device, lane = kind_of(word), device_of(word), lane_of(word)
    if kind <= CLOSE or DRAFT <= kind <= REFINE:
        hear_frame(fleet, books, device, number_of(word), now_ns)
    elif kind == ALONE:
        tokens = int(books.narrow[device, col.POSITION])
        end_request(fleet, books, device, now_ns, LANE_CHOICE, tokens, ENDED, 0)
    elif lane == LANE_REQUEST:
        if books.wide[device, col.LEAVES] > now_ns:
            start(fleet, books, device, now_ns, LANE_REQUEST)
    elif lane == LANE_DOWN:
        hear_cloud(fleet, books, device, number_of(word), now_ns)
    elif DRAFTING and fleet.window and is_own(lane, number_of(word)):
        hear_text(fleet, books, lane, device, session_of(word), now_ns)
    elif lane == LANE_CHOICE:
        choose_now(fleet, books, device, number_of(word), now_ns)
    elif SEVERAL and lane != LANE_ANSWER:
        hear_replica(fleet, books, word, now_ns)
    elif lane == LANE_IDLE:
        look_after(fleet, books, device, now_ns)
    else:
        look_at_clock(fleet, books, device, now_ns)


def is_own(lane: int, number: int) -> bool:
    """Whether an event is of a text: something that a device which drafts has finished."""
    if lane == LANE_CHOICE:
        return number == 0  # other choices are told from earlier ones by it
    return LANE_FORWARD <= lane <= LANE_DRAFT


def hear_replica(fleet: Fleet, books: Books, word: int, now_ns: int) -> None:
    """Take an event of the present one of several replicas."""
    lane = lane_of(word)
    if lane == LANE_IDLE:
        look_at_session(fleet, books, device_of(word), number_of(word), now_ns)
    elif lane == LANE_CLOUD:
        end_step(fleet, books, number_of(word), now_ns)
    else:
        begin_step(fleet, books, now_ns)


def departs(fleet: Fleet, books: Books) -> bool:
    """Have the next device leave if nothing comes before; whether one has."""
    engine, departures = books.engine, fleet.trouble.happenings
    following = books.trouble[NEXT_HAPPENING]
    if following == len(departures):
        return False
    at_ns = departures[following, AT_NS]
    if at_ns > fleet.ends[1]:
        return False
    if engine[EVENTS] and books.heap[0, 0] < at_ns:
        return False
    if engine[ARMED]:
        if engine[NOW] < at_ns:
            return False
    elif engine[STEP] and engine[STEP_ENDS] < at_ns:
        return False
    books.trouble[NEXT_HAPPENING] += 1
    engine[NOW] = at_ns
    leave(fleet, books, departures[following, WHO], at_ns)
    return True


def slots_are_short(books: Books) -> bool:
    """Whether there may be no row for a session that opens."""
    return books.trouble[SLOTS_LEFT] == 0
