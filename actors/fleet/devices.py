"""A device of a compiled cell and its requests: when each begins, what it sends, when it ends.

The rules are those of ``costeer.edge``, ``netsim`` and ``actors.network``; their plain functions
are called here, and a law of the tests holds the result equal to the ``virtual`` way. What a device
makes of the cloud's answers is in ``exchanges``, and of those that draft in ``drafting``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.columns import UP
from actors.fleet.events import push
from actors.fleet.forwards import extend, extend_by_one, tell_work
from actors.fleet.gates import begin_gate
from actors.fleet.ladders import carried_by
from actors.fleet.layout import (
    ALONE,
    CROSS,
    DRAFTING,
    EXCHANGING,
    FAULT,
    FINISHED,
    GUESSING,
    LANE_CHOICE,
    LANE_DOWN,
    LANE_REQUEST,
    LANE_UP,
    LAST_END,
    LEARNING,
    LOCAL,
    NEVER,
    OPEN,
    PAUSING,
    REFUSAL,
    SHARING,
    SILENT,
    TROUBLED,
    Books,
    Fleet,
)
from actors.fleet.links import lay_link, send_down, send_up
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sampled import book
from actors.fleet.sessions import length_of, outcome_of, session_number, sessions_begin, template_of
from actors.fleet.stages import QUEUED, STEER, WAIT, clear_stages
from actors.fleet.tally import tell_arrival, tell_end, tell_token
from actors.fleet.texts import begin_text
from actors.plan import REQUEST_BITS
from costeer.messages import frame_bytes
from costeer.varint import number_bytes

_LOGITS_NS = CLASS_FIGURES.index("edge_logits_ns")


def begin(fleet: Fleet, books: Books, device: int) -> None:
    """Give a device its link and begin its first request."""
    lay_link(fleet, books, device)
    open_next(fleet, books, device, 0, LANE_UP)


def open_next(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> None:
    """Begin a device's next request when it is due, if it has one.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: index of the device.
        now_ns: when it became free.
        lane: in which the event that made it free was taken.
    """
    narrow, wide = books.narrow, books.wide
    request = int(narrow[device, col.SESSION]) + 1
    session = sessions_begin(fleet, device) + request
    if session == sessions_begin(fleet, device + 1):
        narrow[device, col.SESSION] = request  # none of them
        return
    due_ns = fleet.due_ns[session if len(fleet.due_ns) > 1 else 0]
    intended_ns = due_ns if fleet.opened else now_ns + due_ns
    begun_ns = max(now_ns, intended_ns)
    narrow[device, col.SESSION] = request
    narrow[device, col.POSITION] = 0
    wide[device, col.ARRIVAL] = intended_ns
    wide[device, col.SINCE] = begun_ns
    wide[device, col.STEERED] = 0
    tell_arrival(fleet, books, device, intended_ns)
    template = template_of(fleet, books, device)
    if fleet.role != LOCAL:
        body_bytes = fleet.template[template, col.OPEN_BYTES]
        if LEARNING and fleet.ladders.starts:
            body_bytes += number_bytes(carried_by(fleet, device)) - number_bytes(0)
        number = session_number(fleet, books, device)
        size = frame_bytes(number, 0, 0, body_bytes, fleet.up_bucket)
        arrival_ns = send_up(fleet, books, device, begun_ns, size)
        lane = lane if begun_ns == now_ns else LANE_REQUEST
        speak(fleet, books, device, begun_ns, arrival_ns, lane, OPEN, NEVER)
    if fleet.branches:
        new = pairs = 0
        for branch in range(fleet.branches):
            length = fleet.template[template, col.EDGE_PROMPT + branch]
            new += length
            pairs += length * (length + 1) // 2
        extend(fleet, books, device, begun_ns, new, 0, pairs)
    if DRAFTING and fleet.window:
        begin_text(fleet, books, device, begun_ns)
    if GUESSING and fleet.guesses:
        books.guesses[device, col.READ_BESIDE] = 0
    if PAUSING and fleet.pauses:
        begin_gate(books, device, begun_ns)
    if EXCHANGING and fleet.role == LOCAL:
        done_ns = work_alone(fleet, books, device)
        push(books.engine, books.heap, done_ns, LANE_CHOICE, device, request, ALONE << REQUEST_BITS)


def finish(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int, tokens: int) -> None:
    """End a device's request, with its tokens or none if it was refused; begin the next one."""
    tell_end(fleet, books, device, now_ns, tokens, tokens == 0)
    books.engine[FINISHED] += 1
    books.engine[LAST_END] = max(books.engine[LAST_END], now_ns)
    open_next(fleet, books, device, now_ns, lane)


def be_refused(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """End a device's request, which the cloud refuses at ``now_ns``."""
    number = session_number(fleet, books, device)
    size = frame_bytes(number, 0, 0, fleet.refusal_bytes, 1)
    told_ns = send_down(fleet, books, device, now_ns, size, 0)
    if SHARING and told_ns < 0:
        books.air[-told_ns - 1, col.AIR_WHAT] = REFUSAL
        return
    finish(fleet, books, device, told_ns, LANE_DOWN, 0)


def work_alone(fleet: Fleet, books: Books, device: int) -> int:
    """Choose all tokens of a request from the small model alone; return when that is done."""
    wide, stages = books.wide, books.engine
    choose_ns = fleet.kind[int(books.narrow[device, col.KIND]), col.STEER_NS]
    for position in range(length_of(fleet, books, device)):
        begun_ns, ended_ns = wide[device, col.SINCE], wide[device, col.FORWARD_DONE]
        clear_stages(books.engine)
        if position == 0:
            stages[QUEUED] = begun_ns - wide[device, col.ARRIVAL]
        stages[WAIT] = ended_ns - begun_ns
        stages[STEER] = choose_ns
        now_ns = ended_ns + choose_ns
        if TROUBLED:
            if now_ns >= wide[device, col.LEAVES]:
                return now_ns
            books.narrow[device, col.POSITION] = position + 1
        tell_work(fleet, books, device, now_ns, _LOGITS_NS, choose_ns)
        choose(fleet, books, device, position, now_ns, 0, 0)
        extend_by_one(fleet, books, device, position, now_ns)
    return wide[device, col.SINCE]


def choose(
    fleet: Fleet, books: Books, device: int, position: int, now_ns: int, busy_ns: int, rounds: int
) -> None:
    """Write a chosen token down, with the bytes since the last one."""
    outcome = outcome_of(fleet, books, device, position)
    tell_token(fleet, books, device, position, outcome, now_ns, busy_ns, rounds)
    if fleet.every and device % fleet.every == 0:
        book(fleet, books, device)


def speak(
    fleet: Fleet,
    books: Books,
    device: int,
    sent_ns: int,
    arrival_ns: int,
    lane: int,
    what: int,
    heard_ns: int,
) -> None:
    """Have a device's frame arrive at the cloud.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose it is.
        sent_ns: when it is sent.
        arrival_ns: what ``send_up`` returned.
        lane: in which it is sent.
        what: kind of frame.
        heard_ns: when the cloud sent what it answers; ``NEVER`` if it is no answer.
    """
    engine, narrow = books.engine, books.narrow
    number = int(narrow[device, UP * col.NARROW_STRIDE + col.FRAMES])
    session = int(narrow[device, col.SESSION])
    if SHARING and arrival_ns < 0:
        row = -arrival_ns
        books.air[row - 1, col.AIR_WHAT] = what
        books.air[row - 1, col.AIR_NUMBER] = number
        books.air[row - 1, col.AIR_HEARD] = heard_ns
        push(engine, books.heap, sent_ns, lane, device, number, CROSS << REQUEST_BITS)
        return
    if arrival_ns - heard_ns > fleet.idle_timeout_ns:
        engine[FAULT] = SILENT
    if arrival_ns != sent_ns or lane == LANE_REQUEST:
        lane = LANE_UP
    push(engine, books.heap, arrival_ns, lane, device, number, what << REQUEST_BITS | session)
