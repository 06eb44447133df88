"""The largest number of devices that still keeps what was asked for: bisection, nothing else.

It takes for granted that a larger fleet is never served better. Near the limit that holds within
noise; repeats over seeds say how much noise there is.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Found:
    """Where a search ended.

    Args:
        devices: the largest fleet seen that keeps it; 0 where not even one device does.
        beyond: the smallest fleet seen that breaks it; None where none does up to the limit.
    """

    devices: int
    beyond: int | None


def largest_fleet(
    keeps: Callable[[int], bool],
    *,
    limit: int,
    first: int,
    stride: float = 2.0,
    tolerance: float = 0.02,
) -> Found:
    """Search between 1 and a limit.

    Args:
        keeps: whether a fleet of so many devices keeps what was asked for.
        limit: the largest fleet that is tried.
        first: where to begin, the nearer the better.
        stride: what the number is multiplied or divided by until the answer lies in between; it
            grows from step to step.
        tolerance: how far apart, relatively, the two ends of the answer may lie.
    """
    at = min(max(first, 1), limit)
    low, high = 0, None
    if keeps(at):
        low = at
        while low < limit:
            at = min(limit, max(low + 1, math.floor(low * stride)))
            if not keeps(at):
                high = at
                break
            low, stride = at, stride * stride
    else:
        high = at
        while high > 1:
            at = max(1, min(high - 1, math.ceil(high / stride)))
            if keeps(at):
                low = at
                break
            high, stride = at, stride * stride
    while high is not None and high - low > max(1, tolerance * low):
        at = min(max(round(math.sqrt(max(low, 1) * high)), low + 1), high - 1)
        if keeps(at):
            low = at
        else:
            high = at
    return Found(low, high)
