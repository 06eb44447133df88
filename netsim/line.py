"""What a bottleneck's line carries by when, at a constant rate or along a trace.

Two rules in terms of *work*: what a message asks of the line. At a constant rate work is time, in
nanoseconds (`carriage.serialise_ns`), and the line is None. Along a trace work is bits, and the
line is a tuple of four: `BOUNDS`, `CARRIED`, `RATES`, `OFFSET`. So everything that knows a
bottleneck (`tcp.transfer`) is written once for both.

Exact in integers: bounds are whole microseconds and rates whole bits per second, so what has been
carried at a bound is a whole number of microbits. Plain functions of numbers, for Python (with
tuples) and for `netsim.compiled` (with arrays).
"""

from collections.abc import Sequence
from typing import TypeAlias

TracedLine: TypeAlias = tuple[Sequence[int], Sequence[int], Sequence[int], int]
"""Bounds of the stretches of one loop, microseconds, from 0 (one more than there are rates); what
has been carried at each, microbits; the rate of each stretch, bit/s; the place in the loop, in
nanoseconds, at which time 0 lies. A stretch carries at most `STRETCH_NANO_BITS`."""
Line: TypeAlias = TracedLine | None
"""None for a constant rate."""

STRETCH_NANO_BITS = 4_000_000_000_000_000_000
"""The most that one stretch may carry, bits · 10⁻⁹, so that sums within it fit 64 bits."""


def passed_ns(start_ns: int, work: int, line: Line) -> int:
    """When `work` that the line begins at `start_ns` has passed; O(log n) in the trace's length.

    Exact in 64-bit integers up to 0.6 GB and a century. The trace must carry something.
    """
    if line is None:
        return start_ns + work
    if work <= 0:
        return start_ns
    bounds_us, carried, rates, offset_ns = line
    period_ns = bounds_us[len(rates)] * 1000
    at_ns = (start_ns + offset_ns) % period_ns
    index = last_at_most(bounds_us, at_ns // 1000, len(rates))
    # From the stretch's beginning, in bits · 10⁻⁹; `due` is in bits · 10⁻⁶, rounded up.
    nano_bits = (at_ns - bounds_us[index] * 1000) * rates[index] + work * 1_000_000_000
    due = carried[index] + (nano_bits + 999) // 1000
    too_much = (due - carried[index]) * 1000 - nano_bits
    laps = (due - 1) // carried[len(rates)]
    due -= laps * carried[len(rates)]
    index = last_at_most(carried, due - 1, len(rates))
    left = (due - carried[index]) * 1000 - too_much
    in_loop_ns = bounds_us[index] * 1000 + (left + rates[index] - 1) // rates[index]
    return start_ns - at_ns + laps * period_ns + in_loop_ns


def work_between(from_ns: int, to_ns: int, line: Line) -> int:
    """What the line can do between two times: nanoseconds, or bits to within one."""
    if line is None:
        return to_ns - from_ns
    bounds_us, carried, rates, offset_ns = line
    period_ns = bounds_us[len(rates)] * 1000
    from_lap, from_at_ns = divmod(from_ns + offset_ns, period_ns)
    to_lap, to_at_ns = divmod(to_ns + offset_ns, period_ns)
    micro_bits = (
        (to_lap - from_lap) * carried[len(rates)]
        + carried_at(to_at_ns, bounds_us, carried, rates)
        - carried_at(from_at_ns, bounds_us, carried, rates)
    )
    return micro_bits // 1_000_000


def carried_at(
    at_ns: int, bounds_us: Sequence[int], carried: Sequence[int], rates: Sequence[int]
) -> int:
    """What has been carried from the loop's beginning to `at_ns` within it, microbits."""
    index = last_at_most(bounds_us, at_ns // 1000, len(rates))
    return carried[index] + (at_ns - bounds_us[index] * 1000) * rates[index] // 1000


def last_at_most(values: Sequence[int], limit: int, count: int) -> int:
    """Index of the last of the first `count` ascending values that is at most `limit`."""
    low, high = 0, count
    while high - low > 1:
        middle = (low + high) // 2
        if values[middle] <= limit:
            low = middle
        else:
            high = middle
    return low
