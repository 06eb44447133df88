"""Which replica serves which device, while replicas fail and come back; see ``actors.homes``."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.layout import Books, Fleet
from actors.fleet.trouble.slots import LAST_FAILURE, TROUBLE_FIGURES

BEGINS, GOES_ON = 1, 2
"""What a device waits for that has no home: to begin its session, or to open it again."""

MOVED, WAITED = range(2)
"""Of what happens: sessions that were opened again, and that had to wait."""


def count_session(books: Books, happening: int, how: int) -> None:
    """Count a session that something happened to."""
    books.trouble[TROUBLE_FIGURES + 2 * happening + how] += 1


def finds_home(books: Books, device: int) -> bool:
    """Have a device's session begin at its home; whether there is one, or it has to wait."""
    narrow = books.narrow
    home = narrow[device, col.HOME]
    if home < 0:
        narrow[device, col.HOMELESS] = BEGINS
        count_session(books, books.trouble[LAST_FAILURE] - 1, WAITED)
        return False
    narrow[device, col.SERVED] = home
    return True


def lose_homes(fleet: Fleet, books: Books) -> None:
    """Let the devices of replicas that stand no more turn to others."""
    narrow, engines = books.narrow, books.engines
    for device in range(fleet.devices):
        home = int(narrow[device, col.HOME])
        if home >= 0 and engines[home, col.STANDS] == 0:
            settle(books, device, stand_in(fleet, books, int(narrow[device, col.OWN_REPLICA])))


def gain_homes(fleet: Fleet, books: Books, replica: int) -> None:
    """Let a replica that stands again have its own devices, and those without a home."""
    narrow = books.narrow
    for device in range(fleet.devices):
        own = int(narrow[device, col.OWN_REPLICA])
        if own == replica:
            settle(books, device, replica)
        elif own >= 0 and narrow[device, col.HOME] < 0:
            settle(books, device, stand_in(fleet, books, own))


def leave_home(books: Books, device: int) -> None:
    """Forget a device."""
    settle(books, device, -1)
    books.narrow[device, col.OWN_REPLICA] = -1


def settle(books: Books, device: int, home: int) -> None:
    """Have a device's next session at a replica; -1 for nowhere."""
    narrow, engines = books.narrow, books.engines
    before = int(narrow[device, col.HOME])
    if before >= 0:
        engines[before, col.HOMES] -= 1
    if home >= 0:
        engines[home, col.HOMES] += 1
    narrow[device, col.HOME] = home


def stand_in(fleet: Fleet, books: Books, own: int) -> int:
    """Return who stands in for a replica; -1 where none is left."""
    regions, weights, engines = fleet.trouble.regions, fleet.trouble.weights, books.engines
    for far in range(2):
        best, least = -1, 0.0
        for replica in range(fleet.trouble.replicas):
            if engines[replica, col.STANDS] and (far or regions[replica] == regions[own]):
                load = (engines[replica, col.HOMES] + 1) / weights[replica]
                if best < 0 or load < least:
                    best, least = replica, load
        if best >= 0:
            return best
    return -1
