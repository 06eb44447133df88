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
from actors.fleet.exchanges import note_answer, reply, send_logits
from actors.fleet.forwards import tell_work
from actors.fleet.gates import pass_gate, read_all, read_one, read_until
from actors.fleet.layout import (
    CLOSE,
    LANE_CHOICE,
    LANE_DOWN,
    LOGITS,
    MORE,
    NEVER,
    SHARING,
    STREAM,
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
        send_paused_logits(fleet, books, device, now_ns, select_ns)
        return
    template, session = template_of(fleet, books, device), int(narrow[device, col.SESSION])
    last = position + 1 == length_of(fleet, books, device)
    send_own(fleet, books, device, now_ns, select_ns)
    if last:
        free(fleet, books, device, session, template)
        return
    narrow[device, col.POSITION] += 1
    wide[device, col.READY] = now_ns
    wide[device, col.COMPUTE] = 0
    extend_text(fleet, books, device)


def send_own(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """Send a device the cloud's own token, and what it makes of it."""
    position = int(books.narrow[device, col.POSITION])
    outcome = outcome_of(fleet, books, device, position)
    number = session_number(fleet, books, device)
    token = int(fleet.outcome[outcome, col.OUTCOME_TOKEN])
    size = frame_bytes(number, position, 0, number_bytes(token), 1)
    arrival_ns = send_down(fleet, books, device, now_ns, size, 0)
    if SHARING and arrival_ns < 0:
        note_paused(books, -arrival_ns, position, now_ns, select_ns, STREAM)
        if fleet.every and device % fleet.every == 0:
            books.rows[device // fleet.every * fleet.longest + position, col.CHOSEN_AT] = NEVER
        return
    ready_ns, compute_ns = books.wide[device, col.READY], books.wide[device, col.COMPUTE]
    use_own(fleet, books, device, position, now_ns, arrival_ns, select_ns, ready_ns, compute_ns)


def send_paused_logits(
    fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int
) -> None:
    """Send a device the ranks of its round, and what it makes of them."""
    arrival_ns = send_logits(fleet, books, device, now_ns)
    if SHARING and arrival_ns < 0:
        position = int(books.narrow[device, col.POSITION])
        note_paused(books, -arrival_ns, position, now_ns, select_ns, LOGITS)
        return
    ready_ns, compute_ns = books.wide[device, col.READY], books.wide[device, col.COMPUTE]
    use_paused_logits(fleet, books, device, now_ns, arrival_ns, select_ns, ready_ns, compute_ns)


def note_paused(
    books: Books, row: int, position: int, now_ns: int, select_ns: int, what: int
) -> None:
    """Write down what the cloud's answer is that is in the air."""
    note_answer(books, row, position, now_ns, select_ns, what)
    device = books.air[row - 1, col.AIR_DEVICE]
    books.air[row - 1, col.AIR_READY] = books.wide[device, col.READY]
    books.air[row - 1, col.AIR_COMPUTE] = books.wide[device, col.COMPUTE]


def lay_cloud(
    books: Books,
    device: int,
    position: int,
    now_ns: int,
    at_ns: int,
    select_ns: int,
    ready_ns: int,
    compute_ns: int,
    own: int,
) -> None:
    """Lay down what the cloud and the way down took of a token that is there at ``at_ns``.

    Args:
        books: of the cell.
        device: whose token it is.
        position: of it.
        now_ns: when the cloud sent its answer.
        at_ns: when that is there, and all before it are.
        select_ns: how long the select took that it comes from.
        ready_ns: from when on the cloud had it to do.
        compute_ns: forwards since.
        own: 1 if the token is the cloud's.
    """
    wide, stages, gates = books.wide, books.engine, books.gates
    cloud_stages(books, device, position, now_ns, select_ns, ready_ns, compute_ns)
    # Behind a token of its own the cloud was asked by nobody.
    if gates[device, col.OWN_TOKEN] == 0:
        stages[UPLINK] = ready_ns - wide[device, col.SINCE]
    transit_ns = at_ns - now_ns
    stages[DOWNLINK] = transit_ns - wide[device, col.STEERED]
    wide[device, col.STEERED] = transit_ns if own else 0
    gates[device, col.OWN_TOKEN] = own


def use_own(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    now_ns: int,
    arrival_ns: int,
    select_ns: int,
    ready_ns: int,
    compute_ns: int,
) -> None:
    """What a device does with the cloud's own token.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose frame it is.
        position: of its token.
        now_ns: when the cloud sent it.
        arrival_ns: when it arrives.
        select_ns: how long the select took that it comes from.
        ready_ns: from when on the cloud had it to do.
        compute_ns: forwards since.
    """
    wide, gates = books.wide, books.gates
    at_ns = max(arrival_ns, wide[device, col.SINCE])
    since_ns = wide[device, col.SINCE if position else col.ARRIVAL]
    # A token that was kept is as long under way as it takes until it stands.
    lay_cloud(books, device, position, now_ns, at_ns, select_ns, ready_ns, compute_ns, 1)
    cut_stages(books.engine, at_ns - since_ns)
    read_until(fleet, books, device, at_ns)
    busy_ns = gates[device, col.WORKED_NS]
    gates[device, col.WORKED_NS] = 0
    write_own(fleet, books, device, position)
    outcome = outcome_of(fleet, books, device, position)
    tell_token(fleet, books, device, position, outcome, at_ns, busy_ns, 0)
    if position + 1 == length_of(fleet, books, device):
        finish(fleet, books, device, at_ns, LANE_DOWN, position + 1)
    else:
        read_one(fleet, books, device, at_ns)


def use_paused_logits(
    fleet: Fleet,
    books: Books,
    device: int,
    now_ns: int,
    arrival_ns: int,
    select_ns: int,
    ready_ns: int,
    compute_ns: int,
) -> None:
    """What a device does with a LOGITS frame; see ``use_own``, and ``exchanges``."""
    narrow, wide = books.narrow, books.wide
    kind, position = int(narrow[device, col.KIND]), int(narrow[device, col.POSITION])
    round_ = int(narrow[device, col.ROUND])
    rounds = rounds_of(fleet, outcome_of(fleet, books, device, position))
    at_ns = max(arrival_ns, wide[device, col.SINCE])
    decode_ns, steer_ns = fleet.kind[kind, col.DECODE_NS + round_], fleet.kind[kind, col.STEER_NS]
    decoded_ns = at_ns + decode_ns
    if round_ == 0:
        if fleet.every and device % fleet.every == 0:
            book_accepted(fleet, books, device, position, at_ns)
        read_all(fleet, books, device)
        lay_cloud(books, device, position, now_ns, at_ns, select_ns, ready_ns, compute_ns, 0)
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
