"""Who goes where before anything runs: shares dealt out in turn, so that any run of them fits.

Plain functions of numbers: for a few devices they are called as they are, for millions as machine
code, with the same result.
"""

from __future__ import annotations

from collections.abc import MutableSequence, Sequence


def furthest_behind(shares: Sequence[float], counts: Sequence[int], number: int) -> int:
    """Return which share has the least of what it is owed of ``number``; the first of equals."""
    best = 0
    most = shares[0] * number - counts[0]
    for index in range(1, len(shares)):
        behind = shares[index] * number - counts[index]
        if behind > most:
            best, most = index, behind
    return best


def deal(
    shares: Sequence[float], counts: MutableSequence[int], chosen: MutableSequence[int]
) -> None:
    """Give every device to the share that is furthest behind so far.

    Args:
        shares: of each, together 1.
        counts: devices of each so far: zeros; changed.
        chosen: which share each device gets; written.
    """
    for device in range(len(chosen)):
        best = furthest_behind(shares, counts, device + 1)
        counts[best] += 1
        chosen[device] = best
