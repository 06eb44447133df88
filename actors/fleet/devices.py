"""A device of a compiled cell: from its request to its last token, one exchange at a time.

Once the cloud has sent its answer at T, all that follows until the device's next frame arrives
touches this device alone, so it is worked out at once: way down, decode, small model, steer, way
up. The rules are those of ``costeer.edge``, ``netsim`` and ``actors.network``; their plain
functions are called here, and a law of the tests holds the result equal to the ``virtual`` way.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.columns import UP
from actors.fleet.events import push
from actors.fleet.forwards import extend, extend_by_one, tell_work
from actors.fleet.layout import (
    ALONE,
    CLOSE,
    CROSS,
    DRAFTING,
    EXCHANGING,
    FAULT,
    FINISHED,
    HELD_FREE,
    HELD_HEAD,
    LANE_CHOICE,
    LANE_DOWN,
    LANE_REQUEST,
    LANE_UP,
    LAST_END,
    LOCAL,
    LOGITS,
    MORE,
    NEVER,
    OPEN,
    REFUSAL,
    SHARING,
    SILENT,
    STAGE,
    STREAM,
    TOKEN,
    Books,
    Column,
    Fleet,
    Table,
)
from actors.fleet.links import lay_link, send_down, send_up
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sessions import (
    length_of,
    outcome_of,
    session_number,
    sessions_begin,
    template_of,
)
from actors.fleet.tally import (
    book,
    book_accepted,
    cut_stages,
    tell_arrival,
    tell_end,
    tell_token,
)
from actors.fleet.texts import begin_text
from actors.plan import REQUEST_BITS
from costeer.messages import frame_bytes
from costeer.token_record import STAGES
from costeer.varint import number_bytes

_QUEUED, _UPLINK, _QUEUE, _COMPUTE, _SELECT, _DOWNLINK, _DECODE, _WAIT, _STEER, _REFINEMENT = (
    STAGE + STAGES.index(name)
    for name in (
        "device_queue",
        "uplink",
        "cloud_queue",
        "cloud_compute",
        "select_encode",
        "downlink",
        "decode",
        "edge_wait",
        "steer",
        "refinement",
    )
)
_STAGES = len(STAGES)
_LOGITS_NS = CLASS_FIGURES.index("edge_logits_ns")

# --------------------------------------------------------------------------- requests


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
    if EXCHANGING and fleet.role == LOCAL:
        done_ns = work_alone(fleet, books, device)
        push(books.engine, books.heap, done_ns, LANE_CHOICE, device, request, ALONE << REQUEST_BITS)


def finish(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int, tokens: int) -> None:
    """End a device's request, with its tokens or none if it was refused; begin the next one."""
    tell_end(fleet, books, device, now_ns, tokens)
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
            stages[_QUEUED] = begun_ns - wide[device, col.ARRIVAL]
        stages[_WAIT] = ended_ns - begun_ns
        stages[_STEER] = choose_ns
        now_ns = ended_ns + choose_ns
        tell_work(fleet, books, device, now_ns, _LOGITS_NS, choose_ns)
        choose(fleet, books, device, position, now_ns, 0, 0)
        extend_by_one(fleet, books, device, position, now_ns)
    return wide[device, col.SINCE]


# --------------------------------------------------------------------------- tokens


def clear_stages(engine: Column) -> None:
    """Begin a token whose stages have taken no time yet."""
    for stage in range(_STAGES):
        engine[STAGE + stage] = 0


def cloud_stages(
    books: Books,
    device: int,
    position: int,
    now_ns: int,
    select_ns: int,
    ready_ns: int,
    compute_ns: int,
) -> None:
    """Lay down what a token's way took until the cloud sent its answer at ``now_ns``."""
    stages, wide = books.engine, books.wide
    clear_stages(stages)
    if position == 0:
        stages[_QUEUED] = wide[device, col.SINCE] - wide[device, col.ARRIVAL]
    stages[_QUEUE] = now_ns - ready_ns - compute_ns - select_ns
    stages[_COMPUTE] = compute_ns
    stages[_SELECT] = select_ns


def take_logits(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """What a device does with a LOGITS frame sent at ``now_ns``, until its answer has arrived.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose frame it is.
        now_ns: when the cloud sent it.
        select_ns: how long the select took that it comes from.
    """
    narrow = books.narrow
    position, round_ = int(narrow[device, col.POSITION]), int(narrow[device, col.ROUND])
    outcome = outcome_of(fleet, books, device, position)
    first = int(fleet.outcome[outcome, col.FIRST_PAYLOAD])
    number = session_number(fleet, books, device)
    payload_bytes = int(fleet.payload_bytes[first + round_])
    size = frame_bytes(number, position, round_, payload_bytes, fleet.down_bucket)
    arrival_ns = send_down(fleet, books, device, now_ns, size, payload_bytes)
    if SHARING and arrival_ns < 0:
        note_answer(books, -arrival_ns, position, now_ns, select_ns, LOGITS)
        return
    use_logits(fleet, books, device, now_ns, arrival_ns, select_ns)


def use_logits(
    fleet: Fleet, books: Books, device: int, now_ns: int, arrival_ns: int, select_ns: int
) -> None:
    """What a device does with a LOGITS frame sent at ``now_ns`` that arrives at ``arrival_ns``."""
    narrow, wide, stages = books.narrow, books.wide, books.engine
    kind, position = int(narrow[device, col.KIND]), int(narrow[device, col.POSITION])
    round_ = int(narrow[device, col.ROUND])
    outcome = outcome_of(fleet, books, device, position)
    first = int(fleet.outcome[outcome, col.FIRST_PAYLOAD])
    rounds = int(fleet.outcome[outcome + 1, col.FIRST_PAYLOAD]) - first - 1
    number = session_number(fleet, books, device)
    decode_ns = fleet.kind[kind, col.DECODE_NS + round_]
    steer_ns = fleet.kind[kind, col.STEER_NS]
    decoded_ns = arrival_ns + decode_ns
    forward_done_ns = wide[device, col.FORWARD_DONE]
    steering_ns = max(decoded_ns, forward_done_ns)
    done_ns = steering_ns + steer_ns
    tell_work(fleet, books, device, done_ns, _LOGITS_NS, decode_ns + steer_ns)
    if round_ == 0:
        ready_ns, compute_ns = wide[device, col.READY], wide[device, col.COMPUTE]
        cloud_stages(books, device, position, now_ns, select_ns, ready_ns, compute_ns)
        stages[_UPLINK] = ready_ns - wide[device, col.SINCE]
        stages[_DOWNLINK] = arrival_ns - now_ns
        stages[_DECODE] = decode_ns
        stages[_WAIT] = steering_ns - decoded_ns
        stages[_STEER] = steer_ns
        wide[device, col.STEERED] = done_ns
        if rounds:
            hold(books.engine, books.held, narrow, device, held_at(fleet))
    if round_ < rounds:
        size = frame_bytes(number, position, round_ + 1, 0, fleet.up_bucket)
        what = MORE
    else:
        if rounds:
            take_held(books.engine, books.held, narrow, device, held_at(fleet))
            stages[_REFINEMENT] = done_ns - wide[device, col.STEERED]
        forward_ns = forward_done_ns - wide[device, col.SINCE]
        busy_ns = max(0, forward_ns - stages[_WAIT])
        choose(fleet, books, device, position, done_ns, busy_ns, rounds)
        last = position + 1 == length_of(fleet, books, device)
        what = CLOSE if last else TOKEN
        body_bytes = 0 if last else number_bytes(int(fleet.outcome[outcome, col.OUTCOME_TOKEN]))
        size = frame_bytes(number, position, round_, body_bytes, fleet.up_bucket)
    replied_ns = send_up(fleet, books, device, done_ns, size)
    speak(fleet, books, device, done_ns, replied_ns, LANE_CHOICE, what, now_ns)
    if what == TOKEN:
        extend_by_one(fleet, books, device, position, done_ns)
    elif what == CLOSE:
        finish(fleet, books, device, done_ns, LANE_CHOICE, position + 1)


def take_streamed(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> bool:
    """What a device does with a STREAM frame sent at ``now_ns``; whether it is the last one."""
    wide, length = books.wide, length_of(fleet, books, device)
    position = int(books.narrow[device, col.POSITION])
    outcome = outcome_of(fleet, books, device, position)
    if fleet.every and device % fleet.every == 0:
        book_accepted(fleet, books, device, position, now_ns)
    number = session_number(fleet, books, device)
    token = int(fleet.outcome[outcome, col.OUTCOME_TOKEN])
    size = frame_bytes(number, position, 0, number_bytes(token), 1)
    arrival_ns = send_down(fleet, books, device, now_ns, size, 0)
    ready_ns, compute_ns = wide[device, col.READY], wide[device, col.COMPUTE]
    if SHARING and arrival_ns < 0:
        row = -arrival_ns
        note_answer(books, row, position, now_ns, select_ns, STREAM)
        books.air[row - 1, col.AIR_READY] = ready_ns
        books.air[row - 1, col.AIR_COMPUTE] = compute_ns
        if fleet.every and device % fleet.every == 0:
            books.rows[device // fleet.every * fleet.longest + position, col.CHOSEN_AT] = NEVER
    else:
        use_streamed(
            fleet, books, device, position, now_ns, arrival_ns, select_ns, ready_ns, compute_ns
        )
    return position + 1 == length


def use_streamed(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    now_ns: int,
    accepted_ns: int,
    select_ns: int,
    ready_ns: int,
    compute_ns: int,
) -> None:
    """What a device does with a STREAM frame.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose frame it is.
        position: of its token.
        now_ns: when the cloud sent it.
        accepted_ns: when it arrives.
        select_ns: how long the select took that it comes from.
        ready_ns: from when on the cloud had it to do.
        compute_ns: forwards since.
    """
    wide, stages = books.wide, books.engine
    outcome = outcome_of(fleet, books, device, position)
    cloud_stages(books, device, position, now_ns, select_ns, ready_ns, compute_ns)
    if position:
        # What overtook an earlier token is kept until that one is there.
        accepted_ns = max(accepted_ns, wide[device, col.SINCE])
    else:
        stages[_UPLINK] = ready_ns - wide[device, col.SINCE]
    transit_ns = accepted_ns - now_ns
    stages[_DOWNLINK] = transit_ns - wide[device, col.STEERED]
    wide[device, col.STEERED] = transit_ns
    cut_stages(books.engine, accepted_ns - wide[device, col.SINCE if position else col.ARRIVAL])
    tell_token(fleet, books, device, position, outcome, accepted_ns, 0, 0)
    if position + 1 == length_of(fleet, books, device):
        finish(fleet, books, device, accepted_ns, LANE_DOWN, position + 1)


def note_answer(
    books: Books, row: int, position: int, now_ns: int, select_ns: int, what: int
) -> None:
    """Write down what the cloud's answer is that is in the air."""
    air, at = books.air, row - 1
    air[at, col.AIR_WHAT] = what
    air[at, col.AIR_POSITION] = position
    air[at, col.AIR_SENT] = now_ns
    air[at, col.AIR_SELECT] = select_ns


def choose(
    fleet: Fleet, books: Books, device: int, position: int, now_ns: int, busy_ns: int, rounds: int
) -> None:
    """Write a chosen token down, with the bytes since the last one."""
    outcome = outcome_of(fleet, books, device, position)
    tell_token(fleet, books, device, position, outcome, now_ns, busy_ns, rounds)
    if fleet.every and device % fleet.every == 0:
        book(fleet, books, device)


def held_at(fleet: Fleet) -> int:
    """Return the column that says where a device's stages are held."""
    return col.HELD_APART if fleet.preempts else col.HELD


def hold(engine: Column, held: Table, narrow: Table, device: int, column: int) -> None:
    """Keep the stages of round 0 until the token is chosen."""
    at = engine[HELD_HEAD]
    engine[HELD_HEAD] = held[at, col.HELD_NEXT]
    engine[HELD_FREE] -= 1
    narrow[device, column] = at
    for stage in range(_STAGES):
        held[at, stage] = engine[STAGE + stage]


def take_held(engine: Column, held: Table, narrow: Table, device: int, column: int) -> None:
    """Lay the stages of round 0 down again, and forget them."""
    at = int(narrow[device, column])
    for stage in range(_STAGES):
        engine[STAGE + stage] = held[at, stage]
    held[at, col.HELD_NEXT] = engine[HELD_HEAD]
    engine[HELD_HEAD] = at
    engine[HELD_FREE] += 1


# --------------------------------------------------------------------------- frames


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
