"""A compiled cell's cloud that learns how many ranks to send first.

What follows from what was sent and asked for is said by ``costeer.starting_k``; when it is learnt
and chosen, by ``costeer.cloud``, ``costeer.answers`` and ``costeer.verification``: learnt when a
device's choice has come, chosen when a select begins. A token's outcome hangs on the starting k
that its ranks were sent with, so that is kept of each position under way.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.layout import DRAFTING, RUNNING, Books, Fleet
from actors.fleet.texts import states_of
from costeer import served_text as served
from costeer.learning import MAX_ROUND_TRIP_BYTES
from costeer.pacing import FIRST_AHEAD
from costeer.served_text import asked_at, slot_of
from costeer.starting_k import INITIAL_WINDOW_BYTES, best_start, observe, weigh, worth


def carried_by(fleet: Fleet, device: int) -> int:
    """Return how many bytes a device's link could carry in a round trip."""
    return fleet.ladders.carried[device if len(fleet.ladders.carried) > 1 else 0]


def learn(fleet: Fleet, books: Books, device: int, position: int, rounds: int) -> None:
    """Learn from a position that was decided after so many MORE requests."""
    ladders = fleet.ladders
    start = int(books.ladders[device, position % ladders.slots])
    observe(books.learner[0 : ladders.shapes], ladders.log, ladders.bracket[start, rounds])


def learn_draft(fleet: Fleet, books: Books, device: int, position: int, agreed: int) -> None:
    """Learn from the rows that a DRAFT decides, before it is booked; count those used or in vain.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose it is.
        position: of the chosen token.
        agreed: up to here the text is what it was.
    """
    _, first, end = states_of(fleet.window, device)
    state = books.texts[first:end]
    oldest, next_row = state[served.OLDEST], state[served.NEXT_ROW]
    decided = max(oldest, min(position + 1, next_row))
    for each in range(oldest, decided):
        learn(fleet, books, device, each, state[slot_of(state, each) + served.ROUND])
    stands = max(decided, min(next_row, agreed + 1))
    used = fleet.ladders.slots
    books.ladders[device, used] += decided - oldest
    books.ladders[device, used + 1] += next_row - stands


def forget_rows(fleet: Fleet, books: Books, device: int) -> None:
    """Begin a session of which no row was used or sent in vain."""
    for at in range(fleet.ladders.slots, fleet.ladders.slots + 2):
        books.ladders[device, at] = 0


def foresee(fleet: Fleet, books: Books) -> None:
    """Work out how many ranks may be needed, for all that a select sends first."""
    ladders, learner = fleet.ladders, books.learner
    weigh(
        learner[0 : ladders.shapes],
        ladders.chance,
        ladders.coarse,
        ladders.fine,
        learner[ladders.shapes : ladders.shapes + ladders.bins],
    )


def start_for(fleet: Fleet, books: Books, device: int) -> int:
    """Return which starting k is best for a device's next rows; ``foresee`` comes first."""
    ladders = fleet.ladders
    price, free_bytes = min(carried_by(fleet, device), MAX_ROUND_TRIP_BYTES), 0
    if DRAFTING and fleet.window:
        carried = min(price, INITIAL_WINDOW_BYTES)
        used = int(books.ladders[device, ladders.slots])
        price = worth(carried, used, int(books.ladders[device, ladders.slots + 1]))
        free_bytes = carried // FIRST_AHEAD
    chance = books.learner[ladders.shapes : ladders.shapes + ladders.bins]
    return best_start(chance, ladders.bytes, ladders.rounds, price, free_bytes)


def count_span(fleet: Fleet, books: Books, device: int, position: int, round_: int) -> None:
    """Count a position's ranks among those that a select sends."""
    ladders = fleet.ladders
    start = int(books.ladders[device, position % ladders.slots])
    books.learner[ladders.shapes + ladders.bins + ladders.span[start, round_]] += 1


def sent_select_ns(fleet: Fleet, books: Books) -> int:
    """Return what a select costs whose ranks were counted: rows of the same ones are one batch."""
    first, took_ns = fleet.ladders.shapes + fleet.ladders.bins, 0
    for span in range(len(books.learner) - first):
        count = books.learner[first + span]
        if count:
            took_ns += fleet.select_ns[span, count]
            books.learner[first + span] = 0
    return took_ns


def begin_ranks(fleet: Fleet, books: Books) -> int:
    """Choose how many ranks the select that begins sends; return how long it takes."""
    rows, narrow = books.engine[RUNNING], books.narrow
    foresee(fleet, books)
    for index in range(rows):
        device = int(books.step[index, col.RUNNING_NOW])
        if narrow[device, col.ROUND] == 0:
            books.ladders[device, 0] = start_for(fleet, books, device)
        count_span(fleet, books, device, 0, int(narrow[device, col.ROUND]))
    return sent_select_ns(fleet, books)


def begin_ranks_of_drafts(fleet: Fleet, books: Books) -> int:
    """As ``begin_ranks``, of devices that draft, whose rows are booked as being sent."""
    foresee(fleet, books)
    for index in range(books.engine[RUNNING]):
        device = int(books.step[index, col.RUNNING_NOW])
        _, first, end = states_of(fleet.window, device)
        state = books.texts[first:end]
        start = start_for(fleet, books, device)
        for position in range(state[served.FRESH_FROM], state[served.FRESH_TO]):
            books.ladders[device, position % fleet.ladders.slots] = start
            count_span(fleet, books, device, position, 0)
        for at in range(state[served.SENDING]):
            position = asked_at(state, at)
            round_ = state[slot_of(state, position) + served.ROUND]
            count_span(fleet, books, device, position, round_)
    return sent_select_ns(fleet, books)
