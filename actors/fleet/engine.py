"""The cloud of a compiled fleet: admission, steps, forwards, selects, and the loop over events.

The states and their order are those of ``costeer.cloud``; what decides, ``costeer.schedule``, is
called. The ready set is two queues, sessions with one token and sessions with more, since a step
takes a prefix of each: what it merges is bounded by the batch, not by the fleet.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.devices import begin, take_logits, take_streamed, write_cloud
from actors.fleet.layout import (
    ADMITTED,
    ARMED,
    BATCHES,
    BUSY_STEP,
    CLOSE,
    COUNTS,
    DECODING,
    EVENTS,
    FAULT,
    FINISHED,
    FIRST_SEQUENCE,
    FORWARD_DONE,
    FORWARD_NS,
    FREE_TOKENS,
    FULL,
    HEADS,
    LANE_CLOUD,
    LANE_STEP,
    LEAST_FREE,
    MORE,
    NEXT_SEQUENCE,
    NO_FAULT,
    NOW,
    OPEN,
    PROMPTS,
    REFINING,
    RUNNING,
    SELECT_DONE,
    SELECT_NS,
    STEP,
    STEP_NS,
    STREAMED,
    TOKEN,
    WAITED,
    WAITING,
    Books,
    Fleet,
    order_of,
    pop,
    push,
)
from costeer.schedule import admit, plan_step
from netsim.hardware.roofline import batch_ns


def begin_all(fleet: Fleet, books: Books) -> None:
    """Begin the first request of every device."""
    for device in range(fleet.devices):
        begin(fleet, books, device)


def advance(fleet: Fleet, books: Books, events: int) -> None:
    """Take so many events at most; fewer where every request has ended or a fault was found."""
    engine = books.engine
    sessions = fleet.sessions
    for _ in range(events):
        if engine[FINISHED] == sessions or engine[FAULT] != NO_FAULT or engine[EVENTS] == 0:
            return
        now_ns, kind, session = pop(books)
        engine[NOW] = now_ns
        if kind == STEP:
            start_step(fleet, books, now_ns)
        elif kind == FORWARD_DONE:
            end_forward(fleet, books, now_ns)
        elif kind == SELECT_DONE:
            end_select(fleet, books, now_ns)
        elif kind == CLOSE:
            free(fleet, books, session)
        else:
            hear(fleet, books, kind, session, now_ns)
        # A step after all arrivals of this instant, if there is work and none runs.
        work = engine[COUNTS + DECODING] + engine[COUNTS + PROMPTS] + engine[REFINING]
        if work and not engine[BUSY_STEP] and not engine[ARMED]:
            engine[ARMED] = 1
            push(books, now_ns, order_of(LANE_STEP, 0, 0), STEP, 0)


# --------------------------------------------------------------------------- frames


def hear(fleet: Fleet, books: Books, kind: int, session: int, now_ns: int) -> None:
    """Take a device's frame."""
    device = fleet.of_session[session, col.OWNER]
    if kind == TOKEN:
        books.device[device, col.POSITION] += 1
        books.device[device, col.ROUND] = 0
        books.device[device, col.PENDING] = 1
    elif kind == MORE:
        books.device[device, col.ROUND] += 1
        books.refining[books.engine[REFINING]] = device
        books.engine[REFINING] += 1
    books.device[device, col.UPLINK_NS] = books.device[device, col.TRANSIT_NS]
    books.device[device, col.READY_NS] = now_ns
    books.device[device, col.COMPUTE_NS] = 0
    if kind == TOKEN:
        get_ready(books, device)
    elif kind == OPEN:
        books.device[device, col.POSITION] = 0
        books.device[device, col.ROUND] = 0
        books.device[device, col.PENDING] = fleet.of_session[session, col.PROMPT]
        books.device[device, col.CACHED] = 0
        fits = admit(
            fleet.of_session[session, col.NEEDS : col.NEEDS + 1], books.engine[FREE_TOKENS], 1
        )
        room = books.engine[ADMITTED] < fleet.max_sessions
        at_once = books.engine[COUNTS + WAITING] == 0 and fits and room
        if not at_once and books.engine[COUNTS + WAITING] >= fleet.max_waiting:
            books.engine[FAULT] = FULL
        books.engine[WAITED] += not at_once
        append(books, WAITING, device)
        let_in(fleet, books)


def let_in(fleet: Fleet, books: Books) -> None:
    """Reserve memory for those that wait, from the front, while it suffices."""
    engine = books.engine
    while engine[COUNTS + WAITING]:
        device = books.queues[WAITING, engine[HEADS + WAITING]]
        session = books.device[device, col.SESSION]
        needs = fleet.of_session[session, col.NEEDS : col.NEEDS + 1]
        if admit(needs, engine[FREE_TOKENS], fleet.max_sessions - engine[ADMITTED]) == 0:
            return
        take_first(books, WAITING)
        engine[FREE_TOKENS] -= fleet.of_session[session, col.NEEDS]
        engine[LEAST_FREE] = min(engine[LEAST_FREE], engine[FREE_TOKENS])
        engine[ADMITTED] += 1
        get_ready(books, device)


def free(fleet: Fleet, books: Books, session: int) -> None:
    """Take back what a session reserved."""
    books.engine[FREE_TOKENS] += fleet.of_session[session, col.NEEDS]
    books.engine[ADMITTED] -= 1
    let_in(fleet, books)


# --------------------------------------------------------------------------- queues


def get_ready(books: Books, device: int) -> None:
    """Put a device's session behind all that are ready."""
    books.device[device, col.SEQUENCE] = books.engine[NEXT_SEQUENCE]
    books.engine[NEXT_SEQUENCE] += 1
    append(books, DECODING if books.device[device, col.PENDING] == 1 else PROMPTS, device)


def keep_first(books: Books, device: int) -> None:
    """Put a session whose prompt was begun before all that are ready."""
    books.engine[FIRST_SEQUENCE] -= 1
    books.device[device, col.SEQUENCE] = books.engine[FIRST_SEQUENCE]
    queue = DECODING if books.device[device, col.PENDING] == 1 else PROMPTS
    head = books.engine[HEADS + queue] - 1
    if head < 0:
        head = len(books.running) - 1
    books.queues[queue, head] = device
    books.engine[HEADS + queue] = head
    books.engine[COUNTS + queue] += 1


def append(books: Books, queue: int, device: int) -> None:
    """Put a device at the end of a queue."""
    at = books.engine[HEADS + queue] + books.engine[COUNTS + queue]
    books.queues[queue, at % len(books.running)] = device
    books.engine[COUNTS + queue] += 1


def take_first(books: Books, queue: int) -> None:
    """Take the first device from a queue."""
    books.engine[HEADS + queue] = (books.engine[HEADS + queue] + 1) % len(books.running)
    books.engine[COUNTS + queue] -= 1


# --------------------------------------------------------------------------- steps


def start_step(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Begin a forward of what is ready, or a select where only MORE was asked for."""
    engine = books.engine
    engine[ARMED] = 0
    count = merge(fleet, books)
    takes = plan_step(books.pending_now[0:count], fleet.max_batch, fleet.chunk_tokens)
    rows = new = held = pairs = 0
    for index in range(count):
        take = takes[index]
        if take:
            device = books.merged[index]
            take_first(books, DECODING if books.device[device, col.PENDING] == 1 else PROMPTS)
            books.device[device, col.TAKEN] = take
            books.running[rows] = device
            rows += 1
            new += take
            held += books.device[device, col.CACHED]
            pairs += take * books.device[device, col.CACHED] + take * (take + 1) // 2
    engine[RUNNING] = rows
    if rows:
        books.batches[engine[BATCHES]] = rows
        engine[BATCHES] += 1
        duration_ns = batch_ns(rows, new, held, pairs, fleet.cloud_terms)
        start_op(books, now_ns, duration_ns, FORWARD_DONE)
    else:
        start_select(fleet, books, now_ns)


def merge(fleet: Fleet, books: Books) -> int:
    """Lay out what a step may take, in the order in which it became ready; return how many."""
    engine, queues = books.engine, books.queues
    size = len(books.running)
    decoding = min(engine[COUNTS + DECODING], fleet.max_batch)
    prompts = min(engine[COUNTS + PROMPTS], fleet.max_batch)
    one = two = 0
    while one < decoding or two < prompts:
        from_one = two == prompts
        if one < decoding and two < prompts:
            first = queues[DECODING, (engine[HEADS + DECODING] + one) % size]
            other = queues[PROMPTS, (engine[HEADS + PROMPTS] + two) % size]
            from_one = books.device[first, col.SEQUENCE] < books.device[other, col.SEQUENCE]
        if from_one:
            device = queues[DECODING, (engine[HEADS + DECODING] + one) % size]
            one += 1
        else:
            device = queues[PROMPTS, (engine[HEADS + PROMPTS] + two) % size]
            two += 1
        books.merged[one + two - 1] = device
        books.pending_now[one + two - 1] = books.device[device, col.PENDING]
    return one + two


def start_op(books: Books, now_ns: int, duration_ns: int, kind: int) -> None:
    """Begin an operation of the cloud."""
    books.engine[BUSY_STEP] = 1
    books.engine[STEP_NS] = duration_ns
    push(books, now_ns + duration_ns, order_of(LANE_CLOUD, 0, 0), kind, 0)


def end_forward(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Go on to the select with the rows that reached their last token."""
    engine, running = books.engine, books.running
    engine[BUSY_STEP] = 0
    engine[FORWARD_NS] += engine[STEP_NS]
    rows, done = engine[RUNNING], 0
    for index in range(rows):
        device = running[index]
        books.device[device, col.CACHED] += books.device[device, col.TAKEN]
        books.device[device, col.PENDING] -= books.device[device, col.TAKEN]
        books.device[device, col.COMPUTE_NS] += engine[STEP_NS]
        if books.device[device, col.PENDING] == 0:
            running[done] = device
            done += 1
        else:
            books.merged[index - done] = device
    for index in range(rows - done - 1, -1, -1):
        keep_first(books, books.merged[index])
    engine[RUNNING] = done
    start_select(fleet, books, now_ns)


def start_select(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Encode or choose for the rows that are done, and for those that were asked for MORE."""
    engine = books.engine
    rows = engine[RUNNING]
    for index in range(engine[REFINING]):
        books.running[rows + index] = books.refining[index]
    rows += engine[REFINING]
    engine[RUNNING] = rows
    engine[REFINING] = 0
    if rows == 0:
        return
    if fleet.role == STREAMED:
        duration_ns = fleet.choose_ns[rows]
    else:
        duration_ns = 0
        for round_ in range(fleet.ladder_rounds):
            count = 0
            for index in range(rows):
                count += books.device[books.running[index], col.ROUND] == round_
            duration_ns += fleet.round_ns[round_, count]
    start_op(books, now_ns, duration_ns, SELECT_DONE)


def end_select(fleet: Fleet, books: Books, now_ns: int) -> None:
    """Send what was selected, and what each device makes of it."""
    engine = books.engine
    engine[BUSY_STEP] = 0
    select_ns = engine[STEP_NS]
    engine[SELECT_NS] += select_ns
    for index in range(engine[RUNNING]):
        device = books.running[index]
        position, session = books.device[device, col.POSITION], books.device[device, col.SESSION]
        compute_ns = books.device[device, col.COMPUTE_NS]
        queue_ns = now_ns - books.device[device, col.READY_NS] - compute_ns - select_ns
        row = fleet.of_session[session, col.FIRST_OUT] + position
        if books.device[device, col.ROUND] == 0:
            write_cloud(
                books, row, books.device[device, col.UPLINK_NS], queue_ns, compute_ns, select_ns
            )
        if fleet.role != STREAMED:
            take_logits(fleet, books, device, position, books.device[device, col.ROUND], now_ns)
            continue
        last = position + 1 == fleet.of_session[session, col.LENGTH]
        take_streamed(fleet, books, device, position, now_ns)
        if last:
            free(fleet, books, session)
        else:
            books.device[device, col.POSITION] = position + 1
            books.device[device, col.PENDING] = 1
            books.device[device, col.UPLINK_NS] = 0
            books.device[device, col.READY_NS] = now_ns
            books.device[device, col.COMPUTE_NS] = 0
            get_ready(books, device)
    engine[RUNNING] = 0
