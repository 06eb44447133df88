"""A device of a compiled cell that drafts, where something may fail: what it hears and waits for.

The rules are those of ``costeer.drafting`` and ``costeer.patience``.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet import texts
from actors.fleet.drafting import decide, keep_rows, refine
from actors.fleet.layout import Books, Fleet
from actors.fleet.texts import pace_of, states_of
from actors.fleet.trouble.waiting import wait_for, wait_no_more
from costeer import device_text as text
from costeer.device_text import awaited_round, is_asked
from costeer.pacing import SIZE as PACE

_SCRATCH = 1
"""A row of ``Books.under_way``, whose others are not used here: the frame that is heard."""


def take_rows(fleet: Fleet, books: Books, device: int, row: int, now_ns: int) -> None:
    """Take a ROWS frame."""
    air, frames, at = books.air, books.under_way, row - 1
    first, end, _ = states_of(fleet.window, device)
    sent_ns, select_ns = air[at, col.AIR_SENT], air[at, col.AIR_SELECT]
    ready_ns, compute_ns = air[at, col.AIR_READY], air[at, col.AIR_COMPUTE]
    frames[_SCRATCH, texts.AT] = air[at, col.AIR_POSITION]
    frames[_SCRATCH, texts.COUNT] = air[at, col.AIR_COUNT]
    frames[_SCRATCH, texts.ROUND] = air[at, col.AIR_ROUND]
    frames[_SCRATCH, texts.VERSION] = air[at, col.AIR_VERSION]
    frames[_SCRATCH, texts.SENT_NS] = sent_ns
    frames[_SCRATCH, texts.UPLINK_NS] = air[at, col.AIR_UPLINK]
    frames[_SCRATCH, texts.QUEUE_NS] = sent_ns - ready_ns - compute_ns - select_ns
    frames[_SCRATCH, texts.COMPUTE_NS] = compute_ns
    frames[_SCRATCH, texts.SELECT_NS] = select_ns
    pace = pace_of(fleet.window, device)
    seen = books.texts[pace : pace + PACE]
    if keep_rows(books.texts[first:end], seen, frames, _SCRATCH, now_ns):
        decide(fleet, books, device, now_ns)
    watch_text(fleet, books, device, now_ns)


def watch_text(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Begin to wait for what a device needs from its cloud now, if that is something else."""
    narrow = books.narrow
    if narrow[device, col.ASKING] == 0:
        return
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    awaited, position = awaited_round(state) + 1, state[text.POSITION]
    same = narrow[device, col.AWAITED_ROUND] == awaited
    if same and (awaited == 0 or narrow[device, col.AWAITED_AT] == position):
        return
    narrow[device, col.AWAITED_ROUND] = awaited
    narrow[device, col.AWAITED_AT] = position
    if awaited:
        wait_for(fleet, books, device, now_ns)
    else:
        wait_no_more(books, device)


def refine_again(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Ask again for all ranks that were asked for and have not come."""
    first, end, _ = states_of(fleet.window, device)
    state = books.texts[first:end]
    for position in range(state[text.POSITION], state[text.POSITION] + state[text.WINDOW]):
        if is_asked(state, position):
            books.narrow[device, col.REPEATS] += 1
            refine(fleet, books, device, position, now_ns)


def works(fleet: Fleet, books: Books, device: int) -> bool:
    """Whether a device's small model is at something."""
    first, _, _ = states_of(fleet.window, device)
    return books.texts[first + text.WORK] != text.REST
