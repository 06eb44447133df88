"""What the cloud has of a drafting session's text and has sent of its logits, as plain integers.

``costeer.speculation`` tells the rules; ``costeer.verification`` and a driver over arrays call
these functions, which numba compiles as they stand: a state is a list or a slice of an array.

Layout: the figures named below; one slot for each position whose logits were sent and that is not
decided, at the position modulo ``WINDOW``; then the positions whose next ranks were asked for, in
the order in which they were. The first ``SENDING`` of these are of the step under way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from typing import TypeAlias

    State: TypeAlias = MutableSequence[int]

(
    OLDEST,
    NEXT_ROW,
    VERSION,
    SERVED,
    ASKS,
    SENDING,
    FRESH_FROM,
    FRESH_TO,
    WINDOW,
    HEAD,
) = range(10)
"""The first position that the device had not chosen, as far as is known; the first whose logits
were not sent for the text as it is; version of the newest DRAFT, 0 for the text of OPEN; of the
text that the step under way, or the last one, was begun for; positions that were asked for; those
of them that are being sent; the rows that the step under way sends for the first time; and how many
slots there are."""

SENT, OF_VERSION, ROUND, DUE, SLOT = range(5)
"""1 more than the position, if its logits were sent or are about to be; their version; the newest
round that was asked for; 1 until that is sent."""


def window_of(most: int) -> int:
    """Return how many slots are needed where so many drafts come at most."""
    return most + 2


def size_of(window: int) -> int:
    """Return how many integers a state is."""
    return HEAD + window * (SLOT + 1)


def lay(state: State, window: int, position: int) -> None:
    """Begin a session whose first open position is this."""
    for at in range(size_of(window)):
        state[at] = 0
    state[OLDEST] = position
    state[NEXT_ROW] = position
    state[WINDOW] = window


def slot_of(state: State, position: int) -> int:
    """Return where a position's slot begins."""
    return HEAD + position % state[WINDOW] * SLOT


def is_sent(state: State, position: int) -> bool:
    """Whether a position's logits were sent, or are about to be, and still belong to the text."""
    return state[slot_of(state, position) + SENT] == position + 1


def asked_at(state: State, index: int) -> int:
    """Return the position that was asked for as so manieth."""
    return state[HEAD + state[WINDOW] * SLOT + index]


# --------------------------------------------------------------------------- what is heard


def wants(state: State, position: int, round_: int, version: int) -> bool:
    """Whether a REFINE asks for something that is still there and was not asked for before."""
    at = slot_of(state, position)
    if state[at + SENT] != position + 1 or state[at + DUE]:
        return False
    return state[at + OF_VERSION] == version and state[at + ROUND] + 1 == round_


def ask(state: State, position: int) -> None:
    """Book a REFINE for a position's next round."""
    at = slot_of(state, position)
    state[at + ROUND] += 1
    state[at + DUE] = 1
    state[HEAD + state[WINDOW] * SLOT + state[ASKS]] = position
    state[ASKS] += 1


def rewrite(state: State, version: int, position: int, agreed: int) -> None:
    """Book a DRAFT: a choice for ``position`` and drafts behind it.

    Args:
        state: of the session.
        version: its count.
        position: of the chosen token.
        agreed: up to here, this position not included, the text is what it was.
    """
    for each in range(state[OLDEST], state[NEXT_ROW]):
        if each <= position or each > agreed:
            state[slot_of(state, each) + SENT] = 0
    kept = sending = 0
    asked = HEAD + state[WINDOW] * SLOT
    for index in range(state[ASKS]):
        each = state[asked + index]
        if is_sent(state, each):
            state[asked + kept] = each
            kept += 1
            sending += index < state[SENDING]
    state[ASKS] = kept
    state[SENDING] = sending
    state[VERSION] = version
    state[OLDEST] = position + 1
    state[NEXT_ROW] = min(state[NEXT_ROW], agreed + 1)


def news(length: int, agreed: int, position: int) -> int:
    """Return how many drafts a DRAFT brings.

    Args:
        length: of the text that it makes.
        agreed: up to here the text is what it was.
        position: of the chosen token.
    """
    return length - max(agreed, position + 1)


# --------------------------------------------------------------------------- what is sent


def serve(state: State) -> bool:
    """Take note that a step runs the newest text; return whether it is the first for it."""
    first = state[SERVED] != state[VERSION]
    state[SERVED] = state[VERSION]
    return first


def begin_sending(state: State, newest_row: int) -> None:
    """Book as under way what was asked for, and all rows up to one that were not sent."""
    state[SENDING] = state[ASKS]
    state[FRESH_FROM] = state[NEXT_ROW]
    for position in range(state[NEXT_ROW], newest_row + 1):
        at = slot_of(state, position)
        state[at + SENT] = position + 1
        state[at + OF_VERSION] = state[SERVED]
        state[at + ROUND] = 0
        state[at + DUE] = 0
    state[NEXT_ROW] = max(state[NEXT_ROW], newest_row + 1)
    state[FRESH_TO] = state[NEXT_ROW]


def first_fresh(state: State) -> int:
    """Return the first row that the step under way sends for the first time, if any stands."""
    return max(state[FRESH_FROM], state[OLDEST])


def end_fresh(state: State) -> int:
    """Return the row behind the last of them."""
    return min(state[FRESH_TO], state[NEXT_ROW])


def end_sending(state: State) -> None:
    """Take note that the step under way has sent its rows."""
    asked, sent = HEAD + state[WINDOW] * SLOT, state[SENDING]
    for index in range(sent):
        state[slot_of(state, state[asked + index]) + DUE] = 0
    for index in range(sent, state[ASKS]):
        state[asked + index - sent] = state[asked + index]
    state[ASKS] -= sent
    state[SENDING] = 0
    state[FRESH_FROM] = state[FRESH_TO] = 0
