"""What a device of a compiled cell, in which something may fail, makes of answers, and of none.

The rules are those of ``costeer.edge``, ``costeer.endpoint`` and ``costeer.solo``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.air import give_row
from actors.fleet.columns import DOWN
from actors.fleet.drafting import hear_own
from actors.fleet.events import push
from actors.fleet.forwards import extend_by_one, tell_work
from actors.fleet.gates import read_all, read_one, read_until
from actors.fleet.layout import (
    DRAFTING,
    ENDED,
    LANE_ANSWER,
    LANE_CHOICE,
    LANE_DOWN,
    LOGITS,
    MORE,
    OVERLAPPING,
    OWN,
    PAUSING,
    REFUSAL,
    REFUSED,
    ROWS,
    SILENCED,
    STALLED,
    STREAM,
    STREAMED,
    TOKEN,
    Books,
    Fleet,
)
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sampled import write_own
from actors.fleet.sessions import length_of, outcome_of, rounds_of, session_number, template_of
from actors.fleet.stages import (
    COMPUTE,
    DOWNLINK,
    QUEUE,
    QUEUED,
    SELECT,
    STEER,
    UPLINK,
    WAIT,
    clear_stages,
    end_refinement,
    lay_steering,
)
from actors.fleet.tally import counts, tell_drafts
from actors.fleet.texts import draft_of, ends_text
from actors.fleet.trouble.alone import ready_alone, run_alone
from actors.fleet.trouble.asking import ask, ask_again, close, drop_work, end_request
from actors.fleet.trouble.drafting import refine_again, take_rows, watch_text, works
from actors.fleet.trouble.frames import keep, take, take_kept
from actors.fleet.trouble.telling import tell
from actors.fleet.trouble.waiting import is_over, set_timer, wait_again, wait_for, wait_no_more
from actors.plan import REQUEST_BITS
from costeer.messages import frame_bytes
from costeer.varint import number_bytes

_LOGITS_NS, _ALONE = (CLASS_FIGURES.index(name) for name in ("edge_logits_ns", "fallback_tokens"))


def hear_cloud(fleet: Fleet, books: Books, device: int, number: int, now_ns: int) -> None:
    """Take a frame that comes down to a device; what is not of its session is nobody's."""
    air, narrow = books.air, books.narrow
    row = take(air, narrow, device, DOWN, number)
    at, what = row - 1, air[row - 1, col.AIR_WHAT]
    mine = (
        narrow[device, col.ASKING] > 0
        and narrow[device, col.SOLO] == 0
        and air[at, col.AIR_SESSION] == narrow[device, col.SESSION]
        and air[at, col.AIR_EPOCH] == narrow[device, col.EPOCH]
    )
    position = int(narrow[device, col.POSITION])
    in_turn = what == STREAM
    if PAUSING and fleet.pauses:
        in_turn = in_turn or (what == LOGITS and air[at, col.AIR_ROUND] == 0)
    if mine and what == ROWS:
        if DRAFTING and fleet.window:
            take_rows(fleet, books, device, row, now_ns)
    elif mine and in_turn:
        if air[at, col.AIR_POSITION] >= position:
            keep(air, narrow, device, row)
            if fleet.role == STREAMED:
                narrow[device, col.QUESTION] = 0
            take_turns(fleet, books, device, now_ns)
            return
    elif mine and what == LOGITS:
        if (
            air[at, col.AIR_POSITION] == position
            and air[at, col.AIR_ROUND] == narrow[device, col.ROUND]
            and narrow[device, col.RECEIVED] == 0
        ):
            steer(fleet, books, device, row, now_ns)
            return
    elif mine:
        how = REFUSED if what == REFUSAL else SILENCED
        end_request(fleet, books, device, now_ns, LANE_DOWN, position, how, 0)
    give_row(books.engine, air, row)


def take_turns(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Take all that was kept and whose turn it is."""
    air, narrow = books.air, books.narrow
    row = take_kept(air, narrow, device)
    while row:
        # What was kept is under way until it stands.
        air[row - 1, col.AIR_ARRIVAL] = now_ns
        if PAUSING and fleet.pauses and air[row - 1, col.AIR_WHAT] == LOGITS:
            steer(fleet, books, device, row, now_ns)
            return
        accept(fleet, books, device, row, now_ns)
        give_row(books.engine, air, row)
        row = take_kept(air, narrow, device)


def steer(fleet: Fleet, books: Books, device: int, row: int, now_ns: int) -> None:
    """Have a device steer the logits that are there, once its small model's are as well."""
    narrow, wide = books.narrow, books.wide
    kind, round_ = int(narrow[device, col.KIND]), int(narrow[device, col.ROUND])
    narrow[device, col.RECEIVED] = 1
    wait_no_more(books, device)
    narrow[device, col.CHOOSING] = row
    decoded_ns = now_ns + fleet.kind[kind, col.DECODE_NS + round_]
    if PAUSING and fleet.pauses:
        read_all(fleet, books, device)
    if OVERLAPPING and fleet.waits and round_ == 0:
        took_ns = wide[device, col.FORWARD_DONE] - wide[device, col.FORWARD_BEGAN]
        wide[device, col.FORWARD_BEGAN] = decoded_ns
        wide[device, col.FORWARD_DONE] = decoded_ns + took_ns
    steering_ns = max(decoded_ns, wide[device, col.FORWARD_DONE])
    choose_at(books, device, steering_ns + steered_ns(fleet, kind, round_))


def steered_ns(fleet: Fleet, kind: int, round_: int) -> int:
    """Return how long a device of a class steers the ranks of a round."""
    took_ns = fleet.kind[kind, col.STEER_NS]
    if OVERLAPPING and fleet.steer_at:
        took_ns = fleet.kind[kind, fleet.steer_at + round_]
    return took_ns


def choose_at(books: Books, device: int, at_ns: int) -> None:
    """Have a device choose at an instant, unless something comes between."""
    turn = int(books.narrow[device, col.TURN])
    push(books.engine, books.heap, at_ns, LANE_CHOICE, device, turn, OWN << REQUEST_BITS)


def choose_now(fleet: Fleet, books: Books, device: int, turn: int, now_ns: int) -> None:
    """Make the choice that is due."""
    if turn != books.narrow[device, col.TURN]:
        return  # something came between
    if books.narrow[device, col.SOLO]:
        choose_alone(fleet, books, device, now_ns)
    else:
        choose_steered(fleet, books, device, now_ns)


def lay_stages(books: Books, device: int, row: int) -> None:
    """Lay down what a token's way took until its answer came."""
    air, stages, at = books.air, books.engine, row - 1
    clear_stages(books.engine)
    sent_ns, select_ns = air[at, col.AIR_SENT], air[at, col.AIR_SELECT]
    compute_ns = air[at, col.AIR_COMPUTE]
    stages[QUEUED] = books.wide[device, col.WAITED]
    stages[UPLINK] = air[at, col.AIR_UPLINK]
    stages[QUEUE] = sent_ns - air[at, col.AIR_READY] - compute_ns - select_ns
    stages[COMPUTE] = compute_ns
    stages[SELECT] = select_ns
    stages[DOWNLINK] = air[at, col.AIR_ARRIVAL] - sent_ns


def go_on(books: Books, device: int, now_ns: int) -> None:
    """Turn to the next position."""
    narrow, wide = books.narrow, books.wide
    narrow[device, col.POSITION] += 1
    narrow[device, col.ROUND] = 0
    narrow[device, col.RECEIVED] = 0
    narrow[device, col.REPEATS] = 0
    wide[device, col.WAITED] = 0
    wide[device, col.FORWARD_BEGAN] = now_ns


def choose_steered(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Choose from the logits that came, or ask for more of them; see ``exchanges.use_logits``."""
    narrow, wide, stages = books.narrow, books.wide, books.engine
    kind, position = int(narrow[device, col.KIND]), int(narrow[device, col.POSITION])
    row, round_ = int(narrow[device, col.CHOOSING]), int(narrow[device, col.ROUND])
    outcome = outcome_of(fleet, books, device, position)
    rounds = rounds_of(fleet, outcome)
    number = session_number(fleet, books, device)
    decode_ns = fleet.kind[kind, col.DECODE_NS + round_]
    steer_ns = steered_ns(fleet, kind, round_)
    tell_work(fleet, books, device, now_ns, _LOGITS_NS, decode_ns + steer_ns)
    if round_ == 0:
        lay_stages(books, device, row)
        if PAUSING and fleet.pauses:
            stages[DOWNLINK] -= wide[device, col.STEERED]
        wait_ns = now_ns - steer_ns - books.air[row - 1, col.AIR_ARRIVAL] - decode_ns
        lay_steering(fleet, books, device, decode_ns, wait_ns, steer_ns, now_ns, rounds)
        if rounds:
            narrow[device, col.HOLDS] = 1
    give_row(books.engine, books.air, row)
    narrow[device, col.CHOOSING] = 0
    if round_ < rounds:
        narrow[device, col.ROUND] += 1
        narrow[device, col.RECEIVED] = 0
        size = frame_bytes(number, position, round_ + 1, 0, fleet.up_bucket)
        ask(fleet, books, device, now_ns, LANE_CHOICE, MORE, position, round_ + 1, size, 0)
        wait_for(fleet, books, device, now_ns)
        return
    if rounds:
        end_refinement(fleet, books, device, now_ns)
        narrow[device, col.HOLDS] = 0
    ran_ns = wide[device, col.FORWARD_DONE] - wide[device, col.FORWARD_BEGAN]
    if PAUSING and fleet.pauses:
        wide[device, col.STEERED] = 0
        ran_ns = stand(fleet, books, device, 0)
    tell(fleet, books, device, outcome, now_ns, max(0, ran_ns - stages[WAIT]), rounds)
    if position + 1 == length_of(fleet, books, device):
        close(fleet, books, device, now_ns, LANE_CHOICE, round_)
        end_request(fleet, books, device, now_ns, LANE_CHOICE, position + 1, ENDED, 0)
        return
    body_bytes = number_bytes(int(fleet.outcome[outcome, col.OUTCOME_TOKEN]))
    size = frame_bytes(number, position, round_, body_bytes, fleet.up_bucket)
    ask(fleet, books, device, now_ns, LANE_CHOICE, TOKEN, position, round_, size, 0)
    go_on(books, device, now_ns)
    wait_for(fleet, books, device, now_ns)
    if PAUSING and fleet.pauses:
        read_one(fleet, books, device, now_ns)
        return
    extend_by_one(fleet, books, device, position, now_ns)


def stand(fleet: Fleet, books: Books, device: int, own: int) -> int:
    """Note whether the token that a device has now is the cloud's own; return what ran for it."""
    gates, position = books.gates, int(books.narrow[device, col.POSITION])
    gates[device, col.OWN_TOKEN] = own
    write_own(fleet, books, device, position)
    ran_ns = gates[device, col.WORKED_NS]
    gates[device, col.WORKED_NS] = 0
    return ran_ns


def accept(fleet: Fleet, books: Books, device: int, row: int, now_ns: int) -> None:
    """Take a token that the cloud has chosen; see ``exchanges`` and ``pausing``."""
    narrow, wide, stages = books.narrow, books.wide, books.engine
    position = int(narrow[device, col.POSITION])
    outcome = outcome_of(fleet, books, device, position)
    lay_stages(books, device, row)
    transit_ns = stages[DOWNLINK]
    stages[DOWNLINK] = transit_ns - wide[device, col.STEERED]
    wide[device, col.STEERED] = transit_ns
    busy_ns = 0
    if PAUSING and fleet.pauses:
        read_until(fleet, books, device, now_ns)
        busy_ns = stand(fleet, books, device, 1)
    tell(fleet, books, device, outcome, now_ns, busy_ns, 0)
    if position + 1 == length_of(fleet, books, device):
        end_request(fleet, books, device, now_ns, LANE_DOWN, position + 1, ENDED, 0)
        return
    go_on(books, device, now_ns)
    wait_for(fleet, books, device, now_ns)
    if PAUSING and fleet.pauses:
        read_one(fleet, books, device, now_ns)


# --------------------------------------------------------------------------- a silent cloud


def look_at_clock(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Ask again if an answer is overdue, and in the end go on alone or give up."""
    narrow, wide = books.narrow, books.wide
    if not is_over(books, device, now_ns):
        return
    if wait_again(fleet, books, device, now_ns):
        ask_again(fleet, books, device, now_ns, LANE_ANSWER)
        if DRAFTING and fleet.window:
            refine_again(fleet, books, device, now_ns)
        set_timer(books, device)
        return
    close(fleet, books, device, now_ns, LANE_ANSWER, 0)
    if fleet.trouble.branch < 0:
        waited_ns = now_ns - wide[device, col.AWAITED]
        position = int(narrow[device, col.POSITION])
        end_request(fleet, books, device, now_ns, LANE_ANSWER, position, STALLED, waited_ns)
        return
    drop_work(fleet, books, device)
    narrow[device, col.SOLO] = 1
    wide[device, col.GAVE_UP] = now_ns
    if DRAFTING and fleet.window and works(fleet, books, device):
        return  # what its small model is at ends before
    decide_alone(fleet, books, device, ready_alone(fleet, books, device, now_ns))


def hear_text(
    fleet: Fleet, books: Books, lane: int, device: int, session: int, now_ns: int
) -> None:
    """Take what a device that drafts has finished, unless its session is over."""
    narrow = books.narrow
    if narrow[device, col.ASKING] == 0 or session != narrow[device, col.SESSION]:
        return
    if narrow[device, col.SOLO]:
        decide_alone(fleet, books, device, ready_alone(fleet, books, device, now_ns))
        return
    hear_own(fleet, books, lane, device, session, now_ns)
    watch_text(fleet, books, device, now_ns)


def decide_alone(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Begin to choose, now that the small model's logits are there."""
    books.wide[device, col.DECIDED] = now_ns
    kind = int(books.narrow[device, col.KIND])
    choose_at(books, device, now_ns + fleet.kind[kind, col.CHOOSE_NS])


def choose_alone(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Choose from the small model's own logits, and go on to the next token."""
    narrow, wide, stages = books.narrow, books.wide, books.engine
    position, kind = int(narrow[device, col.POSITION]), int(narrow[device, col.KIND])
    since_ns = wide[device, col.SINCE if position else col.ARRIVAL]
    begun_ns = since_ns + wide[device, col.WAITED]
    gave_up_ns, decided_ns = wide[device, col.GAVE_UP], wide[device, col.DECIDED]
    clear_stages(books.engine)
    stages[QUEUED] = wide[device, col.WAITED]
    stages[QUEUE] = max(0, gave_up_ns - begun_ns)
    stages[WAIT] = decided_ns - max(begun_ns, gave_up_ns)
    stages[STEER] = now_ns - decided_ns
    outcome = outcome_of(fleet, books, device, position)
    said = draft_of(fleet, books, device, position)
    wrong = said != fleet.outcome[outcome, col.OUTCOME_TOKEN]
    if counts(fleet.ends, wide[device, col.ARRIVAL], now_ns):
        books.by_class[kind, _ALONE] += 1
        books.by_class[kind, _ALONE + 1] += int(narrow[device, col.SOLO] == 1)
    narrow[device, col.SOLO] = 2
    if PAUSING and fleet.pauses:
        write_own(fleet, books, device, position)
    if DRAFTING and fleet.window:
        tell_drafts(fleet, books, device, position, now_ns, 0, 0, 0)
    rows = (len(fleet.outcome) - 1) // 3
    tell(fleet, books, device, outcome + rows * (1 + int(wrong)), now_ns, 0, 0)
    prompt = fleet.template[template_of(fleet, books, device), col.PROMPT]
    limit = fleet.template[template_of(fleet, books, device), col.NEEDS] - prompt
    if ends_text(fleet.end_tokens, said) or position + 1 == limit:
        end_request(fleet, books, device, now_ns, LANE_CHOICE, position + 1, ENDED, 0)
        return
    go_on(books, device, now_ns)
    took_ns = run_alone(fleet, books, device, now_ns, 1, position)
    decide_alone(fleet, books, device, now_ns + took_ns)
