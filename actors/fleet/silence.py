"""Devices that are silent for too long when a compiled cell ends, their next frames still to come.

Elsewhere it is found when the frame is sent, or when it comes.
"""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet import texts
from actors.fleet.array_types import Array
from actors.fleet.columns import UP
from actors.fleet.layout import AIR_FREE, COUNTS, HEADS, WAITING, Books, Fleet


def is_silent(fleet: Fleet, books: Books, end_ns: int) -> bool:
    """Whether the cloud would have dropped a device by the end for saying nothing.

    Args:
        fleet: fixed figures, of a cell in which nothing fails.
        books: changing ones.
        end_ns: the cell's last instant.
    """
    since_ns = end_ns - fleet.idle_timeout_ns
    if since_ns < 0:
        return False
    return _drafts_nothing(fleet, books, since_ns) or _is_in_air(fleet, books, since_ns)


def _drafts_nothing(fleet: Fleet, books: Books, since_ns: int) -> bool:
    """Whether a device that drafts was last heard or answered before an instant."""
    if fleet.window == 0:
        return False
    of: Array = np.asarray(books.texts).reshape(fleet.devices, -1)
    silent_D: Array = (of[:, texts.PROMPT] > 0) & (of[:, texts.STATUS] == texts.AWAY)
    silent_D &= of[:, texts.SEEN] <= since_ns
    waiting = books.engine[HEADS + WAITING]
    for _ in range(books.engine[COUNTS + WAITING]):
        silent_D[waiting] = False
        waiting = int(books.narrow[waiting, col.NEXT])
    return bool(silent_D.any())


def _is_in_air(fleet: Fleet, books: Books, since_ns: int) -> bool:
    """Whether a frame is still on its way that answers what was sent before an instant."""
    if fleet.shared == 0 or fleet.window:
        return False
    air: Array = np.asarray(books.air)
    late_R: Array = (air[:, col.AIR_WAY] == UP) & (air[:, col.AIR_HEARD] <= since_ns)
    free = books.engine[AIR_FREE]
    while free:
        late_R[free - 1] = False
        free = books.air[free - 1, col.AIR_BEHIND]
    return bool(late_R.any())
