"""What fails in a compiled cell, and what becomes of the sessions; see ``actors.failing``.

What happens concerns many devices at once, but each is an event of the loop: so much room as one of
them needs is there before it begins. Nothing else happens until the last of them is done.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.forwards import extend_by_one
from actors.fleet.gates import begin_gate
from actors.fleet.layout import EVENTS, LANE_REQUEST, NOW, OPEN, PAUSING, Books, Fleet
from actors.fleet.replicas.banks import clear_bank, turn_to
from actors.fleet.replicas.homes import (
    GOES_ON,
    MOVED,
    WAITED,
    count_session,
    finds_home,
    gain_homes,
    lose_homes,
)
from actors.fleet.sessions import outcome_of, session_number, template_of
from actors.fleet.trouble.asking import ask, begin_session, drop_work, leave, read_prompts
from actors.fleet.trouble.slots import (
    LAST_FAILURE,
    NEXT_DEVICE,
    NEXT_HAPPENING,
    give_slot,
    unchain,
)
from actors.fleet.trouble.waiting import wait_for
from costeer.messages import frame_bytes
from costeer.varint import number_bytes

AT_NS, WHAT, WHO = range(3)
RETURNS, FAILS, NOTICED, LEAVES = range(4)
"""Of a happening: when, what, and which replica or device; what comes first at one instant."""


def happens(fleet: Fleet, books: Books) -> bool:
    """Have what fails next do so if nothing comes before, device by device; whether it has."""
    engine, trouble, happenings = books.engine, books.trouble, fleet.trouble.happenings
    at = trouble[NEXT_HAPPENING]
    if at == len(happenings):
        return False
    at_ns = happenings[at, AT_NS]
    if at_ns > fleet.ends[1]:
        return False
    if engine[EVENTS] and books.heap[0, 0] < at_ns:
        return False
    engine[NOW] = at_ns
    if trouble[NEXT_DEVICE] == 0:
        trouble[NEXT_DEVICE] = begin_happening(fleet, books, at)
    if trouble[NEXT_DEVICE] > 2 * fleet.devices or not goes_on(fleet, books, at, at_ns):
        trouble[NEXT_HAPPENING] = at + 1
        trouble[NEXT_DEVICE] = 0
    return True


def begin_happening(fleet: Fleet, books: Books, at: int) -> int:
    """Have replicas fail, be found out or be back; return where devices begin to hear of it.

    They are gone through twice, by numbers from 1: those whose sessions were forgotten, and then
    those who wait for a home.
    """
    engines, happenings = books.engines, fleet.trouble.happenings
    what, who, over = happenings[at, WHAT], happenings[at, WHO], 2 * fleet.devices + 1
    if what == LEAVES:
        leave(fleet, books, who, happenings[at, AT_NS])
        return over
    if what == FAILS:
        fail(fleet, books, who, at)
        return over
    if what == NOTICED:
        if at == 0 or not alike(fleet, at - 1, at):
            notice_all(fleet, books, at)
        # One that is back by now has been noticed.
        return 1 if engines[who, col.UNNOTICED] else over
    forgotten = engines[who, col.UNNOTICED]
    engines[who, col.UNNOTICED] = 0
    engines[who, col.LIFE] += 1
    engines[who, col.STANDS] = 1
    gain_homes(fleet, books, who)
    return 1 if forgotten else fleet.devices + 1


def alike(fleet: Fleet, one: int, other: int) -> bool:
    """Whether two things that happen do so together."""
    happenings = fleet.trouble.happenings
    return (
        happenings[one, AT_NS] == happenings[other, AT_NS]
        and happenings[one, WHAT] == happenings[other, WHAT]
    )


def fail(fleet: Fleet, books: Books, replica: int, at: int) -> None:
    """Have a replica forget every session, and take nothing until it is back."""
    narrow, engines = books.narrow, books.engines
    turn_to(books, replica)
    clear_bank(fleet, books)
    for slot in range(fleet.devices, len(narrow)):
        if narrow[slot, col.SERVED] == replica:
            if narrow[slot, col.OVER] == 0:
                unchain(narrow, slot)
            give_slot(books.trouble, narrow, slot)
    engines[replica, col.LIFE] += 1
    engines[replica, col.UNNOTICED] = at + 1
    books.trouble[LAST_FAILURE] = at + 1


def notice_all(fleet: Fleet, books: Books, first: int) -> None:
    """Have all replicas that are found out in an instant stand no more.

    All at once, so that nobody turns to another of them.
    """
    engines, happenings = books.engines, fleet.trouble.happenings
    at = first
    while at < len(happenings) and alike(fleet, first, at):
        replica = happenings[at, WHO]
        if engines[replica, col.UNNOTICED]:
            engines[replica, col.STANDS] = 0
        at += 1
    lose_homes(fleet, books)


def goes_on(fleet: Fleet, books: Books, at: int, now_ns: int) -> bool:
    """Have the next device hear of what happened that it concerns; whether there was one."""
    narrow, trouble, happenings = books.narrow, books.trouble, fleet.trouble.happenings
    replica, returns = happenings[at, WHO], happenings[at, WHAT] == RETURNS
    told = at if returns else books.engines[replica, col.UNNOTICED] - 1
    devices = fleet.devices
    last = 2 * devices if returns else devices
    while trouble[NEXT_DEVICE] <= last:
        turn = trouble[NEXT_DEVICE]
        trouble[NEXT_DEVICE] = turn + 1
        if turn <= devices:
            if is_served(books, turn - 1, replica):
                turn_away(fleet, books, turn - 1, told, now_ns)
                return True
        else:
            device = turn - devices - 1
            if narrow[device, col.HOMELESS] and narrow[device, col.HOME] >= 0:
                let_go_on(fleet, books, device, told, now_ns)
                return True
    if not returns:
        books.engines[replica, col.UNNOTICED] = 0
    return False


def is_served(books: Books, device: int, replica: int) -> bool:
    """Whether a device has a session at a replica, or had one when that failed."""
    narrow = books.narrow
    return (
        narrow[device, col.SERVED] == replica
        and narrow[device, col.ASKING] > 0
        and narrow[device, col.SOLO] == 0
        and narrow[device, col.HOMELESS] == 0
    )


def turn_away(fleet: Fleet, books: Books, device: int, told: int, now_ns: int) -> None:
    """Open a device's session again at its home, or have it wait for one."""
    narrow = books.narrow
    home = narrow[device, col.HOME]
    if home < 0:
        narrow[device, col.HOMELESS] = GOES_ON
        count_session(books, told, WAITED)
        return
    narrow[device, col.SERVED] = home
    count_session(books, told, MOVED)
    reopen(fleet, books, device, now_ns)


def let_go_on(fleet: Fleet, books: Books, device: int, told: int, now_ns: int) -> None:
    """Let a device that waited for a home begin there, or go on."""
    narrow = books.narrow
    begun = narrow[device, col.HOMELESS] == GOES_ON
    narrow[device, col.HOMELESS] = 0
    if begun:
        turn_away(fleet, books, device, told, now_ns)
    elif finds_home(books, device):
        begin_session(fleet, books, device, now_ns, LANE_REQUEST)


def reopen(fleet: Fleet, books: Books, device: int, now_ns: int) -> None:
    """Open a session again from its tokens so far, in a new epoch."""
    narrow, wide = books.narrow, books.wide
    drop_work(fleet, books, device)
    position = int(narrow[device, col.POSITION])
    narrow[device, col.EPOCH] += 1
    for figure in (col.ROUND, col.REPEATS, col.RECEIVED):
        narrow[device, figure] = 0
    wide[device, col.STEERED] = 0
    wide[device, col.WAITED] = now_ns - wide[device, col.SINCE if position else col.ARRIVAL]
    wide[device, col.FORWARD_BEGAN] = now_ns
    body_bytes = fleet.template[template_of(fleet, books, device), col.OPEN_BYTES]
    body_bytes += number_bytes(position) - number_bytes(0)
    for chosen in range(position):
        outcome = outcome_of(fleet, books, device, chosen)
        body_bytes += number_bytes(int(fleet.outcome[outcome, col.OUTCOME_TOKEN]))
    number = session_number(fleet, books, device)
    size = frame_bytes(number, position, 0, body_bytes, fleet.up_bucket)
    ask(fleet, books, device, now_ns, LANE_REQUEST, OPEN, position, 0, size, 0)
    wait_for(fleet, books, device, now_ns)
    if PAUSING and fleet.pauses:
        # Not all that was chosen had been read.
        read_prompts(fleet, books, device, now_ns, position)
        begin_gate(books, device, now_ns)
        books.gates[device, col.READ_TOKENS] = position
    elif fleet.branches and position:
        # It still has its memory, and runs the last token once more.
        extend_by_one(fleet, books, device, position - 1, now_ns)
    elif fleet.branches:
        read_prompts(fleet, books, device, now_ns, 0)
