"""A compiled cell's cloud that drafts for what it streams: what it proposes, and what stands of it.

The rules are those of ``costeer.steps`` and ``costeer.cloud``: before a step begins, drafts are put
behind each ready text that lacks its newest token alone; all of it is run, and each position
chosen; choices stand up to the first that is not the draft.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.admission import free
from actors.fleet.eviction import extend_text
from actors.fleet.exchanges import take_beside
from actors.fleet.forwards import forward_ns
from actors.fleet.layout import (
    CLOUD,
    COUNTS,
    DECODING,
    HEADS,
    PROMPTS,
    RUNNING,
    TAILS,
    Books,
    Fleet,
)
from actors.fleet.names import CLOUD_FIGURES
from actors.fleet.queues import append
from actors.fleet.sampled import book_accepted
from actors.fleet.sessions import outcome_of, session_number, template_of, text_of
from netsim.random import Stream, device_key, uniform_with

_DRAFTS, _REFUTED, _WASTED, _RIGHT, _WRONG = (
    CLOUD + CLOUD_FIGURES.index(name)
    for name in ("drafts", "refuted_drafts", "wasted_tokens", "right_drafts", "wrong_drafts")
)
_DRAWN = int(Stream.DRAFTS)


def forget_guesses(books: Books, device: int) -> None:
    """Begin a session for which nothing was drafted yet."""
    for figure in range(col.GUESS_FIGURES):
        books.guesses[device, figure] = 0


# --------------------------------------------------------------------------- proposing


def most_wanted(fleet: Fleet, books: Books) -> int:
    """Mark the ready sessions that want drafts; return the most that one of them wants."""
    guesses, narrow, most = books.guesses, books.narrow, 0
    device = books.engine[HEADS + DECODING]
    for _ in range(books.engine[COUNTS + DECODING]):
        if guesses[device, col.GUESSED] == 0:
            wanted = wanted_of(fleet, books, device)
            guesses[device, col.GUESSED] = -int(wanted > 0)
            most = max(most, wanted)
        device = int(narrow[device, col.NEXT])
    return most


def guessing_ns(fleet: Fleet, books: Books, most: int) -> int:
    """Return what the marked sessions' drafts cost: of a small model, a forward for each depth."""
    took_ns = 0
    if len(fleet.beside_choose_ns) == 1:
        return took_ns
    for depth in range(most):
        rows = new = held = pairs = 0
        device = int(books.engine[HEADS + DECODING])
        for _ in range(books.engine[COUNTS + DECODING]):
            marked = books.guesses[device, col.GUESSED] < 0
            if marked and wanted_of(fleet, books, device) > depth:
                read, run = books.guesses[device, col.READ_BESIDE], 1
                text = text_of(fleet, books, device)
                if depth:
                    read = text + depth - 1
                else:
                    run = text - read
                rows += 1
                new += run
                held += read
                pairs += run * read + run * (run + 1) // 2
            device = int(books.narrow[device, col.NEXT])
        took_ns += forward_ns(
            rows, new, held, pairs, fleet.beside_terms, fleet.plain, fleet.beside_grid
        )
        took_ns += fleet.beside_choose_ns[rows]
    return took_ns


def wanted_of(fleet: Fleet, books: Books, device: int) -> int:
    """Return how many drafts a session wants."""
    template = template_of(fleet, books, device)
    limit = fleet.template[template, col.NEEDS] - fleet.template[template, col.PROMPT]
    return max(0, min(fleet.guesses, limit - int(books.narrow[device, col.POSITION]) - 1))


def propose(fleet: Fleet, books: Books) -> None:
    """Put drafts behind the marked texts; what has some waits among those with several tokens."""
    engine, guesses, narrow = books.engine, books.guesses, books.narrow
    one, ones = engine[HEADS + DECODING], engine[COUNTS + DECODING]
    two, twos = engine[HEADS + PROMPTS], engine[COUNTS + PROMPTS]
    for queue in (DECODING, PROMPTS):
        engine[HEADS + queue] = engine[TAILS + queue] = engine[COUNTS + queue] = 0
    while ones or twos:
        first = ones > 0
        if ones and twos:
            first = narrow[one, col.SEQUENCE] < narrow[two, col.SEQUENCE]
        device = int(one if first else two)
        if first:
            one = narrow[device, col.NEXT]
            ones -= 1
        else:
            two = narrow[device, col.NEXT]
            twos -= 1
        if guesses[device, col.GUESSED] < 0:
            guess(fleet, books, device)
            count = guesses[device, col.GUESSED] - 1
            narrow[device, col.PENDING] += count
            engine[_DRAFTS] += count
        queue = DECODING if narrow[device, col.PENDING] == 1 else PROMPTS
        append(books.engine, books.narrow, queue, device)


def guess(fleet: Fleet, books: Books, device: int) -> None:
    """Find out how many drafts a session is given, and how many of them, from the first, stand."""
    count, right = wanted_of(fleet, books, device), 0
    position = int(books.narrow[device, col.POSITION])
    if len(fleet.found) > 1:
        outcome = outcome_of(fleet, books, device, position)
        count = min(count, fleet.found[outcome])
        right = min(count, fleet.followed[outcome])
    else:
        key = device_key(fleet.word, _DRAWN, session_number(fleet, books, device))
        while right < count and uniform_with(key, position + right) < fleet.acceptance:
            right += 1
    books.guesses[device, col.GUESSED] = count + 1
    books.guesses[device, col.RIGHT_GUESSES] = right


# --------------------------------------------------------------------------- choosing


def guessed(books: Books, device: int) -> int:
    """Return how many drafts stand at the end of a session's text."""
    return max(0, books.guesses[device, col.GUESSED] - 1)


def chosen_rows(books: Books) -> int:
    """Return how many positions the select that begins chooses."""
    rows = books.engine[RUNNING]
    for index in range(books.engine[RUNNING]):
        rows += guessed(books, int(books.step[index, col.RUNNING_NOW]))
    return rows


def judge(fleet: Fleet, books: Books, device: int) -> int:
    """Book what became of a session's drafts, and forget them; return how many are right."""
    engine, guesses = books.engine, books.guesses
    right = guesses[device, col.RIGHT_GUESSES] if guessed(books, device) else 0
    refuted = guessed(books, device) - right
    if guessed(books, device):
        # Who drafts has read all its drafts but the last, and keeps what stands of them.
        read = text_of(fleet, books, device) + min(guessed(books, device) - 1, right)
        guesses[device, col.READ_BESIDE] = read
    guesses[device, col.GUESSED] = 0
    engine[_REFUTED] += refuted
    engine[_WASTED] += refuted
    engine[_RIGHT] += right
    engine[_WRONG] += int(refuted > 0)
    return right


def answer_guessed(fleet: Fleet, books: Books, device: int, now_ns: int, select_ns: int) -> None:
    """Stream what was chosen as far as drafts are right, and go on behind it."""
    narrow, wide = books.narrow, books.wide
    right = judge(fleet, books, device)
    template, session = template_of(fleet, books, device), int(narrow[device, col.SESSION])
    if fleet.every and device % fleet.every == 0:
        book_accepted(fleet, books, device, int(narrow[device, col.POSITION]), now_ns)
    for _ in range(right + 1):
        if take_beside(fleet, books, device, now_ns, select_ns):
            free(fleet, books, device, session, template)
            return
        narrow[device, col.POSITION] += 1
    wide[device, col.READY] = now_ns
    wide[device, col.COMPUTE] = 0
    extend_text(fleet, books, device)
