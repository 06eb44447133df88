"""The cloud of a compiled cell towards devices that draft: their frames in, their logits out.

What follows from a frame is said by ``costeer.served_text``; the order is that of ``costeer.cloud``
and ``costeer.verification``. A session's text, its cache and what it waits for are its device's
block of ``texts``, for a device has one session at the cloud at a time.
"""

from __future__ import annotations

from collections.abc import MutableSequence

from actors.fleet import columns as col
from actors.fleet import texts
from actors.fleet.admission import free, let_open
from actors.fleet.events import push
from actors.fleet.ladders import begin_ranks_of_drafts, forget_rows, learn_draft
from actors.fleet.layout import (
    CLOSE,
    CLOUD,
    DECODING,
    DRAFT,
    FAULT,
    LANE_DOWN,
    LEARNING,
    OPEN,
    OWN,
    PROMPTS,
    REFINING,
    ROWS,
    RUNNING,
    SHARING,
    SILENT,
    TROUBLED,
    VERIFYING,
    Books,
    Fleet,
)
from actors.fleet.links import send_down
from actors.fleet.names import CLOUD_FIGURES
from actors.fleet.queues import append, get_ready, move, take_out
from actors.fleet.sessions import numbered, owner_of, row_of, sessions_begin
from actors.fleet.texts import begin_of, put, states_of, take
from actors.fleet.trouble.frames import say_down
from actors.plan import REQUEST_BITS
from costeer import served_text as served
from costeer.messages import frame_bytes
from costeer.served_text import (
    ask,
    asked_at,
    begin_sending,
    end_fresh,
    end_sending,
    first_fresh,
    is_sent,
    lay,
    news,
    rewrite,
    serve,
    slot_of,
    wants,
)
from costeer.varint import number_bytes

_DROPPED, _DRAFTS, _REFUTED, _WASTED = (
    CLOUD + CLOUD_FIGURES.index(name)
    for name in ("dropped_frames", "drafts", "refuted_drafts", "wasted_tokens")
)


def hear_drafting(
    fleet: Fleet, books: Books, kind: int, device: int, session: int, now_ns: int
) -> None:
    """Take a frame of a device that drafts."""
    begin, of = begin_of(fleet.window, device), books.texts
    if kind == OPEN:
        open_text(fleet, books, device, session, now_ns)
        return
    # An idle timer would have ended a session that was silent for longer.
    silent_ns = now_ns - of[begin + texts.SEEN]
    if of[begin + texts.STATUS] == texts.AWAY and silent_ns > fleet.idle_timeout_ns:
        books.engine[FAULT] = SILENT
    of[begin + texts.SEEN] = now_ns
    if kind == CLOSE:
        close_text(fleet, books, device, session)
        return
    row = take(books.texts, books.under_way, begin + texts.UP_HEAD)
    frames = books.under_way
    _, first, end = states_of(fleet.window, device)
    state = of[first:end]
    position, version = frames[row, texts.AT], frames[row, texts.VERSION]
    if kind == DRAFT:
        agreed, length = frames[row, texts.AGREED], frames[row, texts.COUNT]
        uplink_ns = now_ns - frames[row, texts.SENT_NS]
        take_draft(fleet, books, device, position, version, length, agreed, uplink_ns, now_ns)
    elif wants(state, position, frames[row, texts.ROUND], version):
        ask(state, position)
    else:
        books.engine[_DROPPED] += 1
        return
    queue(fleet, books, device)


def take_draft(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    version: int,
    length: int,
    agreed: int,
    uplink_ns: int,
    arrived_ns: int,
) -> None:
    """Take a DRAFT into a session's text.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose session it is.
        position: of the newest chosen token.
        version: of the text that it makes.
        length: of that text.
        agreed: up to here it is what it was.
        uplink_ns: how long the frame was under way.
        arrived_ns: when it came.
    """
    begin, of = begin_of(fleet.window, device), books.texts
    _, first, end = states_of(fleet.window, device)
    prompt = of[begin + texts.PROMPT]
    cached, run_to = of[begin + texts.CACHED], of[begin + texts.RUN_TO]
    books.engine[_DRAFTS] += news(length, agreed, position)
    books.engine[_REFUTED] += of[begin + texts.TEXT] - agreed
    books.engine[_WASTED] += max(0, max(cached, run_to) - prompt - agreed)
    of[begin + texts.TEXT] = length
    of[begin + texts.CACHED] = min(cached, prompt + agreed)
    of[begin + texts.RUN_TO] = min(run_to, prompt + agreed)
    of[begin + texts.NEWEST_UPLINK] = uplink_ns
    of[begin + texts.NEWEST_ARRIVED] = arrived_ns
    if LEARNING and fleet.ladders.starts:
        learn_draft(fleet, books, device, position, agreed)
    rewrite(of[first:end], version, position, agreed)


def open_text(fleet: Fleet, books: Books, device: int, session: int, now_ns: int) -> None:
    """Take an OPEN: the session's text is its prompt."""
    lay_text(fleet, books, device, session, now_ns - books.wide[device, col.SINCE])
    books.texts[begin_of(fleet.window, device) + texts.SEEN] = now_ns
    books.wide[device, col.READY] = now_ns
    books.wide[device, col.COMPUTE] = 0
    if LEARNING and fleet.ladders.starts:
        forget_rows(fleet, books, device)
    if let_open(fleet, books, device):
        return
    books.texts[begin_of(fleet.window, device) + texts.PROMPT] = 0
    number = numbered(fleet, books.narrow, device, session)
    size = frame_bytes(number, 0, 0, fleet.refusal_bytes, 1)
    send_rows(fleet, books, device, size, 0, 0, 0, 0, 0, now_ns, 0)


def lay_text(fleet: Fleet, books: Books, device: int, session: int, uplink_ns: int) -> None:
    """Begin a session's text with its prompt, which was so long under way."""
    begin, of = begin_of(fleet.window, device), books.texts
    _, first, end = states_of(fleet.window, device)
    lay(of[first:end], fleet.window, 0)
    row = 0
    if len(fleet.session) > 1:
        row = sessions_begin(fleet, owner_of(books.narrow, device)) + session
    of[begin + texts.STATUS] = texts.AWAY
    of[begin + texts.SESSION] = session
    of[begin + texts.PROMPT] = fleet.template[int(fleet.session[row, col.TEMPLATE]), col.PROMPT]
    of[begin + texts.TEXT] = 0
    of[begin + texts.CACHED] = 0
    of[begin + texts.RUN_TO] = 0
    of[begin + texts.UPLINK] = uplink_ns


def close_text(fleet: Fleet, books: Books, device: int, session: int) -> None:
    """Take a CLOSE: memory is free now, or at the end of the step that the session is in."""
    begin, of = begin_of(fleet.window, device), books.texts
    row = sessions_begin(fleet, device) + session if len(fleet.session) > 1 else 0
    template = int(fleet.session[row, col.TEMPLATE])
    status = of[begin + texts.STATUS]
    of[begin + texts.STATUS] = texts.AWAY
    of[begin + texts.PROMPT] = 0
    if status == texts.RUNNING:
        # What is left in the step is what kind of session it was.
        for index in range(books.engine[RUNNING]):
            if books.step[index, col.RUNNING_NOW] == device:
                books.step[index, col.RUNNING_NOW] = -1 - template
        return
    leave(books, device, status)
    free(fleet, books, device, session, template)


def leave(books: Books, device: int, status: int) -> None:
    """Take a session out of the queue that it is in, if it is in any."""
    if status == texts.READY:
        one = books.narrow[device, col.PENDING] == 1
        take_out(books.engine, books.narrow, DECODING if one else PROMPTS, device)
    elif status == texts.REFINING:
        take_out(books.engine, books.narrow, REFINING, device)


def queue(fleet: Fleet, books: Books, device: int) -> None:
    """Queue a session for what it needs, if it is in no step and needs anything."""
    begin, of, narrow = begin_of(fleet.window, device), books.texts, books.narrow
    _, first, _ = states_of(fleet.window, device)
    status = of[begin + texts.STATUS]
    if status == texts.RUNNING:
        return
    pending = of[begin + texts.PROMPT] + of[begin + texts.TEXT] - of[begin + texts.CACHED]
    if status == texts.READY and pending:
        before, narrow[device, col.PENDING] = narrow[device, col.PENDING], pending
        if (before == 1) != (pending == 1):
            move(books.engine, books.narrow, device, DECODING if before == 1 else PROMPTS)
        return
    leave(books, device, status)
    of[begin + texts.STATUS] = texts.AWAY
    if pending:
        narrow[device, col.PENDING] = pending
        of[begin + texts.STATUS] = texts.READY
        get_ready(books.engine, books.narrow, device)
    elif of[first + served.ASKS]:
        of[begin + texts.STATUS] = texts.REFINING
        append(books.engine, books.narrow, REFINING, device)


# --------------------------------------------------------------------------- steps


def begin_row(fleet: Fleet, books: Books, device: int, take_tokens: int) -> int:
    """Take a session into a forward; return how many of its tokens are in the cache."""
    begin, of = begin_of(fleet.window, device), books.texts
    _, first, end = states_of(fleet.window, device)
    cached = of[begin + texts.CACHED]
    of[begin + texts.RUN_TO] = cached + take_tokens
    of[begin + texts.STATUS] = texts.RUNNING
    if TROUBLED:
        books.narrow[device, col.AWAY] = 0
    if serve(of[first:end]):
        of[begin + texts.UPLINK] = of[begin + texts.NEWEST_UPLINK]
        books.wide[device, col.READY] = of[begin + texts.NEWEST_ARRIVED]
        books.wide[device, col.COMPUTE] = 0
    return cached


def end_row(fleet: Fleet, books: Books, device: int) -> bool:
    """End a session's row of a forward; return whether it has logits to send."""
    begin, of = begin_of(fleet.window, device), books.texts
    _, first, _ = states_of(fleet.window, device)
    cached = of[begin + texts.RUN_TO]
    of[begin + texts.CACHED] = cached
    if cached - of[begin + texts.PROMPT] >= of[first + served.NEXT_ROW]:
        return True
    of[begin + texts.STATUS] = texts.READY
    books.narrow[device, col.PENDING] = of[begin + texts.PROMPT] + of[begin + texts.TEXT] - cached
    return False


def begin_rows(fleet: Fleet, books: Books) -> int:
    """Book what the select that begins sends; return how long it takes."""
    rows = books.engine[RUNNING]
    of = books.texts
    fresh = asked = 0
    for index in range(rows):
        device = int(books.step[index, col.RUNNING_NOW])
        begin = begin_of(fleet.window, device)
        _, first, end = states_of(fleet.window, device)
        of[begin + texts.STATUS] = texts.RUNNING
        if TROUBLED:
            books.narrow[device, col.AWAY] = 0
        begin_sending(of[first:end], of[begin + texts.CACHED] - of[begin + texts.PROMPT])
        fresh += of[first + served.FRESH_TO] - of[first + served.FRESH_FROM]
        asked += of[first + served.SENDING]
    books.under_way[0, texts.DUE] = rows + asked
    if LEARNING and fleet.ladders.starts:
        return begin_ranks_of_drafts(fleet, books)
    duration_ns = fleet.select_ns[0, fresh]
    for round_ in range(1, len(fleet.select_ns) if asked else 0):
        count = 0
        for index in range(rows):
            device = int(books.step[index, col.RUNNING_NOW])
            _, first, end = states_of(fleet.window, device)
            count += asked_in_round(of[first:end], round_)
        duration_ns += fleet.select_ns[round_, count]
    return duration_ns


def asked_in_round(state: MutableSequence[int], round_: int) -> int:
    """Return how many of the rows that are being sent were asked for in a round."""
    count = 0
    for index in range(state[served.SENDING]):
        at = slot_of(state, asked_at(state, index))
        count += int(state[at + served.ROUND] == round_)
    return count


def end_rows(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """Send a session's rows that still belong to its text, and queue it for what it needs next."""
    begin, of = begin_of(fleet.window, device), books.texts
    _, first, end = states_of(fleet.window, device)
    state = of[first:end]
    for index in range(state[served.SENDING] + 1):
        if index == state[served.SENDING]:
            position, round_ = first_fresh(state), 0
            count = end_fresh(state) - position
        else:
            position, count = asked_at(state, index), 1
            round_ = state[slot_of(state, position) + served.ROUND]
            if not is_sent(state, position):
                continue
        if count > 0:
            send(fleet, books, device, position, count, round_, now_ns, select_ns)
    end_sending(state)
    of[begin + texts.STATUS] = texts.AWAY
    of[begin + texts.SEEN] = now_ns
    queue(fleet, books, device)


def send(
    fleet: Fleet,
    books: Books,
    device: int,
    position: int,
    count: int,
    round_: int,
    now_ns: int,
    select_ns: int,
) -> None:
    """Send rows of a position and those behind it."""
    of, session = books.texts, books.texts[begin_of(fleet.window, device) + texts.SESSION]
    _, first, end = states_of(fleet.window, device)
    state = of[first:end]
    version = state[slot_of(state, position) + served.OF_VERSION]
    at = 0
    if len(fleet.session) > 1:
        at = sessions_begin(fleet, owner_of(books.narrow, device)) + session
    first_row = int(fleet.session[at, col.FIRST_ROW])
    body_bytes, payload_bytes = number_bytes(version), 0
    for each in range(position, position + count):
        row = row_of(fleet, books, device, first_row, each)
        if fleet.role == VERIFYING:
            size = number_bytes(int(fleet.outcome[row, col.OUTCOME_TOKEN]))
        else:
            size = int(fleet.payload_bytes[fleet.outcome[row, col.FIRST_PAYLOAD] + round_])
            payload_bytes += size
        body_bytes += number_bytes(2 * size) + size
    number = numbered(fleet, books.narrow, device, session)
    size = frame_bytes(number, position, round_, body_bytes, fleet.down_bucket)
    send_rows(
        fleet,
        books,
        device,
        size,
        payload_bytes,
        position,
        count,
        round_,
        version,
        now_ns,
        select_ns,
    )


def send_rows(
    fleet: Fleet,
    books: Books,
    device: int,
    size: int,
    payload_bytes: int,
    position: int,
    count: int,
    round_: int,
    version: int,
    now_ns: int,
    select_ns: int,
) -> None:
    """Put a frame on a device's way down; ``count`` is 0 for a refusal."""
    begin, of, wide = begin_of(fleet.window, device), books.texts, books.wide
    if TROUBLED:
        at = say_down(fleet, books, device, now_ns, ROWS, size, payload_bytes, select_ns) - 1
        books.air[at, col.AIR_POSITION] = position
        books.air[at, col.AIR_ROUND] = round_
        books.air[at, col.AIR_COUNT] = count
        books.air[at, col.AIR_VERSION] = version
        books.air[at, col.AIR_UPLINK] = of[begin + texts.UPLINK]
        return
    arrival_ns = send_down(fleet, books, device, now_ns, size, payload_bytes)
    row = put(books.texts, books.under_way, begin + texts.DOWN_HEAD)
    frame = books.under_way
    compute_ns = wide[device, col.COMPUTE]
    frame[row, texts.AT] = position
    frame[row, texts.COUNT] = count
    frame[row, texts.ROUND] = round_
    frame[row, texts.VERSION] = version
    frame[row, texts.SENT_NS] = now_ns
    frame[row, texts.UPLINK_NS] = of[begin + texts.UPLINK]
    frame[row, texts.QUEUE_NS] = now_ns - wide[device, col.READY] - compute_ns - select_ns
    frame[row, texts.COMPUTE_NS] = compute_ns
    frame[row, texts.SELECT_NS] = select_ns
    number, session = int(books.narrow[device, col.FRAMES]), of[begin + texts.SESSION]
    if SHARING and arrival_ns < 0:
        books.air[-arrival_ns - 1, col.AIR_SESSION] = session
        books.air[-arrival_ns - 1, col.AIR_NUMBER] = number
        return
    what = OWN << REQUEST_BITS | session
    push(books.engine, books.heap, arrival_ns, LANE_DOWN, device, number, what)
