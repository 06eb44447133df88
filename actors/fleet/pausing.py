"""A device of a compiled cell whose steering pauses now and then, and its cloud's answers.

As ``devices``, but a token of which the cloud is sure comes down itself, in a STREAM frame, and the
cloud goes on without a word from the device. The order is that of ``costeer.gated``: a token stands
when it and all before it are there; what was sent until then is booked with the one before.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.admission import free
from actors.fleet.devices import choose, finish
from actors.fleet.eviction import extend_text
from actors.fleet.exchanges import reply, send_logits
from actors.fleet.forwards import tell_work
from actors.fleet.gates import pass_gate, read_all, read_one, read_until
from actors.fleet.layout import (
    CLOSE,
    LANE_CHOICE,
    LANE_DOWN,
    MORE,
    TOKEN,
    Books,
    Fleet,
)
from actors.fleet.links import send_down
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sampled import book_accepted, write_own
from actors.fleet.sessions import length_of, outcome_of, rounds_of, session_number, template_of
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


def answer_paused(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """Send a device its logits, or the token that the cloud is sure of, and what it makes of it."""
    narrow, wide = books.narrow, books.wide
    position = int(narrow[device, col.POSITION])
    if fleet.every and device % fleet.every == 0:
        book_accepted(fleet, books, device, position, now_ns)
    if narrow[device, col.ROUND] or not pass_gate(fleet, books, device, position):
        take_paused_logits(fleet, books, device, now_ns, select_ns)
        return
    template, session = template_of(fleet, books, device), int(narrow[device, col.SESSION])
    if take_own(fleet, books, device, now_ns, select_ns):
        free(fleet, books, device, session, template)
        return
    narrow[device, col.POSITION] += 1
    wide[device, col.READY] = now_ns
    wide[device, col.COMPUTE] = 0
    extend_text(fleet, books, device)


def lay_cloud(books: Books, device: int, now_ns: int, at_ns: int, select_ns: int, own: int) -> None:
    """Lay down what the cloud and the way down took of a token that is there at ``at_ns``.

    Args:
        books: of the cell.
        device: whose token it is.
        now_ns: when the cloud sent its answer.
        at_ns: when that is there, and all before it are.
        select_ns: how long the select took that it comes from.
        own: 1 if the token is the cloud's.
    """
    wide, stages, gates = books.wide, books.engine, books.gates
    position = int(books.narrow[device, col.POSITION])
    ready_ns, compute_ns = wide[device, col.READY], wide[device, col.COMPUTE]
    cloud_stages(books, device, position, now_ns, select_ns, ready_ns, compute_ns)
    # Behind a token of its own the cloud was asked by nobody.
    if gates[device, col.OWN_TOKEN] == 0:
        stages[UPLINK] = ready_ns - wide[device, col.SINCE]
    transit_ns = at_ns - now_ns
    stages[DOWNLINK] = transit_ns - wide[device, col.STEERED]
    wide[device, col.STEERED] = transit_ns if own else 0
    gates[device, col.OWN_TOKEN] = own


def take_own(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> bool:
    """What a device does with the cloud's own token, sent at ``now_ns``; whether it is the last."""
    wide, gates, position = books.wide, books.gates, int(books.narrow[device, col.POSITION])
    outcome = outcome_of(fleet, books, device, position)
    number = session_number(fleet, books, device)
    token = int(fleet.outcome[outcome, col.OUTCOME_TOKEN])
    size = frame_bytes(number, position, 0, number_bytes(token), 1)
    arrival_ns = send_down(fleet, books, device, now_ns, size, 0)
    at_ns = max(arrival_ns, wide[device, col.SINCE])
    since_ns = wide[device, col.SINCE if position else col.ARRIVAL]
    # A token that was kept is as long under way as it takes until it stands.
    lay_cloud(books, device, now_ns, at_ns, select_ns, 1)
    cut_stages(books.engine, at_ns - since_ns)
    read_until(fleet, books, device, at_ns)
    busy_ns = gates[device, col.WORKED_NS]
    gates[device, col.WORKED_NS] = 0
    write_own(fleet, books, device, position)
    tell_token(fleet, books, device, position, outcome, at_ns, busy_ns, 0)
    last = position + 1 == length_of(fleet, books, device)
    if last:
        finish(fleet, books, device, at_ns, LANE_DOWN, position + 1)
    else:
        read_one(fleet, books, device, at_ns)
    return last


def take_paused_logits(
    fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int
) -> None:
    """What a device does with a LOGITS frame sent at ``now_ns``; see ``exchanges``."""
    narrow, wide = books.narrow, books.wide
    kind, position = int(narrow[device, col.KIND]), int(narrow[device, col.POSITION])
    round_ = int(narrow[device, col.ROUND])
    rounds = rounds_of(fleet, outcome_of(fleet, books, device, position))
    at_ns = max(send_logits(fleet, books, device, now_ns), wide[device, col.SINCE])
    decode_ns, steer_ns = fleet.kind[kind, col.DECODE_NS + round_], fleet.kind[kind, col.STEER_NS]
    decoded_ns = at_ns + decode_ns
    if round_ == 0:
        if fleet.every and device % fleet.every == 0:
            book_accepted(fleet, books, device, position, at_ns)
        read_all(fleet, books, device)
        lay_cloud(books, device, now_ns, at_ns, select_ns, 0)
    steering_ns = max(decoded_ns, wide[device, col.FORWARD_DONE])
    done_ns = steering_ns + steer_ns
    tell_work(fleet, books, device, done_ns, _LOGITS_NS, decode_ns + steer_ns)
    if round_ == 0:
        wait_ns = steering_ns - decoded_ns
        lay_steering(fleet, books, device, decode_ns, wait_ns, steer_ns, done_ns, rounds)
    decide(fleet, books, device, now_ns, done_ns)


def decide(fleet: Fleet, books: Books, device: int, now_ns: int, done_ns: int) -> None:
    """Ask for more, or choose, when logits sent at ``now_ns`` are steered at ``done_ns``."""
    narrow, wide, stages, gates = books.narrow, books.wide, books.engine, books.gates
    position, round_ = int(narrow[device, col.POSITION]), int(narrow[device, col.ROUND])
    rounds = rounds_of(fleet, outcome_of(fleet, books, device, position))
    what = MORE
    if round_ >= rounds:
        if rounds:
            end_refinement(fleet, books, device, done_ns)
        wide[device, col.STEERED] = 0
        busy_ns = max(0, gates[device, col.WORKED_NS] - stages[WAIT])
        gates[device, col.WORKED_NS] = 0
        cut_stages(books.engine, done_ns - wide[device, col.SINCE if position else col.ARRIVAL])
        write_own(fleet, books, device, position)
        choose(fleet, books, device, position, done_ns, busy_ns, rounds)
        what = CLOSE if position + 1 == length_of(fleet, books, device) else TOKEN
    reply(fleet, books, device, what, done_ns, now_ns)
    if what == TOKEN:
        read_one(fleet, books, device, done_ns)
    elif what == CLOSE:
        finish(fleet, books, device, done_ns, LANE_CHOICE, position + 1)
