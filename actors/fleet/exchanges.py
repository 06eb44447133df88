"""The cloud's answers to a device of a compiled cell, and what the device makes of each.

Once the cloud has sent its answer at T, all that follows until the device's next frame arrives
touches this device alone, so it is worked out at once: way down, decode, small model, steer, way
up. Where devices share what the answer crosses, it is noted with the frame, and the rest follows
when that has landed. The rules are those of ``costeer.edge``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.devices import choose, finish, speak
from actors.fleet.forwards import extend_by_one, tell_work
from actors.fleet.layout import (
    CLOSE,
    LANE_CHOICE,
    LANE_DOWN,
    LOGITS,
    MORE,
    NEVER,
    OVERLAPPING,
    SHARING,
    STREAM,
    TOKEN,
    Books,
    Fleet,
)
from actors.fleet.links import send_down, send_up
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sampled import book_accepted
from actors.fleet.sessions import length_of, outcome_of, payload_of, rounds_of, session_number
from actors.fleet.stages import (
    DOWNLINK,
    UPLINK,
    WAIT,
    cloud_stages,
    cut_stages,
    end_refinement,
    lay_steering,
)
from actors.fleet.tally import tell_token
from costeer.messages import frame_bytes
from costeer.varint import number_bytes

_LOGITS_NS = CLASS_FIGURES.index("edge_logits_ns")


def take_logits(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """What a device does with a LOGITS frame sent at ``now_ns``, until its answer has arrived.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose frame it is.
        now_ns: when the cloud sent it.
        select_ns: how long the select took that it comes from.
    """
    arrival_ns = send_logits(fleet, books, device, now_ns)
    if SHARING and arrival_ns < 0:
        position = int(books.narrow[device, col.POSITION])
        note_answer(books, -arrival_ns, position, now_ns, select_ns, LOGITS)
        return
    use_logits(fleet, books, device, now_ns, arrival_ns, select_ns)


def send_logits(fleet: Fleet, books: Books, device: int, now_ns: int) -> int:
    """Send a device the ranks of its round; return what ``send_down`` does."""
    narrow = books.narrow
    position, round_ = int(narrow[device, col.POSITION]), int(narrow[device, col.ROUND])
    payload_bytes = payload_of(fleet, outcome_of(fleet, books, device, position), round_)
    number = session_number(fleet, books, device)
    size = frame_bytes(number, position, round_, payload_bytes, fleet.down_bucket)
    return send_down(fleet, books, device, now_ns, size, payload_bytes)


def use_logits(
    fleet: Fleet, books: Books, device: int, now_ns: int, arrival_ns: int, select_ns: int
) -> None:
    """What a device does with a LOGITS frame sent at ``now_ns`` that arrives at ``arrival_ns``."""
    narrow, wide, stages = books.narrow, books.wide, books.engine
    kind, position = int(narrow[device, col.KIND]), int(narrow[device, col.POSITION])
    round_ = int(narrow[device, col.ROUND])
    outcome = outcome_of(fleet, books, device, position)
    rounds = rounds_of(fleet, outcome)
    decode_ns = fleet.kind[kind, col.DECODE_NS + round_]
    steer_ns = fleet.kind[kind, col.STEER_NS]
    decoded_ns = arrival_ns + decode_ns
    if OVERLAPPING and fleet.steer_at:
        steer_ns = reordered_ns(fleet, books, device, round_, decoded_ns)
    forward_done_ns = wide[device, col.FORWARD_DONE]
    steering_ns = max(decoded_ns, forward_done_ns)
    done_ns = steering_ns + steer_ns
    tell_work(fleet, books, device, done_ns, _LOGITS_NS, decode_ns + steer_ns)
    if round_ == 0:
        ready_ns, compute_ns = wide[device, col.READY], wide[device, col.COMPUTE]
        cloud_stages(books, device, position, now_ns, select_ns, ready_ns, compute_ns)
        stages[UPLINK] = ready_ns - wide[device, col.SINCE]
        stages[DOWNLINK] = arrival_ns - now_ns
        wait_ns = steering_ns - decoded_ns
        lay_steering(fleet, books, device, decode_ns, wait_ns, steer_ns, done_ns, rounds)
    what = MORE
    if round_ >= rounds:
        if rounds:
            end_refinement(fleet, books, device, done_ns)
        forward_ns = forward_done_ns - wide[device, col.SINCE]
        hidden = not (OVERLAPPING and fleet.waits)
        busy_ns = max(0, forward_ns - stages[WAIT]) if hidden else 0
        choose(fleet, books, device, position, done_ns, busy_ns, rounds)
        what = CLOSE if position + 1 == length_of(fleet, books, device) else TOKEN
    reply(fleet, books, device, what, done_ns, now_ns)
    if what == TOKEN:
        extend_by_one(fleet, books, device, position, done_ns)
    elif what == CLOSE:
        finish(fleet, books, device, done_ns, LANE_CHOICE, position + 1)


def reply(fleet: Fleet, books: Books, device: int, what: int, done_ns: int, heard_ns: int) -> None:
    """Send up what a device makes of the ranks that were sent to it at ``heard_ns``.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose frame it is.
        what: MORE, CLOSE or TOKEN.
        done_ns: when it is sent.
        heard_ns: when the cloud sent the ranks.
    """
    narrow = books.narrow
    position, round_ = int(narrow[device, col.POSITION]), int(narrow[device, col.ROUND])
    body_bytes = 0
    if what == TOKEN:
        outcome = outcome_of(fleet, books, device, position)
        body_bytes = number_bytes(int(fleet.outcome[outcome, col.OUTCOME_TOKEN]))
    elif what == MORE:
        round_ += 1
    number = session_number(fleet, books, device)
    size = frame_bytes(number, position, round_, body_bytes, fleet.up_bucket)
    replied_ns = send_up(fleet, books, device, done_ns, size)
    speak(fleet, books, device, done_ns, replied_ns, LANE_CHOICE, what, heard_ns)


def reordered_ns(fleet: Fleet, books: Books, device: int, round_: int, decoded_ns: int) -> int:
    """Return what steering takes in another order of work; a forward that was held begins."""
    wide, kind = books.wide, int(books.narrow[device, col.KIND])
    if fleet.waits and round_ == 0:
        # In the books it was begun when its tokens were there.
        took_ns = wide[device, col.FORWARD_DONE] - wide[device, col.SINCE]
        wide[device, col.FORWARD_DONE] = decoded_ns + took_ns
    return fleet.kind[kind, fleet.steer_at + round_]


def take_streamed(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> bool:
    """What a device does with a STREAM frame sent at ``now_ns``; whether it is the last one."""
    if fleet.every and device % fleet.every == 0:
        book_accepted(fleet, books, device, int(books.narrow[device, col.POSITION]), now_ns)
    return take_beside(fleet, books, device, now_ns, select_ns)


def take_beside(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> bool:
    """As ``take_streamed``, of a frame that is sent at once behind another."""
    wide, length = books.wide, length_of(fleet, books, device)
    position = int(books.narrow[device, col.POSITION])
    outcome = outcome_of(fleet, books, device, position)
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
        stages[UPLINK] = ready_ns - wide[device, col.SINCE]
    transit_ns = accepted_ns - now_ns
    stages[DOWNLINK] = transit_ns - wide[device, col.STEERED]
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
