"""The order of a simulated run's events within one nanosecond."""

from __future__ import annotations

from collections.abc import Callable
from enum import IntEnum

from netsim.heap import EventKind

Handler = Callable[[int], None]
"""Takes the time of an event."""


class Lane(IntEnum):
    """Kinds of events, in the order of ``EventKind`` with lanes inside a kind."""

    RETURN = EventKind.ARRIVAL
    FAILURE = EventKind.ARRIVAL + 1
    NOTICE = EventKind.ARRIVAL + 2
    DEPARTURE = EventKind.ARRIVAL + 3
    REQUEST = EventKind.ARRIVAL + 4
    FRAME_UP = EventKind.ARRIVAL + 5
    FRAME_DOWN = EventKind.ARRIVAL + 6
    NETWORK = EventKind.ARRIVAL + 7
    CLOUD_DONE = EventKind.COMPUTE_DONE
    FORWARD_DONE = EventKind.COMPUTE_DONE + 1
    DECODE_DONE = EventKind.COMPUTE_DONE + 2
    CHOICE_DONE = EventKind.COMPUTE_DONE + 3
    DRAFT_DONE = EventKind.COMPUTE_DONE + 4
    IDLE_TIMER = EventKind.TIMER
    ANSWER_TIMER = EventKind.TIMER + 1
    STEP_TIMER = EventKind.BATCH_START
