"""A device of a compiled cell that drafts: from one event to the next.

Other devices' exchanges are worked out at once; here the small model, the decisions and several
frames are under way side by side, so each end is an event, as in the ``virtual`` way. What follows
from it is said by ``costeer.device_text``; the order is that of ``costeer.drafting``.
"""

from __future__ import annotations

from collections.abc import MutableSequence

from actors.fleet import columns as col
from actors.fleet import texts
from actors.fleet.array_types import Table
from actors.fleet.devices import choose, finish, speak
from actors.fleet.events import push
from actors.fleet.forwards import extend_by_one, tell_work
from actors.fleet.layout import (
    CALM,
    CLOSE,
    DRAFT,
    ENDED,
    LANE_CHOICE,
    LANE_DECODE,
    LANE_DOWN,
    LANE_DRAFT,
    LANE_FORWARD,
    LANE_UP,
    NEVER,
    OWN,
    REFINE,
    STAGE,
    TROUBLED,
    VERIFYING,
    Books,
    Fleet,
)
from actors.fleet.links import send_up
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sessions import length_of, outcome_of, session_number
from actors.fleet.stages import QUEUED, clear_stages, cut_stages
from actors.fleet.tally import tell_drafts
from actors.fleet.texts import begin_of, draft_of, ends_text, pace_of, put, states_of, take
from actors.fleet.trouble.asking import ask, close, end_request
from actors.fleet.trouble.frames import say_up
from actors.fleet.trouble.telling import tell as tell_here
from actors.plan import REQUEST_BITS
from costeer import device_text as text
from costeer.device_text import (
    accept,
    end_decode,
    end_draft,
    end_exchange,
    end_run,
    end_steer,
    is_decided,
    keep,
    lay_stages,
    next_look,
    next_work,
    refuted_told,
    slot_of,
    tell,
    trace,
    verdict,
)
from costeer.messages import frame_bytes
from costeer.pacing import DRAFTED, EXCHANGED, PIPELINED, judge, learnt, remember
from costeer.pacing import SIZE as PACE
from costeer.token_record import STAGES
from costeer.varint import number_bytes

_LOGITS_NS = CLASS_FIGURES.index("edge_logits_ns")
_STAGES = len(STAGES)


def hear_own(fleet: Fleet, books: Books, lane: int, device: int, session: int, now_ns: int) -> None:
    """Take what came to a device, or what it has finished, unless its session is over."""
    if lane == LANE_DOWN:
        works, decides = False, hear_down(fleet, books, device, session, now_ns)
    elif session != books.narrow[device, col.SESSION]:
        return
    elif lane == LANE_CHOICE:
        works = decides = not take_choice(fleet, books, device, now_ns)
    else:
        end_work(fleet, books, lane, device)
        works, decides = lane != LANE_DECODE, lane != LANE_DRAFT
    if works:
        work(fleet, books, device, now_ns)
        tell_cloud(fleet, books, device, now_ns)
    if decides:
        decide(fleet, books, device, now_ns)


def end_work(fleet: Fleet, books: Books, lane: int, device: int) -> None:
    """Take note of a run of the small model, a draft, or what was decoded."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    if lane == LANE_FORWARD:
        if fleet.learns and state[text.KNOWN] >= 0:  # the first run is the prompt's
            pace = pace_of(fleet.window, device)
            remember(books.texts[pace : pace + PACE], DRAFTED, state[text.WORK_NS])
        end_run(state, state[text.WORK_NS])
    elif lane == LANE_DRAFT:
        token = draft_of(fleet, books, device, state[text.READ])
        end_draft(state, token, int(ends_text(fleet.end_tokens, token)))
    else:
        at = slot_of(state, state[text.DECIDING])
        kind = int(books.narrow[device, col.KIND])
        end_decode(state, fleet.kind[kind, col.DECODE_NS + state[at + text.ROUND]])


def hear_down(fleet: Fleet, books: Books, device: int, session: int, now_ns: int) -> bool:
    """Take a ROWS frame, or a refusal; return whether there may be something to decide."""
    row = take(books.texts, books.under_way, begin_of(fleet.window, device) + texts.DOWN_HEAD)
    if session != books.narrow[device, col.SESSION]:
        return False
    if books.under_way[row, texts.COUNT] == 0:
        finish(fleet, books, device, now_ns, LANE_UP, 0)
        return False
    first, end, _ = states_of(fleet.window, device)
    state, pace = books.texts[first:end], pace_of(fleet.window, device)
    seen = books.texts[pace : pace + PACE]
    return keep_rows(state, seen, books.under_way, row, now_ns)


def keep_rows(
    state: MutableSequence[int], seen: MutableSequence[int], frames: Table, row: int, now_ns: int
) -> bool:
    """Keep the rows of a ROWS frame; return whether they are of the text as it is."""
    version, round_ = frames[row, texts.VERSION], frames[row, texts.ROUND]
    if version < state[text.BRANCH]:
        return False
    at = frames[row, texts.AT]
    for position in range(at, at + frames[row, texts.COUNT]):
        if keep(state, position, round_, version, now_ns) == text.FRESH:
            trace(
                state,
                position,
                frames[row, texts.UPLINK_NS],
                frames[row, texts.QUEUE_NS],
                frames[row, texts.COMPUTE_NS],
                frames[row, texts.SELECT_NS],
                now_ns - frames[row, texts.SENT_NS],
            )
            if end_exchange(state, version):
                what = PIPELINED if state[text.ASKED_BEHIND] else EXCHANGED
                remember(seen, what, now_ns - state[text.ASKED_NS])
    return True


# --------------------------------------------------------------------------- its own work


def own_event(books: Books, device: int, lane: int, at_ns: int) -> None:
    """Have something end at the device."""
    session = int(books.narrow[device, col.SESSION])
    push(books.engine, books.heap, at_ns, lane, device, 0, OWN << REQUEST_BITS | session)


def work(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Run the text's next token, or propose one, unless the small model is busy."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    what = next_work(state)
    if what == text.RUN:
        extend_by_one(fleet, books, device, state[text.READ] - 1, now_ns)
        ends_ns = books.wide[device, col.FORWARD_DONE]
        state[text.WORK_NS] = ends_ns - now_ns
        own_event(books, device, LANE_FORWARD, ends_ns)
    elif what == text.DRAFT:
        took_ns = fleet.kind[int(books.narrow[device, col.KIND]), col.CHOOSE_NS]
        tell_work(fleet, books, device, now_ns, _LOGITS_NS, took_ns)
        own_event(books, device, LANE_DRAFT, now_ns + took_ns)


def decide(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Decode or steer the first position that can be, unless one is being so already."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    look = next_look(state, now_ns)
    # What the cloud has chosen itself is neither decoded nor steered, and takes no time.
    while fleet.role == VERIFYING and look != text.NOTHING:
        if look == text.DECODE:
            end_decode(state, 0)
        elif take_choice(fleet, books, device, now_ns):
            return
        else:
            work(fleet, books, device, now_ns)
            tell_cloud(fleet, books, device, now_ns)
        look = next_look(state, now_ns)
    if look == text.NOTHING:
        return
    kind = int(books.narrow[device, col.KIND])
    took_ns, lane = fleet.kind[kind, col.STEER_NS], LANE_CHOICE
    if look == text.DECODE:
        at = slot_of(state, state[text.DECIDING])
        took_ns, lane = fleet.kind[kind, col.DECODE_NS + state[at + text.ROUND]], LANE_DECODE
    tell_work(fleet, books, device, now_ns, _LOGITS_NS, took_ns)
    own_event(books, device, lane, now_ns + took_ns)


def take_choice(fleet: Fleet, books: Books, device: int, now_ns: int) -> bool:
    """Take a steered choice: ask for more, accept what stands; return whether the request ended."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    position = state[text.DECIDING]
    at = slot_of(state, position)
    outcome = outcome_of(fleet, books, device, position)
    payloads = fleet.outcome[outcome + 1, col.FIRST_PAYLOAD]
    payloads -= fleet.outcome[outcome, col.FIRST_PAYLOAD]
    stands = int(state[at + text.ROUND] + 1 >= payloads)
    end_steer(state, fleet.outcome[outcome, col.OUTCOME_TOKEN], stands, now_ns)
    if stands == 0:
        refine(fleet, books, device, position, now_ns)
    while is_decided(state):
        if accept_oldest(fleet, books, device, now_ns):
            return True
    if fleet.learns:
        pace = pace_of(fleet.window, device)
        state[text.DRAFTS], state[text.AHEAD] = learnt(books.texts[pace : pace + PACE])
    return False


def accept_oldest(fleet: Fleet, books: Books, device: int, now_ns: int) -> bool:
    """Accept the choice of the oldest position; return whether that ends the request."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    wide, position = books.wide, state[text.POSITION]
    said = verdict(state)
    told = refuted_told(state)
    refuted = unsent = 0
    if said == text.WRONG:
        refuted, unsent = told, state[text.LENGTH] - position - told
    since_ns = wide[device, col.SINCE]
    clear_stages(books.engine)
    if position == 0:
        books.engine[QUEUED] = since_ns - wide[device, col.ARRIVAL]
        since_ns = wide[device, col.ARRIVAL]
    lay_stages(state, now_ns, books.engine[STAGE : STAGE + _STAGES])
    if fleet.learns and said != text.UNDRAFTED:
        pace = pace_of(fleet.window, device)
        judge(books.texts[pace : pace + PACE], int(said == text.RIGHT))
    rounds = state[slot_of(state, position) + text.ROUND]
    right = int(said == text.RIGHT and told > 0)
    tell_drafts(fleet, books, device, position, now_ns, right, refuted, unsent)
    last = position + 1 == length_of(fleet, books, device)
    if TROUBLED:
        outcome = outcome_of(fleet, books, device, position)
        tell_here(fleet, books, device, outcome, now_ns, state[text.BUSY_NS], rounds)
        if last:
            close(fleet, books, device, now_ns, LANE_UP, 0)
            end_request(fleet, books, device, now_ns, LANE_UP, position + 1, ENDED, 0)
            return True
        books.narrow[device, col.POSITION] = position + 1
        books.narrow[device, col.REPEATS] = 0
        wide[device, col.WAITED] = 0
    if CALM:
        cut_stages(books.engine, now_ns - since_ns)
        choose(fleet, books, device, position, now_ns, state[text.BUSY_NS], rounds)
        if last:
            send_frame(fleet, books, device, CLOSE, position, 0, 0, now_ns)
            finish(fleet, books, device, now_ns, LANE_UP, position + 1)
            return True
    accept(state)
    return False


# --------------------------------------------------------------------------- frames


def tell_cloud(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Send what the cloud does not know of the text, if it is time to."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    agreed = state[text.TOLD]
    count = tell(state, books.wide[device, col.SINCE], now_ns)
    if count == 0:
        return
    newest, version = state[text.POSITION] - 1, state[text.VERSION]
    body_bytes = 0
    for position in range(newest, newest + count):
        body_bytes += number_bytes(state[slot_of(state, position) + text.TOKEN])
    if TROUBLED:
        number = session_number(fleet, books, device)
        size = frame_bytes(number, newest, version, body_bytes, fleet.up_bucket)
        length = state[text.LENGTH]
        ask(fleet, books, device, now_ns, LANE_UP, DRAFT, newest, version, size, length)
    if CALM:
        send_frame(fleet, books, device, DRAFT, newest, version, body_bytes, now_ns)
        row = put(books.texts, books.under_way, begin_of(fleet.window, device) + texts.UP_HEAD)
        books.under_way[row, texts.AT] = newest
        books.under_way[row, texts.VERSION] = version
        books.under_way[row, texts.COUNT] = state[text.LENGTH]
        books.under_way[row, texts.AGREED] = agreed
        books.under_way[row, texts.SENT_NS] = now_ns


def refine(fleet: Fleet, books: Books, device: int, position: int, now_ns: int) -> None:
    """Ask for the next ranks of a position."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    at = slot_of(state, position)
    version, round_ = state[at + text.OF_VERSION], state[at + text.ROUND]
    body_bytes = number_bytes(version)
    if TROUBLED:
        number = session_number(fleet, books, device)
        size = frame_bytes(number, position, round_, body_bytes, fleet.up_bucket)
        say_up(fleet, books, device, now_ns, LANE_UP, REFINE, position, round_, size, 0, version)
    if CALM:
        send_frame(fleet, books, device, REFINE, position, round_, body_bytes, now_ns)
        row = put(books.texts, books.under_way, begin_of(fleet.window, device) + texts.UP_HEAD)
        books.under_way[row, texts.AT] = position
        books.under_way[row, texts.ROUND] = round_
        books.under_way[row, texts.VERSION] = version
        books.under_way[row, texts.SENT_NS] = now_ns


def send_frame(
    fleet: Fleet,
    books: Books,
    device: int,
    what: int,
    position: int,
    round_: int,
    body_bytes: int,
    now_ns: int,
) -> None:
    """Send a frame up."""
    number = session_number(fleet, books, device)
    size = frame_bytes(number, position, round_, body_bytes, fleet.up_bucket)
    arrival_ns = send_up(fleet, books, device, now_ns, size)
    speak(fleet, books, device, now_ns, arrival_ns, LANE_UP, what, NEVER)
