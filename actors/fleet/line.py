"""The line of sessions that hold memory, where they may be evicted: who was admitted before whom.

A row is of a session, not of a device: what a device has closed holds its memory until CLOSE comes,
while the next session may have begun. Rows are told by their number plus 1; 0 is none.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.layout import LINE_FREE, LINE_LEFT, YOUNGEST


def join(engine: Column, line: Table, narrow: Table, device: int, tokens: int) -> None:
    """Put a device's session at the end of the line, holding so many tokens."""
    row = engine[LINE_FREE]
    at = row - 1
    engine[LINE_FREE] = line[at, col.LINE_NEXT]
    engine[LINE_LEFT] -= 1
    line[at, col.LINE_DEVICE] = device
    line[at, col.LINE_SESSION] = narrow[device, col.SESSION]
    line[at, col.LINE_TOKENS] = tokens
    line[at, col.LINE_NEXT] = narrow[device, col.SLOT]
    narrow[device, col.SLOT] = row
    older = engine[YOUNGEST]
    line[at, col.LINE_OLDER] = older
    line[at, col.LINE_YOUNGER] = 0
    if older:
        line[older - 1, col.LINE_YOUNGER] = row
    engine[YOUNGEST] = row


def find(line: Table, narrow: Table, device: int, session: int) -> int:
    """Return the row of a device's session; 0 if it holds no memory."""
    row = int(narrow[device, col.SLOT])
    while row and line[row - 1, col.LINE_SESSION] != session:
        row = line[row - 1, col.LINE_NEXT]
    return row


def leave(engine: Column, line: Table, narrow: Table, device: int, session: int) -> int:
    """Take a device's session out of the line; return how many tokens it held, 0 if none."""
    row = find(line, narrow, device, session)
    if row == 0:
        return 0
    at = row - 1
    older, younger = line[at, col.LINE_OLDER], line[at, col.LINE_YOUNGER]
    if older:
        line[older - 1, col.LINE_YOUNGER] = younger
    if younger:
        line[younger - 1, col.LINE_OLDER] = older
    else:
        engine[YOUNGEST] = older
    first = int(narrow[device, col.SLOT])
    if first == row:
        narrow[device, col.SLOT] = line[at, col.LINE_NEXT]
    else:
        while line[first - 1, col.LINE_NEXT] != row:
            first = line[first - 1, col.LINE_NEXT]
        line[first - 1, col.LINE_NEXT] = line[at, col.LINE_NEXT]
    line[at, col.LINE_NEXT] = engine[LINE_FREE]
    engine[LINE_FREE] = row
    engine[LINE_LEFT] += 1
    return line[at, col.LINE_TOKENS]
