"""Whiles in which a compiled cell's cloud does nothing; the rules are ``actors.stalls``'s."""

from __future__ import annotations

from actors.fleet.array_types import Table

FROM, UNTIL, LOSES, WHOSE = range(4)
"""Of a stall: when it begins, when it is over, 1 if frames that come meanwhile are lost, and the
replica that stalls."""


def stall_at(stalls: Table, replica: int, now_ns: int) -> int:
    """Return a replica's stall that is under way, the one that lasts longest; -1 for none."""
    found = -1
    for index in range(len(stalls)):
        if (
            stalls[index, FROM] <= now_ns < stalls[index, UNTIL]
            and stalls[index, WHOSE] == replica
            and (found < 0 or stalls[index, UNTIL] > stalls[found, UNTIL])
        ):
            found = index
    return found


def loses(stalls: Table, replica: int, now_ns: int) -> bool:
    """Whether a frame that comes to a replica at an instant is lost."""
    found = stall_at(stalls, replica, now_ns)
    return found >= 0 and stalls[found, LOSES] > 0


def gate_ns(stalls: Table, replica: int, now_ns: int) -> int:
    """Return when something happens at a replica that is due at an instant."""
    found = stall_at(stalls, replica, now_ns)
    while found >= 0:
        now_ns = stalls[found, UNTIL]
        found = stall_at(stalls, replica, now_ns)
    return now_ns
