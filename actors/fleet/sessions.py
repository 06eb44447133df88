"""Where what is fixed of a compiled cell's sessions stands."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Table
from actors.fleet.layout import LEARNING, TROUBLED, Books, Fleet
from actors.plan import REQUEST_BITS


def session_number(fleet: Fleet, books: Books, device: int) -> int:
    """Return the id of the session that a device is in, as its frames say it."""
    return numbered(fleet, books.narrow, device, int(books.narrow[device, col.SESSION]))


def numbered(fleet: Fleet, narrow: Table, device: int, session: int) -> int:
    """Return the id of a device's so manieth session, as its frames say it."""
    named = int(narrow[device, col.NUMBER]) if fleet.numbered else owner_of(narrow, device)
    return named << REQUEST_BITS | session


def sessions_begin(fleet: Fleet, device: int) -> int:
    """Return where a device's sessions begin."""
    return device * fleet.each if fleet.each else fleet.first_session[device]


def session_row(fleet: Fleet, books: Books, device: int) -> int:
    """Return where what is fixed of a device's session stands."""
    if len(fleet.session) == 1:
        return 0
    owner = owner_of(books.narrow, device)
    return sessions_begin(fleet, owner) + int(books.narrow[device, col.SESSION])


def owner_of(narrow: Table, device: int) -> int:
    """Return whose session it is, where sessions at the cloud have rows of their own."""
    if TROUBLED:
        return int(narrow[device, col.OWNER])
    return device


def template_of(fleet: Fleet, books: Books, device: int) -> int:
    """Return what kind of session a device is in."""
    return int(fleet.session[session_row(fleet, books, device), col.TEMPLATE])


def text_of(fleet: Fleet, books: Books, device: int) -> int:
    """Return how many tokens the cloud has been told of a device's session."""
    prompt = fleet.template[template_of(fleet, books, device), col.PROMPT]
    return prompt + int(books.narrow[device, col.POSITION])


def length_of(fleet: Fleet, books: Books, device: int) -> int:
    """Return how many tokens a device's session has."""
    return int(fleet.session[session_row(fleet, books, device), col.LENGTH])


def outcome_of(fleet: Fleet, books: Books, device: int, position: int) -> int:
    """Return what becomes of a token of a device's session."""
    first = int(fleet.session[session_row(fleet, books, device), col.FIRST_ROW])
    return row_of(fleet, books, device, first, position)


def row_of(fleet: Fleet, books: Books, device: int, first_row: int, position: int) -> int:
    """Return what becomes of a token whose session's outcomes begin at a row."""
    if LEARNING and fleet.ladders.starts:
        start = int(books.ladders[device, position % fleet.ladders.slots])
        return (first_row + position) * fleet.ladders.starts + start
    return first_row + position


def rounds_of(fleet: Fleet, outcome: int) -> int:
    """Return how many times a token asks for more ranks."""
    after = int(fleet.outcome[outcome + 1, col.FIRST_PAYLOAD])
    return after - int(fleet.outcome[outcome, col.FIRST_PAYLOAD]) - 1


def payload_of(fleet: Fleet, outcome: int, round_: int) -> int:
    """Return how many bytes of ranks a token's round is."""
    return int(fleet.payload_bytes[int(fleet.outcome[outcome, col.FIRST_PAYLOAD]) + round_])
