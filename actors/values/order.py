"""In which order a run replays the sessions of a profile; light, as scenarios name it."""

from enum import StrEnum


class ReplayOrder(StrEnum):
    """Which session a device's n-th one replays."""

    DRAWN = "drawn"
    """Session (offset + n) modulo S, with an offset that is drawn for each device."""
    OWN = "own"
    """The n-th session of the measured device of the same number."""
