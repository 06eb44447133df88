"""Steps of a compiled cell's cloud: forwards and selects, from what is ready to what is sent.

At most one operation is under way. What decides, ``costeer.schedule``, is called.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.admission import free
from actors.fleet.array_types import Column
from actors.fleet.eviction import extend_text, make_room
from actors.fleet.exchanges import take_logits, take_streamed
from actors.fleet.forwards import cloud_forward_ns
from actors.fleet.gates import choosing_ns
from actors.fleet.guessing import (
    answer_guessed,
    chosen_rows,
    guessed,
    guessing_ns,
    most_wanted,
    propose,
)
from actors.fleet.histogram import bucket_of
from actors.fleet.ladders import begin_ranks
from actors.fleet.layout import (
    ADMITTED,
    ARMED,
    BATCHES,
    BATCHES_OUT,
    CALM,
    CLOUD,
    COUNTS,
    DECODING,
    DRAFTING,
    EVICTED,
    EXCHANGING,
    FORWARD,
    FREE_TOKENS,
    GUESS,
    GUESSING,
    GUIDING,
    HEADS,
    LEARNING,
    PAUSING,
    PROMPTS,
    REFINING,
    REPLICA,
    REPLICA_BITS,
    RUNNING,
    SELECT,
    SEVERAL,
    STEP,
    STEP_ENDS,
    STEP_NS,
    STREAMED,
    TROUBLED,
    WAITING,
    Books,
    Fleet,
)
from actors.fleet.names import CLOUD_FIGURES, SERIES
from actors.fleet.pausing import answer_paused
from actors.fleet.queues import keep_first, take_first
from actors.fleet.sessions import template_of
from actors.fleet.tally import bin_of
from actors.fleet.trouble.serving import answer_session
from actors.fleet.trouble.slots import forget
from actors.fleet.trouble.stalls import gate_ns
from actors.fleet.verifying import begin_row, begin_rows, end_row, end_rows
from costeer.schedule import fill_step

_FORWARDS, _ROWS, _FORWARD_NS, _SELECT_NS = (
    CLOUD + CLOUD_FIGURES.index(name) for name in ("forwards", "rows", "forward_ns", "select_ns")
)
_BIN_FORWARDS, _BIN_ROWS, _BIN_FORWARD_NS, _BIN_WAITING, _BIN_RUNNING, _BIN_KV = (
    SERIES.index(name)
    for name in ("forwards", "rows", "forward_ns", "waiting", "running", "kv_tokens")
)


def start_step(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Begin a forward of what is ready, or a select where only MORE was asked for."""
    engine = books.engine
    engine[ARMED] = 0
    if EXCHANGING and fleet.preempts:
        make_room(fleet, books)
    if GUESSING and fleet.guesses:
        most = most_wanted(fleet, books)
        if most:
            start_op(fleet, engine, now_ns, guessing_ns(fleet, books, most), GUESS)
            return
    begin_forward(fleet, books, now_ns)


def end_guess(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Go on to the forward that runs the cloud's drafts as well."""
    engine = books.engine
    engine[STEP] = 0
    books.engine[_FORWARD_NS] += engine[STEP_NS]
    propose(fleet, books)
    begin_forward(fleet, books, now_ns)


def begin_forward(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Begin a forward of what is ready, or a select where nothing is."""
    engine, narrow, step = books.engine, books.narrow, books.step
    candidates = merge(fleet, books)
    fill_step(
        step[0:candidates, col.WANTED],
        step[0:candidates, col.TAKEN],
        candidates,
        fleet.max_batch,
        fleet.chunk_tokens,
    )
    rows = new = held = pairs = guides = 0
    for index in range(candidates):
        take = int(step[index, col.TAKEN])
        if take:
            device, pending = int(step[index, col.MERGED]), int(step[index, col.WANTED])
            take_first(books.engine, books.narrow, DECODING if pending == 1 else PROMPTS)
            step[rows, col.RUNNING_NOW] = device
            step[rows, col.TAKEN] = take
            rows += 1
            cached = 0
            if DRAFTING and fleet.window:
                cached = begin_row(fleet, books, device, take)
            elif EXCHANGING:
                prompt = fleet.template[template_of(fleet, books, device), col.PROMPT]
                cached = prompt + int(narrow[device, col.POSITION]) - pending
                if GUESSING and fleet.guesses:
                    cached += guessed(books, device)
            new += take
            held += cached
            pairs += take * cached + take * (take + 1) // 2
            if GUIDING and fleet.guided and take == pending:
                # The second prompt is read behind the first one's end, then token by token.
                run, read = guide_of(fleet, books, device)
                guides += 1
                new += run
                held += read
                pairs += run * read + run * (run + 1) // 2
    engine[RUNNING] = rows
    if rows == 0:
        start_select(fleet, books, now_ns)
        return
    duration_ns = cloud_forward_ns(fleet, engine, rows + guides, new, held, pairs)
    start_op(fleet, engine, now_ns, duration_ns, FORWARD)
    books.engine[_FORWARDS] += 1
    books.engine[_ROWS] += rows
    batches = len(books.histograms) - 1
    books.histograms[batches, bucket_of(rows)] += 1
    at, series = bin_of(books.engine, books.series, now_ns), books.series
    series[at, _BIN_FORWARDS] += 1
    series[at, _BIN_ROWS] += rows
    series[at, _BIN_FORWARD_NS] += duration_ns
    series[at, _BIN_WAITING] += engine[COUNTS + WAITING] + engine[COUNTS + EVICTED]
    series[at, _BIN_RUNNING] += engine[ADMITTED]
    series[at, _BIN_KV] += fleet.kv_tokens - engine[FREE_TOKENS]
    if fleet.every:
        engine[BATCHES + engine[BATCHES_OUT]] = rows << REPLICA_BITS | engine[REPLICA]
        engine[BATCHES_OUT] += 1


def guide_of(fleet: Fleet, books: Books, device: int) -> tuple[int, int]:
    """Return how many tokens of a session's second sequence are run, and how many are cached."""
    prompt = fleet.template[template_of(fleet, books, device), col.GUIDE]
    position = int(books.narrow[device, col.POSITION])
    if SEVERAL and books.narrow[device, col.GUIDE_READ] == 0:
        books.narrow[device, col.GUIDE_READ] = 1
        return prompt + position, 0
    return (1, prompt + position - 1) if position else (prompt, 0)


def merge(fleet: Fleet, books: Books) -> int:
    """Lay out what a step may take, in the order in which it became ready; return how many."""
    engine, narrow = books.engine, books.narrow
    decoding = min(engine[COUNTS + DECODING], fleet.max_batch)
    prompts = min(engine[COUNTS + PROMPTS], fleet.max_batch)
    one, two = engine[HEADS + DECODING], engine[HEADS + PROMPTS]
    found = 0
    while decoding or prompts:
        from_one = prompts == 0
        if decoding and prompts:
            from_one = narrow[one, col.SEQUENCE] < narrow[two, col.SEQUENCE]
        if from_one:
            device = one
            one = narrow[one, col.NEXT]
            decoding -= 1
        else:
            device = two
            two = narrow[two, col.NEXT]
            prompts -= 1
        books.step[found, col.MERGED] = device
        books.step[found, col.WANTED] = narrow[device, col.PENDING]
        found += 1
    return found


def start_op(fleet: Fleet, engine: Column, now_ns: int, duration_ns: int, what: int) -> None:
    """Begin an operation of the cloud."""
    engine[STEP] = what
    engine[STEP_NS] = duration_ns
    engine[STEP_ENDS] = now_ns + duration_ns
    if TROUBLED:
        engine[STEP_ENDS] = gate_ns(fleet.trouble.stalls, engine[REPLICA], now_ns + duration_ns)


def end_forward(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Go on to the select with the rows that reached their last token."""
    engine, step, narrow = books.engine, books.step, books.narrow
    engine[STEP] = 0
    step_ns = engine[STEP_NS]
    books.engine[_FORWARD_NS] += step_ns
    rows, done, over = engine[RUNNING], 0, 0
    for index in range(rows):
        device = int(step[index, col.RUNNING_NOW])
        if DRAFTING and device < 0:  # its session is over; see ``close_text``
            free(fleet, books, 0, 0, -1 - device)
            over += 1
            continue
        if TROUBLED and narrow[device, col.OVER]:
            forget(fleet, books, device)
            over += 1
            continue
        books.wide[device, col.COMPUTE] += step_ns
        sends = False
        if DRAFTING and fleet.window:
            sends = end_row(fleet, books, device)
        elif EXCHANGING:
            narrow[device, col.PENDING] -= step[index, col.TAKEN]
            sends = narrow[device, col.PENDING] == 0
        if sends:
            step[done, col.RUNNING_NOW] = device
            done += 1
        else:
            step[index - done - over, col.MERGED] = device
    for index in range(rows - done - over - 1, -1, -1):
        keep_first(books.engine, books.narrow, int(step[index, col.MERGED]))
    engine[RUNNING] = done
    start_select(fleet, books, now_ns)


def start_select(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Encode or choose for the rows that are done, and for those that were asked for MORE."""
    engine, step = books.engine, books.step
    rows = engine[RUNNING]
    refined = engine[COUNTS + REFINING]
    for _ in range(refined):
        device = take_first(books.engine, books.narrow, REFINING)
        step[rows, col.RUNNING_NOW] = device
        rows += 1
        if fleet.preempts:
            books.narrow[device, col.PENDING] = 0
    engine[RUNNING] = rows
    if rows == 0:
        return
    if DRAFTING and fleet.window:
        start_op(fleet, engine, now_ns, begin_rows(fleet, books), SELECT)
        return
    # Where sessions are evicted, one that was asked for MORE may come from a forward.
    known = 0 if fleet.preempts else rows - refined
    choices = chosen_rows(books) if GUESSING and fleet.guesses else known
    if LEARNING and fleet.ladders.starts:
        duration_ns = begin_ranks(fleet, books)
    else:
        duration_ns = fleet.select_ns[0, choices]
        for round_ in range(1 if known else 0, len(fleet.select_ns) if known < rows else 0):
            count = 0
            for index in range(known, rows):
                count += books.narrow[step[index, col.RUNNING_NOW], col.ROUND] == round_
            duration_ns += fleet.select_ns[round_, count]
    if PAUSING and fleet.pauses:
        duration_ns += choosing_ns(fleet, books, rows)
    start_op(fleet, engine, now_ns, duration_ns, SELECT)


def end_select(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Send what was selected, and what each device makes of it."""
    engine = books.engine
    engine[STEP] = 0
    select_ns = engine[STEP_NS]
    books.engine[_SELECT_NS] += select_ns
    rows = engine[RUNNING]
    engine[RUNNING] = 0
    for index in range(rows):
        device = int(books.step[index, col.RUNNING_NOW])
        if DRAFTING and device < 0:
            free(fleet, books, 0, 0, -1 - device)
            continue
        if TROUBLED:
            if books.narrow[device, col.OVER]:
                forget(fleet, books, device)
            else:
                answer_session(fleet, books, device, now_ns, select_ns)
            continue
        if DRAFTING and fleet.window:
            end_rows(fleet, books, device, now_ns, select_ns)
        elif PAUSING and fleet.pauses:
            answer_paused(fleet, books, device, now_ns, select_ns)
        elif GUESSING and fleet.guesses:
            answer_guessed(fleet, books, device, now_ns, select_ns)
        elif CALM and EXCHANGING:
            answer(fleet, books, device, now_ns, select_ns)


def answer(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """Send a device what was selected or chosen for it, and what it makes of it."""
    narrow, wide = books.narrow, books.wide
    if fleet.role != STREAMED:
        take_logits(fleet, books, device, now_ns, select_ns)
        return
    template = template_of(fleet, books, device)
    session = int(narrow[device, col.SESSION])
    if take_streamed(fleet, books, device, now_ns, select_ns):
        free(fleet, books, device, session, template)
    else:
        narrow[device, col.POSITION] += 1
        wide[device, col.READY] = now_ns
        wide[device, col.COMPUTE] = 0
        extend_text(fleet, books, device)
