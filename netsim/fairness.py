"""Fair shares as plain functions of numbers, for compiled code; netsim/sharing.py is the model.

A flow gets its part of a rate; where all flows cross one hub and each perhaps a leaf beside it,
leaves that are tighter than the hub's share are filled first, and what they leave over raises that
share for the rest.
"""

BITS = 8_000_000_000
"""Work of a byte: bits times 10⁻⁹."""


def share_bps(left_bps: int, flows: int) -> int:
    """What each of so many flows gets of a rate, rounded down but at least 1."""
    return max(left_bps // flows, 1)


def completion_ns(now_ns: int, left: int, rate_bps: int) -> int:
    """When what is left of a message has crossed at this rate, rounded up."""
    return now_ns - (-left // rate_bps) if left > 0 else now_ns
