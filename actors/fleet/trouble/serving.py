"""The cloud of a compiled cell in which something may fail: what it hears, answers and drops.

The rules are those of ``costeer.cloud`` and ``costeer.population``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.admission import let_open
from actors.fleet.air import give_row
from actors.fleet.columns import UP
from actors.fleet.events import push
from actors.fleet.eviction import ask_more, extend_text
from actors.fleet.gates import open_gate, pass_gate
from actors.fleet.guessing import forget_guesses, judge
from actors.fleet.layout import (
    CLOSE,
    CLOUD,
    DRAFTING,
    GUESSING,
    LANE_IDLE,
    LOGITS,
    MORE,
    NEVER,
    OPEN,
    OWN,
    PAUSING,
    REFINE,
    REFUSAL,
    REPLICA,
    SEVERAL,
    SINGLE,
    STREAM,
    STREAMED,
    TIMED_OUT,
    Books,
    Fleet,
)
from actors.fleet.names import CLOUD_FIGURES
from actors.fleet.replicas.banks import is_heard, session_at
from actors.fleet.sessions import length_of, outcome_of, payload_of, session_number
from actors.fleet.texts import TEXT, begin_of, draft_of, states_of
from actors.fleet.trouble.frames import say_down, take
from actors.fleet.trouble.slots import (
    find_slot,
    give_slot,
    is_away,
    key_of,
    last_opened,
    note_opened,
    release,
    take_slot,
    unchain,
)
from actors.fleet.trouble.stalls import gate_ns
from actors.fleet.verifying import end_rows, lay_text, queue, take_draft
from actors.plan import REQUEST_BITS
from costeer import served_text as served
from costeer.messages import frame_bytes
from costeer.served_text import ask, wants
from costeer.varint import number_bytes

_DROPPED, _TIMED_OUT = (
    CLOUD + CLOUD_FIGURES.index(name) for name in ("dropped_frames", "timed_out_sessions")
)


def hear_frame(fleet: Fleet, books: Books, device: int, number: int, now_ns: int) -> None:
    """Take a device's frame; what is repeated, late or of what is over is dropped."""
    air, narrow = books.air, books.narrow
    row = take(air, narrow, device, UP, number)
    if SEVERAL and not is_heard(books, row):
        give_row(books.engine, air, row)
        return
    session, epoch = int(air[row - 1, col.AIR_SESSION]), int(air[row - 1, col.AIR_EPOCH])
    what, key = air[row - 1, col.AIR_WHAT], key_of(session, epoch)
    slot = find_slot(narrow, device, session, epoch)
    fresh = True
    if what == OPEN:
        fresh = key > last_opened(fleet, books, device, session)
        if fresh:
            note_opened(fleet, books, device, session, key)
            open_session(fleet, books, device, row, now_ns)
    elif what == CLOSE:
        if slot >= 0:
            release(fleet, books, slot)
        else:
            fresh = key > last_opened(fleet, books, device, session)
            if fresh:
                note_opened(fleet, books, device, session, key)
    elif DRAFTING and fleet.window:
        fresh = slot >= 0 and hear_text(fleet, books, slot, row, now_ns)
    else:
        fresh = slot >= 0 and hear_answer(fleet, books, slot, row, now_ns)
    if not fresh:
        books.engine[_DROPPED] += 1
    give_row(books.engine, air, row)


def open_session(fleet: Fleet, books: Books, device: int, row: int, now_ns: int) -> None:
    """Let a session in, have it wait for memory, or refuse it."""
    air, narrow, wide = books.air, books.narrow, books.wide
    session, epoch = int(air[row - 1, col.AIR_SESSION]), int(air[row - 1, col.AIR_EPOCH])
    slot = take_slot(books, device, session, epoch)
    if GUESSING and fleet.guesses:
        forget_guesses(books, slot)
    if PAUSING and fleet.pauses:
        open_gate(books, slot)
    if DRAFTING and fleet.window:
        uplink_ns = air[row - 1, col.AIR_ARRIVAL] - air[row - 1, col.AIR_SENT]
        lay_text(fleet, books, slot, session, uplink_ns)
    narrow[slot, col.POSITION] = air[row - 1, col.AIR_POSITION]
    if SEVERAL:
        narrow[slot, col.AGAIN] = 0
        if PAUSING and fleet.pauses:
            narrow[slot, col.AGAIN] = narrow[slot, col.POSITION]
            narrow[slot, col.POSITION] = 0
    begin_wait(books, slot, row)
    wide[slot, col.SEEN] = now_ns
    if not let_open(fleet, books, slot):
        narrow[slot, col.POSITION] = 0
        size = frame_bytes(session_number(fleet, books, slot), 0, 0, fleet.refusal_bytes, 1)
        say_down(fleet, books, slot, now_ns, REFUSAL, size, 0, 0)
        unchain(narrow, slot)
        give_slot(books.trouble, narrow, slot)
        return
    if SEVERAL:
        watch_session(fleet, books, slot, now_ns + fleet.idle_timeout_ns)
    if SINGLE and wide[device, col.IDLE_AT] == NEVER:
        watch(fleet, books, device, now_ns + fleet.idle_timeout_ns)


def begin_wait(books: Books, slot: int, row: int) -> None:
    """Note what a session is served for from now on."""
    air, wide = books.air, books.wide
    wide[slot, col.READY] = air[row - 1, col.AIR_ARRIVAL]
    wide[slot, col.COMPUTE] = 0
    wide[slot, col.UPLINK_NS] = air[row - 1, col.AIR_ARRIVAL] - air[row - 1, col.AIR_SENT]


def hear_answer(fleet: Fleet, books: Books, slot: int, row: int, now_ns: int) -> bool:
    """Take TOKEN or MORE of a session; return whether it is what comes next."""
    air, narrow = books.air, books.narrow
    more = air[row - 1, col.AIR_WHAT] == MORE
    books.wide[slot, col.SEEN] = now_ns
    if (
        not is_away(narrow, slot)
        or air[row - 1, col.AIR_POSITION] != narrow[slot, col.POSITION]
        or air[row - 1, col.AIR_ROUND] != narrow[slot, col.ROUND] + int(more)
    ):
        return False
    narrow[slot, col.AWAY] = 0
    if more:
        narrow[slot, col.ROUND] += 1
        ask_more(fleet, books, slot)
    else:
        begin_wait(books, slot, row)
        go_on(fleet, books, slot)
    return True


def hear_text(fleet: Fleet, books: Books, slot: int, row: int, now_ns: int) -> bool:
    """Take DRAFT or REFINE of a session; return whether it is news."""
    air, at = books.air, row - 1
    _, first, end = states_of(fleet.window, slot)
    state = books.texts[first:end]
    position, round_ = air[at, col.AIR_POSITION], air[at, col.AIR_ROUND]
    books.wide[slot, col.SEEN] = now_ns
    if air[at, col.AIR_WHAT] == REFINE:
        if not wants(state, position, round_, air[at, col.AIR_VERSION]):
            return False
        ask(state, position)
    else:
        if round_ <= state[served.VERSION]:
            return False
        length, arrived_ns = air[at, col.AIR_COUNT], air[at, col.AIR_ARRIVAL]
        agreed = agreed_to(fleet, books, slot, position, length)
        uplink_ns = arrived_ns - air[at, col.AIR_SENT]
        take_draft(fleet, books, slot, position, round_, length, agreed, uplink_ns, arrived_ns)
        books.narrow[slot, col.POSITION] = position + 1
    queue(fleet, books, slot)
    return True


def agreed_to(fleet: Fleet, books: Books, slot: int, position: int, length: int) -> int:
    """Return up to where a session's text is that of a DRAFT; those before it may be lost.

    What is behind the newest chosen token of a text are the drafts of these positions.
    """
    _, first, end = states_of(fleet.window, slot)
    held = books.texts[begin_of(fleet.window, slot) + TEXT]
    if held <= position:
        return position
    if position >= books.texts[first:end][served.OLDEST]:
        token = fleet.outcome[outcome_of(fleet, books, slot, position), col.OUTCOME_TOKEN]
        if draft_of(fleet, books, slot, position) != token:
            return position
    return min(held, length)


def go_on(fleet: Fleet, books: Books, slot: int) -> None:
    """Give a session its next token."""
    books.narrow[slot, col.POSITION] += 1
    books.narrow[slot, col.ROUND] = 0
    extend_text(fleet, books, slot)


def answer_session(fleet: Fleet, books: Books, slot: int, now_ns: int, select_ns: int) -> None:
    """Send a session's device what was selected or chosen for it."""
    narrow, wide = books.narrow, books.wide
    wide[slot, col.SEEN] = now_ns
    narrow[slot, col.AWAY] = 1
    if DRAFTING and fleet.window:
        end_rows(fleet, books, slot, now_ns, select_ns)
        return
    position, round_ = int(narrow[slot, col.POSITION]), int(narrow[slot, col.ROUND])
    outcome = outcome_of(fleet, books, slot, position)
    number = session_number(fleet, books, slot)
    own = fleet.role == STREAMED
    if PAUSING and fleet.pauses:
        own = round_ == 0 and pass_gate(fleet, books, slot, position)
        if SEVERAL and position < narrow[slot, col.AGAIN]:
            narrow[slot, col.AWAY] = 0
            go_on(fleet, books, slot)
            return
    if not own:
        payload_bytes = payload_of(fleet, outcome, round_)
        size = frame_bytes(number, position, round_, payload_bytes, fleet.down_bucket)
        say_down(fleet, books, slot, now_ns, LOGITS, size, payload_bytes, select_ns)
        return
    more = judge(fleet, books, slot) if GUESSING and fleet.guesses else 0
    while True:
        token = int(fleet.outcome[outcome, col.OUTCOME_TOKEN])
        size = frame_bytes(number, position, 0, number_bytes(token), 1)
        say_down(fleet, books, slot, now_ns, STREAM, size, 0, select_ns)
        if position + 1 == length_of(fleet, books, slot):
            release(fleet, books, slot)
            return
        if more == 0:
            break
        more -= 1
        position += 1
        outcome += 1
        narrow[slot, col.POSITION] = position
    narrow[slot, col.AWAY] = 0
    wide[slot, col.READY] = now_ns
    wide[slot, col.COMPUTE] = 0
    wide[slot, col.UPLINK_NS] = 0
    go_on(fleet, books, slot)


def watch(fleet: Fleet, books: Books, device: int, due_ns: int) -> None:
    """Look at a device's sessions at an instant, or when the cloud goes on after that."""
    at_ns = gate_ns(fleet.trouble.stalls, 0, due_ns)
    books.wide[device, col.IDLE_AT] = at_ns
    push(books.engine, books.heap, at_ns, LANE_IDLE, device, 0, OWN << REQUEST_BITS)


def look_after(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Drop the sessions whose device was silent too long, and look again when another may be."""
    narrow, wide, timeout_ns = books.narrow, books.wide, fleet.idle_timeout_ns
    wide[device, col.IDLE_AT] = NEVER
    next_ns, row = NEVER, int(narrow[device, col.SESSIONS])
    while row:
        slot = row - 1
        row = int(narrow[slot, col.SESSIONS])
        since_ns = wide[slot, col.SEEN] if is_away(narrow, slot) else now_ns
        if now_ns - since_ns >= timeout_ns:
            drop(fleet, books, slot, now_ns)
        else:
            next_ns = min(next_ns, since_ns + timeout_ns)
    if next_ns < NEVER:
        watch(fleet, books, device, next_ns)


def watch_session(fleet: Fleet, books: Books, slot: int, due_ns: int) -> None:
    """Look at a session at an instant, or when its replica goes on after that."""
    narrow, replica = books.narrow, books.engine[REPLICA]
    at_ns = gate_ns(fleet.trouble.stalls, replica, due_ns)
    books.wide[slot, col.IDLE_AT] = at_ns
    device, named = (
        int(narrow[slot, col.OWNER]),
        session_at(int(narrow[slot, col.SESSION]), replica),
    )
    push(books.engine, books.heap, at_ns, LANE_IDLE, device, named, OWN << REQUEST_BITS)


def look_at_session(fleet: Fleet, books: Books, device: int, named: int, now_ns: int) -> None:
    """Drop a session whose device was silent too long, or look again when it may be."""
    narrow, wide, timeout_ns = books.narrow, books.wide, fleet.idle_timeout_ns
    row = int(narrow[device, col.SESSIONS])
    while row and (
        wide[row - 1, col.IDLE_AT] != now_ns
        or session_at(int(narrow[row - 1, col.SESSION]), int(narrow[row - 1, col.SERVED])) != named
    ):
        row = int(narrow[row - 1, col.SESSIONS])
    if row == 0:
        return  # over
    slot = row - 1
    since_ns = wide[slot, col.SEEN] if is_away(narrow, slot) else now_ns
    if now_ns - since_ns >= timeout_ns:
        drop(fleet, books, slot, now_ns)
    else:
        watch_session(fleet, books, slot, since_ns + timeout_ns)


def drop(fleet: Fleet, books: Books, slot: int, now_ns: int) -> None:
    """End a session and tell its device why."""
    narrow = books.narrow
    books.engine[_TIMED_OUT] += 1
    number = session_number(fleet, books, slot)
    position, round_ = int(narrow[slot, col.POSITION]), int(narrow[slot, col.ROUND])
    size = frame_bytes(number, position, round_, fleet.silence_bytes, 1)
    say_down(fleet, books, slot, now_ns, TIMED_OUT, size, 0, 0)
    release(fleet, books, slot)
