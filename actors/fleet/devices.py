"""A device of a compiled fleet: from its request to its last token, one exchange at a time.

Once the cloud has sent its answer at T, all that follows until the device's next frame arrives
touches this device alone, so it is worked out at once: way down, decode, small model, steer, way
up. The rules are those of ``costeer.edge``, ``netsim`` and ``actors.network``; their plain
functions are called here, and a law of the tests holds the result equal to the ``virtual`` way.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.layout import (
    BUSY,
    CHOSEN_AT,
    CLOSE,
    DOWN,
    EGRESS_BUSY,
    EGRESS_UNTIL,
    FAULT,
    FINISHED,
    LANE_CHOICE,
    LANE_DOWN,
    LANE_UP,
    LATENCY,
    LOCAL,
    MORE,
    MOVED,
    MOVED_FIGURES,
    OPEN,
    ROOM,
    SENT,
    SILENT,
    STAGES,
    STAGES_END,
    TOKEN,
    UP,
    Books,
    Fleet,
    order_of,
    push,
)
from costeer.critical_path import walk_back
from costeer.messages import frame_bytes
from costeer.varint import number_bytes
from netsim.hardware.roofline import batch_ns
from netsim.link import carry, serialise_ns
from netsim.random import Stream, device_key, exponential_with, uniform_with
from netsim.wire import wire_numbers

_JITTER = (int(Stream.DOWNLINK_JITTER), int(Stream.UPLINK_JITTER))
_LOSS = (int(Stream.DOWNLINK_LOSS), int(Stream.UPLINK_LOSS))

# Stages by their place in a row, in the order of ``costeer.machine.STAGES``.
_UPLINK, _QUEUE, _COMPUTE, _SELECT, _DOWNLINK = range(STAGES + 2, STAGES + 7)
_DECODE, _WAIT, _STEER, _REFINEMENT = range(STAGES + 7, STAGES + 11)


# --------------------------------------------------------------------------- requests


def open_next(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> bool:
    """Begin a device's next request when it is due; False if it has none.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: index of the device.
        now_ns: when it became free.
        lane: in which the event that made it free was taken.
    """
    session = books.device[device, col.SESSION] + 1
    if session == fleet.of_device[device + 1, col.FIRST_SESSION]:
        return False
    intended_ns = (
        fleet.of_session[session, col.DUE_NS]
        if fleet.opened
        else now_ns + fleet.of_session[session, col.DUE_NS]
    )
    begun_ns = max(now_ns, intended_ns)
    books.device[device, col.SESSION] = session
    books.request[session, col.ARRIVAL_NS] = intended_ns
    books.device[device, col.SINCE_NS] = intended_ns
    books.device[device, col.WAITED_NS] = begun_ns - intended_ns
    books.device[device, col.WAY_NS] = 0
    books.device[device, col.BOOKED] = 0
    if fleet.role != LOCAL:
        arrival_ns = send_up(
            fleet, books, device, begun_ns, fleet.of_session[session, col.OPEN_BYTES]
        )
        lane = lane if begun_ns == now_ns else LANE_UP
        speak(fleet, books, device, begun_ns, arrival_ns, lane, OPEN)
    if fleet.branches:
        new = pairs = 0
        for branch in range(fleet.branches):
            length = fleet.of_session[session, col.EDGE_PROMPT + branch]
            new += length
            pairs += length * (length + 1) // 2
        extend(fleet, books, device, begun_ns, new, 0, pairs)
    return True


def finish(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> None:
    """End a device's request and begin the next one."""
    session = books.device[device, col.SESSION]
    books.request[session, col.FINISHED_NS] = now_ns
    for figure in range(MOVED_FIGURES):
        books.request[session, col.TOTAL + figure] += books.meter[device, figure]
        books.meter[device, figure] = 0
    books.ended[books.engine[FINISHED]] = session
    books.engine[FINISHED] += 1
    while open_next(fleet, books, device, now_ns, lane) and fleet.role == LOCAL:
        now_ns = work_alone(fleet, books, device)
        session = books.device[device, col.SESSION]
        books.request[session, col.FINISHED_NS] = now_ns
        books.ended[books.engine[FINISHED]] = session
        books.engine[FINISHED] += 1


def begin(fleet: Fleet, books: Books, device: int) -> None:
    """Begin a device's first request."""
    if open_next(fleet, books, device, 0, LANE_UP) and fleet.role == LOCAL:
        finish(fleet, books, device, work_alone(fleet, books, device), LANE_CHOICE)


def work_alone(fleet: Fleet, books: Books, device: int) -> int:
    """Choose all tokens of a request from the small model alone; return when that is done."""
    session = books.device[device, col.SESSION]
    choose_ns = fleet.steer_ns[fleet.of_device[device, col.HARDWARE]]
    now_ns = 0
    for position in range(fleet.of_session[session, col.LENGTH]):
        row = fleet.of_session[session, col.FIRST_OUT] + position
        books.rows[row, STAGES] = books.device[device, col.WAITED_NS]
        books.rows[row, _WAIT] = books.device[device, col.FORWARD_NS]
        books.rows[row, _STEER] = choose_ns
        now_ns = books.device[device, col.FORWARD_DONE_NS] + choose_ns
        choose(fleet, books, device, row, now_ns)
        extend_by_one(fleet, books, device, position, now_ns)
    return now_ns


# --------------------------------------------------------------------------- tokens


def take_logits(
    fleet: Fleet, books: Books, device: int, position: int, round_: int, now_ns: int
) -> None:
    """What a device does with a LOGITS frame sent at ``now_ns``, until its answer has arrived.

    The stages of the cloud stand in the token's row already.
    """
    session, hardware = books.device[device, col.SESSION], fleet.of_device[device, col.HARDWARE]
    outcome = fleet.of_session[session, col.FIRST_ROW] + position
    payload_bytes = fleet.payload_bytes[fleet.of_outcome[outcome, col.FIRST_PAYLOAD] + round_]
    number = fleet.of_session[session, col.SESSION_ID]
    size = frame_bytes(number, position, round_, payload_bytes, fleet.down_bucket)
    arrival_ns = send_down(fleet, books, device, now_ns, size, payload_bytes)
    decoded_ns = arrival_ns + fleet.decode_ns[hardware, round_]
    steering_ns = max(decoded_ns, books.device[device, col.FORWARD_DONE_NS])
    done_ns = steering_ns + fleet.steer_ns[hardware]
    row = fleet.of_session[session, col.FIRST_OUT] + position
    rows = books.rows
    if round_ == 0:
        rows[row, STAGES] = books.device[device, col.WAITED_NS]
        rows[row, _DOWNLINK] = arrival_ns - now_ns
        rows[row, _DECODE] = decoded_ns - arrival_ns
        rows[row, _WAIT] = steering_ns - decoded_ns
        rows[row, _STEER] = done_ns - steering_ns
        books.device[device, col.STEERED_NS] = done_ns
        rows[row, BUSY] = max(0, books.device[device, col.FORWARD_NS] - rows[row, _WAIT])
    if round_ < fleet.of_outcome[outcome, col.ROUNDS]:
        size = frame_bytes(number, position, round_ + 1, 0, fleet.up_bucket)
        kind = MORE
        replied_ns = send_up(fleet, books, device, done_ns, size)
    else:
        rows[row, _REFINEMENT] = done_ns - books.device[device, col.STEERED_NS]
        choose(fleet, books, device, row, done_ns)
        last = position + 1 == fleet.of_session[session, col.LENGTH]
        body_bytes = 0 if last else number_bytes(fleet.of_outcome[outcome, col.TOKEN])
        kind = CLOSE if last else TOKEN
        size = frame_bytes(number, position, round_, body_bytes, fleet.up_bucket)
        replied_ns = send_up(fleet, books, device, done_ns, size)
    if replied_ns - now_ns > fleet.idle_timeout_ns:
        books.engine[FAULT] = SILENT
    speak(fleet, books, device, done_ns, replied_ns, LANE_CHOICE, kind)
    if kind == TOKEN:
        extend_by_one(fleet, books, device, position, done_ns)
    elif kind == CLOSE:
        finish(fleet, books, device, done_ns, LANE_CHOICE)


def take_streamed(fleet: Fleet, books: Books, device: int, position: int, now_ns: int) -> None:
    """What a device does with a STREAM frame sent at ``now_ns``.

    A token's bytes are what was sent until it was accepted, so they are booked when the next frame
    is sent, or after the last one.
    """
    session = books.device[device, col.SESSION]
    token = fleet.of_outcome[fleet.of_session[session, col.FIRST_ROW] + position, col.TOKEN]
    first = fleet.of_session[session, col.FIRST_OUT]
    rows = books.rows
    while (
        books.device[device, col.BOOKED] < position
        and rows[first + books.device[device, col.BOOKED], CHOSEN_AT] <= now_ns
    ):
        book(books, device, session, first)
    size = frame_bytes(
        fleet.of_session[session, col.SESSION_ID], position, 0, number_bytes(token), 1
    )
    # What overtook an earlier token is kept until that one is there.
    accepted_ns = send_down(fleet, books, device, now_ns, size, 0)
    row = first + position
    if position:
        accepted_ns = max(accepted_ns, rows[row - 1, CHOSEN_AT])
    transit_ns = accepted_ns - now_ns
    rows[row, STAGES] = books.device[device, col.WAITED_NS]
    rows[row, _DOWNLINK] = transit_ns - books.device[device, col.WAY_NS]
    books.device[device, col.WAY_NS] = transit_ns
    close(books, device, row, accepted_ns)
    if position + 1 == fleet.of_session[session, col.LENGTH]:
        while books.device[device, col.BOOKED] <= position:
            book(books, device, session, first)
        finish(fleet, books, device, accepted_ns, LANE_DOWN)


def choose(fleet: Fleet, books: Books, device: int, row: int, now_ns: int) -> None:
    """Write a chosen token down, with the bytes since the last one."""
    close(books, device, row, now_ns)
    session = books.device[device, col.SESSION]
    books.device[device, col.BOOKED] = row - fleet.of_session[session, col.FIRST_OUT]
    book(books, device, session, fleet.of_session[session, col.FIRST_OUT])


def close(books: Books, device: int, row: int, now_ns: int) -> None:
    """Cut a token's stages to its latency; the next one counts from here."""
    latency_ns = now_ns - books.device[device, col.SINCE_NS]
    books.rows[row, CHOSEN_AT] = now_ns
    books.rows[row, LATENCY] = latency_ns
    walk_back(latency_ns, books.rows[row, STAGES:STAGES_END])
    books.device[device, col.SINCE_NS] = now_ns
    books.device[device, col.WAITED_NS] = 0


def book(books: Books, device: int, session: int, first: int) -> None:
    """Book what was moved with the next token that has no bytes yet."""
    row = first + books.device[device, col.BOOKED]
    books.device[device, col.BOOKED] += 1
    for figure in range(MOVED_FIGURES):
        moved = books.meter[device, figure]
        books.rows[row, MOVED + figure] = moved
        books.request[session, col.TOTAL + figure] += moved
        books.meter[device, figure] = 0


# --------------------------------------------------------------------------- the small model


def extend_by_one(fleet: Fleet, books: Books, device: int, position: int, now_ns: int) -> None:
    """Give the small model the token of a position."""
    session, rows = books.device[device, col.SESSION], fleet.branches
    held = rows * position
    for branch in range(rows):
        held += fleet.of_session[session, col.EDGE_PROMPT + branch]
    extend(fleet, books, device, now_ns, rows, held, held + rows)


def extend(
    fleet: Fleet, books: Books, device: int, now_ns: int, new: int, held: int, pairs: int
) -> None:
    """Begin a forward of the small model; see ``batch_ns``."""
    terms, at = fleet.edge_terms, fleet.of_device[device, col.HARDWARE]
    duration_ns = batch_ns(
        fleet.branches,
        new,
        held,
        pairs,
        (
            terms[at, 0],
            terms[at, 1],
            terms[at, 2],
            terms[at, 3],
            terms[at, 4],
            terms[at, 5],
            terms[at, 6],
            terms[at, 7],
        ),
    )
    books.device[device, col.FORWARD_NS] = duration_ns
    books.device[device, col.FORWARD_DONE_NS] = now_ns + duration_ns


# --------------------------------------------------------------------------- the network


def speak(
    fleet: Fleet, books: Books, device: int, sent_ns: int, arrival_ns: int, lane: int, kind: int
) -> None:
    """Have a device's frame arrive at the cloud."""
    if kind != CLOSE:
        books.device[device, col.TRANSIT_NS] = arrival_ns - sent_ns
    number = books.flow[2 * device + UP, SENT]
    order = order_of(
        lane if arrival_ns == sent_ns else LANE_UP, fleet.of_device[device, col.NUMBER], number
    )
    push(books, arrival_ns, order, kind, books.device[device, col.SESSION])


def send_up(fleet: Fleet, books: Books, device: int, now_ns: int, size: int) -> int:
    """Send a frame up; return when it arrives."""
    arrival_ns, wire_bytes, packets, ack_bytes = transmit(fleet, books, device, UP, now_ns, size)
    meter = books.meter
    meter[device, 4] += size
    meter[device, 5] += wire_bytes
    meter[device, 6] += packets
    meter[device, 2] += ack_bytes
    return arrival_ns


def send_down(
    fleet: Fleet, books: Books, device: int, now_ns: int, size: int, payload_bytes: int
) -> int:
    """Send a frame down, first through the cloud's way out; return when it arrives."""
    if fleet.egress_bps:
        took_ns = serialise_ns(wire_numbers(size, fleet.egress_wire)[0], fleet.egress_bps)
        now_ns = max(now_ns, books.engine[EGRESS_UNTIL]) + took_ns
        books.engine[EGRESS_UNTIL] = now_ns
        books.engine[EGRESS_BUSY] += took_ns
    arrival_ns, wire_bytes, packets, ack_bytes = transmit(fleet, books, device, DOWN, now_ns, size)
    meter = books.meter
    meter[device, 0] += payload_bytes
    meter[device, 1] += size
    meter[device, 2] += wire_bytes
    meter[device, 3] += packets
    meter[device, 5] += ack_bytes
    return arrival_ns


def transmit(
    fleet: Fleet, books: Books, device: int, way: int, now_ns: int, size: int
) -> tuple[int, int, int, int]:
    """Send a frame over the device's link: (arrival_ns, wire_bytes, packets, ack_bytes)."""
    link = fleet.of_device[device, col.LINK]
    if fleet.setup_ns[link]:
        if books.device[device, col.CONNECTED_NS] < 0:
            books.device[device, col.CONNECTED_NS] = now_ns + fleet.setup_ns[link]
        now_ns = max(now_ns, books.device[device, col.CONNECTED_NS])
    line = 2 * link + way
    at = 2 * device + way
    flow, tcp, wire = books.flow, fleet.tcp, fleet.wire
    counter = flow[at, SENT]
    delay_ns = fleet.line[line, 1]
    jitter_ns = fleet.line[line, 2]
    if jitter_ns:
        key = device_key(fleet.word, _JITTER[way], fleet.of_device[device, col.NUMBER])
        delay_ns += int(exponential_with(key, counter) * jitter_ns)
    uniform = 0.0
    if fleet.loss[line] > 0.0:
        key = device_key(fleet.word, _LOSS[way], fleet.of_device[device, col.NUMBER])
        uniform = uniform_with(key, counter)
    arrival_ns, wire_bytes, packets, ack_bytes, _, _, room_bytes, state = carry(
        now_ns,
        size,
        delay_ns,
        uniform,
        fleet.loss[line],
        fleet.line[line, 0],
        (
            wire[link, 0],
            wire[link, 1],
            wire[link, 2],
            wire[link, 3],
            wire[link, 4],
            wire[link, 5],
            wire[link, 6],
            wire[link, 7],
        ),
        (
            tcp[line, 0],
            tcp[line, 1],
            tcp[line, 2],
            tcp[line, 3],
            tcp[line, 4],
            tcp[line, 5],
            tcp[line, 6],
            tcp[line, 7],
            tcp[line, 8],
        ),
        (
            flow[at, 0],
            flow[at, 1],
            flow[at, 2],
            flow[at, 3],
            flow[at, 4],
            flow[at, 5],
            flow[at, 6],
            flow[at, 7],
        ),
        flow[at, ROOM],
    )
    for index in range(SENT):
        flow[at, index] = state[index]
    flow[at, SENT] = counter + 1
    flow[at, ROOM] = room_bytes
    return arrival_ns, wire_bytes, packets, ack_bytes


def write_cloud(
    books: Books, row: int, uplink_ns: int, queue_ns: int, compute_ns: int, select_ns: int
) -> None:
    """Write what the cloud's part of a token took into its row."""
    books.rows[row, _UPLINK] = uplink_ns
    books.rows[row, _QUEUE] = queue_ns
    books.rows[row, _COMPUTE] = compute_ns
    books.rows[row, _SELECT] = select_ns
