"""A device of a compiled cell in which something may fail: from a request to its end.

What it has under way is told from what it had by ``TURN``, which grows with every end. The rules
are those of ``costeer.endpoint`` and ``actors.virtual``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.air import give_row
from actors.fleet.devices import work_alone
from actors.fleet.events import MOST_FRAMES, push
from actors.fleet.forwards import extend, tell_work
from actors.fleet.gates import begin_gate
from actors.fleet.layout import (
    ALONE,
    CLOSE,
    DRAFTING,
    ENDED,
    FINISHED,
    HELD_FREE,
    HELD_HEAD,
    LANE_CHOICE,
    LANE_REQUEST,
    LAST_END,
    LEFT,
    LOCAL,
    OPEN,
    OVERLAPPING,
    OWN,
    PAUSING,
    REQUESTS_OUT,
    SEVERAL,
    SINGLE,
    STALLED,
    Books,
    Fleet,
)
from actors.fleet.links import lay_link
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.replicas.homes import finds_home, leave_home
from actors.fleet.sampled import write_request
from actors.fleet.sessions import session_number, sessions_begin, template_of
from actors.fleet.stages import held_at
from actors.fleet.tally import counts, tell_arrival, tell_end
from actors.fleet.texts import begin_text
from actors.fleet.trouble.frames import say_up
from actors.fleet.trouble.waiting import wait_for, wait_no_more
from actors.plan import REQUEST_BITS
from costeer.messages import frame_bytes

_STALLED, _LEFT, _FORWARD_NS = (
    CLASS_FIGURES.index(name) for name in ("stalled", "left", "edge_forward_ns")
)


def begin_here(fleet: Fleet, books: Books, device: int) -> None:
    """Give a device its link, and its first request when that is due."""
    lay_link(fleet, books, device)
    ask_next(fleet, books, device, 0, LANE_REQUEST)


def due_of(fleet: Fleet, session: int) -> int:
    """Return when, or after what pause, a session comes."""
    return fleet.due_ns[session if len(fleet.due_ns) > 1 else 0]


def ask_next(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> None:
    """Begin a device's next request when it is due, if it has one; see ``devices.open_next``."""
    narrow, wide = books.narrow, books.wide
    request = int(narrow[device, col.SESSION]) + 1
    narrow[device, col.SESSION] = request
    session = sessions_begin(fleet, device) + request
    if session == sessions_begin(fleet, device + 1):
        return
    due_ns = due_of(fleet, session)
    intended_ns = due_ns if fleet.opened else now_ns + due_ns
    wide[device, col.ARRIVAL] = intended_ns
    begun_ns = max(now_ns, intended_ns)
    if begun_ns == now_ns and lane != LANE_REQUEST:
        start(fleet, books, device, now_ns, lane)
    else:
        what = OWN << REQUEST_BITS
        push(books.engine, books.heap, begun_ns, LANE_REQUEST, device, 0, what)


def start(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> None:
    """Begin the request that is due."""
    narrow, wide = books.narrow, books.wide
    tell_arrival(fleet, books, device, wide[device, col.ARRIVAL])
    for figure in (col.POSITION, col.ROUND, col.SOLO, col.REPEATS, col.RECEIVED):
        narrow[device, figure] = 0
    if SINGLE:
        narrow[device, col.EPOCH] = 0
    narrow[device, col.ASKING] = 1
    if SEVERAL and not finds_home(books, device):
        return
    begin_session(fleet, books, device, now_ns, lane)


def begin_session(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> None:
    """Open the session of a request that has begun."""
    narrow, wide = books.narrow, books.wide
    wide[device, col.STEERED] = 0
    wide[device, col.SINCE] = now_ns
    wide[device, col.WAITED] = now_ns - wide[device, col.ARRIVAL]
    wide[device, col.FORWARD_BEGAN] = now_ns
    if fleet.role != LOCAL:
        body_bytes = int(fleet.template[template_of(fleet, books, device), col.OPEN_BYTES])
        number = session_number(fleet, books, device)
        size = frame_bytes(number, 0, 0, body_bytes, fleet.up_bucket)
        ask(fleet, books, device, now_ns, lane, OPEN, 0, 0, size, 0)
        wait_for(fleet, books, device, now_ns)
        if DRAFTING and fleet.window:
            narrow[device, col.AWAITED_ROUND] = 1
            narrow[device, col.AWAITED_AT] = 0
    if fleet.branches:
        read_prompts(fleet, books, device, now_ns, 0)
        if PAUSING and fleet.pauses:
            begin_gate(books, device, now_ns)
        if DRAFTING and fleet.window:
            begin_text(fleet, books, device, now_ns)
    if fleet.role == LOCAL:
        done_ns = work_alone(fleet, books, device)
        if done_ns < wide[device, col.LEAVES]:
            what = ALONE << REQUEST_BITS
            push(books.engine, books.heap, done_ns, LANE_CHOICE, device, 0, what)


def read_prompts(fleet: Fleet, books: Books, device: int, now_ns: int, chosen: int) -> None:
    """Have the small model read a session's prompts, and so many chosen tokens behind them."""
    template = template_of(fleet, books, device)
    new = pairs = 0
    for branch in range(fleet.branches):
        length = fleet.template[template, col.EDGE_PROMPT + branch] + chosen
        new += length
        pairs += length * (length + 1) // 2
    extend(fleet, books, device, now_ns, new, 0, pairs)


def ask(
    fleet: Fleet,
    books: Books,
    device: int,
    now_ns: int,
    lane: int,
    what: int,
    position: int,
    round_: int,
    size: int,
    count: int,
) -> None:
    """Send a frame that an answer is waited for; see ``say_up``."""
    narrow = books.narrow
    narrow[device, col.QUESTION_COUNT] = count
    narrow[device, col.QUESTION] = what + 1
    narrow[device, col.QUESTION_BYTES] = size
    narrow[device, col.QUESTION_POSITION] = position
    narrow[device, col.QUESTION_ROUND] = round_
    say_up(fleet, books, device, now_ns, lane, what, position, round_, size, count, 0)


def ask_again(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int) -> None:
    """Send the frame again that an answer is waited for."""
    narrow = books.narrow
    what = int(narrow[device, col.QUESTION]) - 1
    if what >= 0:
        narrow[device, col.REPEATS] += 1
        position, round_ = narrow[device, col.QUESTION_POSITION], narrow[device, col.QUESTION_ROUND]
        size, count = narrow[device, col.QUESTION_BYTES], narrow[device, col.QUESTION_COUNT]
        say_up(
            fleet,
            books,
            device,
            now_ns,
            lane,
            what,
            int(position),
            int(round_),
            int(size),
            int(count),
            0,
        )


def close(fleet: Fleet, books: Books, device: int, now_ns: int, lane: int, round_: int) -> None:
    """Tell the cloud that a session is over."""
    number, position = (
        session_number(fleet, books, device),
        int(books.narrow[device, col.POSITION]),
    )
    size = frame_bytes(number, position, round_, 0, fleet.up_bucket)
    say_up(fleet, books, device, now_ns, lane, CLOSE, position, round_, size, 0, 0)


# --------------------------------------------------------------------------- ends


def drop_work(fleet: Fleet, books: Books, device: int) -> None:
    """Forget what a device has under way."""
    narrow, held, engine = books.narrow, books.held, books.engine
    narrow[device, col.TURN] = (narrow[device, col.TURN] + 1) % MOST_FRAMES
    if OVERLAPPING and fleet.waits:
        drop_held(fleet, books, device)
    row = int(narrow[device, col.CHOOSING])
    if row:
        give_row(engine, books.air, row)
        narrow[device, col.CHOOSING] = 0
    row = int(narrow[device, col.EARLY])
    while row:
        behind = int(books.air[row - 1, col.AIR_NEXT])
        give_row(engine, books.air, row)
        row = behind
    narrow[device, col.EARLY] = 0
    if narrow[device, col.HOLDS]:
        narrow[device, col.HOLDS] = 0
        at = int(narrow[device, held_at(fleet)])
        held[at, col.HELD_NEXT] = engine[HELD_HEAD]
        engine[HELD_HEAD] = at
        engine[HELD_FREE] += 1
    wait_no_more(books, device)
    if SEVERAL:
        narrow[device, col.HOMELESS] = 0


def drop_held(fleet: Fleet, books: Books, device: int) -> None:
    """Take it out of the books what a small model was to run once logits would be there."""
    narrow, wide = books.narrow, books.wide
    if narrow[device, col.ASKING] == 0 or narrow[device, col.SOLO] or narrow[device, col.ROUND]:
        return
    if narrow[device, col.RECEIVED] == 0:
        began_ns = wide[device, col.FORWARD_BEGAN]
        took_ns = wide[device, col.FORWARD_DONE] - began_ns
        tell_work(fleet, books, device, began_ns, _FORWARD_NS, -took_ns)


def end_request(
    fleet: Fleet, books: Books, device: int, now_ns: int, lane: int, tokens: int, how: int, why: int
) -> None:
    """End a device's request, and begin the next one.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose.
        now_ns: when.
        lane: in which that is.
        tokens: that it has.
        how: it ended, see ``layout.ENDED``.
        why: how long its device had waited, where it gave up.
    """
    drop_work(fleet, books, device)
    books.narrow[device, col.ASKING] = 0
    tell_end(fleet, books, device, now_ns, tokens, how != ENDED)
    if how != ENDED:
        tell_how(fleet, books, device, now_ns, how, why)
    books.engine[FINISHED] += 1
    books.engine[LAST_END] = max(books.engine[LAST_END], now_ns)
    ask_next(fleet, books, device, now_ns, lane)


def tell_how(fleet: Fleet, books: Books, device: int, now_ns: int, how: int, why: int) -> None:
    """Write down how a request ended that has just been written down."""
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        by_class, kind = books.by_class, int(books.narrow[device, col.KIND])
        by_class[kind, _STALLED] += int(how == STALLED)
        by_class[kind, _LEFT] += int(how == LEFT)
    if fleet.every and device % fleet.every == 0:
        at = fleet.slots + books.engine[REQUESTS_OUT] - 1
        books.requests[at, col.FAILED] = how
        books.requests[at, col.WHY] = why


def leave(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Have a device leave without a word, with what it had still to ask."""
    narrow, wide = books.narrow, books.wide
    first, end = sessions_begin(fleet, device), sessions_begin(fleet, device + 1)
    request = int(narrow[device, col.SESSION])
    if SEVERAL:
        leave_home(books, device)
    if first + request >= end:
        return
    books.engine[FINISHED] += end - first - request
    books.engine[LAST_END] = max(books.engine[LAST_END], now_ns)
    drop_work(fleet, books, device)
    if narrow[device, col.ASKING]:
        narrow[device, col.ASKING] = 0
        go(fleet, books, device, now_ns, int(narrow[device, col.POSITION]))
        request += 1
    while fleet.opened and first + request < end and due_of(fleet, first + request) <= now_ns:
        narrow[device, col.SESSION] = request
        wide[device, col.ARRIVAL] = due_of(fleet, first + request)
        tell_arrival(fleet, books, device, wide[device, col.ARRIVAL])
        go(fleet, books, device, now_ns, 0)
        request += 1
    narrow[device, col.SESSION] = end - first


def go(fleet: Fleet, books: Books, device: int, now_ns: int, tokens: int) -> None:
    """Write down that a request's device left."""
    if fleet.every and device % fleet.every == 0:
        write_request(fleet, books, device, now_ns, tokens)
    tell_how(fleet, books, device, now_ns, LEFT, 0)
