"""What a device of a compiled cell, in which something may fail, writes down of a token."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.layout import STAGE, Books, Fleet
from actors.fleet.names import CLASS_FIGURES
from actors.fleet.sampled import book
from actors.fleet.stages import QUEUE, cut_stages
from actors.fleet.tally import counts, tell_token
from costeer.token_record import STAGES

_REPEATED = CLASS_FIGURES.index("repeated_frames")
_OVERHEAD = STAGE + len(STAGES) - 1


def tell(
    fleet: Fleet, books: Books, device: int, outcome: int, now_ns: int, busy_ns: int, rounds: int
) -> None:
    """Write down the token that a device has, its stages standing in the scratch."""
    narrow, wide, stages = books.narrow, books.wide, books.engine
    position, repeats = int(narrow[device, col.POSITION]), int(narrow[device, col.REPEATS])
    cut_stages(books.engine, now_ns - wide[device, col.SINCE if position else col.ARRIVAL])
    if repeats and narrow[device, col.SOLO] == 0:
        stages[QUEUE] += stages[_OVERHEAD]
        stages[_OVERHEAD] = 0
    if counts(fleet.ends, wide[device, col.ARRIVAL], now_ns):
        books.by_class[int(narrow[device, col.KIND]), _REPEATED] += repeats
    tell_token(fleet, books, device, position, outcome, now_ns, busy_ns, rounds)
    if fleet.every and device % fleet.every == 0:
        at = device // fleet.every * fleet.longest + position
        books.rows[at, col.ROW_REPEATS] = repeats
        book(fleet, books, device)
