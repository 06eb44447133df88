"""A rate that changes with time: piecewise constant, in a loop.

Whoever records a link's rate gets samples; between two of them the rate is taken as constant. The
loop is as long as the recording, and every device may begin elsewhere in it. What a link does with
it is in netsim/line.py; where traces are read from text, in netsim/trace_text.py.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt

from netsim.errors import NetsimError
from netsim.line import STRETCH_NANO_BITS, TracedLine, last_at_most, work_between

MAX_BPS = 100_000_000_000
"""100 Gbit/s: more is taken for a wrong unit."""
MAX_WAIT_NS = 60_000_000_000
"""How long a message waits at most for a line that carries nothing, unless told otherwise."""

_MOST_MICRO_BITS = 4_000_000_000_000_000_000
_Int64s = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class RateTrace:
    """One direction's rate over time; made by `make_trace`, which checks it."""

    name: str
    """What messages call it: the file's name."""
    bounds_us: tuple[int, ...] = field(repr=False)
    """Beginnings of the stretches of constant rate, microseconds, and the end of the loop."""
    carried: tuple[int, ...] = field(repr=False)
    """What has been carried at each bound, microbits."""
    rates_bps: tuple[int, ...] = field(repr=False)
    """The rate of each stretch."""
    offset_ns: int = 0
    """The place in the loop at which time 0 lies."""
    max_wait_ns: int = MAX_WAIT_NS
    """How long a message waits at most where the rate is 0."""

    @property
    def line(self) -> TracedLine:
        """What the rules of netsim/line.py take."""
        return self.bounds_us, self.carried, self.rates_bps, self.offset_ns

    @property
    def arrays(self) -> tuple[_Int64s, _Int64s, _Int64s, int]:
        """`line` for compiled code."""
        bounds_us, carried, rates = (
            np.array(each, np.int64) for each in (self.bounds_us, self.carried, self.rates_bps)
        )
        return bounds_us, carried, rates, self.offset_ns

    @property
    def period_ns(self) -> int:
        """Length of the loop."""
        return self.bounds_us[-1] * 1000

    @property
    def mean_bps(self) -> int:
        """Mean rate over the loop, rounded; at least 1."""
        return max((self.carried[-1] + self.bounds_us[-1] // 2) // self.bounds_us[-1], 1)

    def starting_at(self, offset_ns: int) -> "RateTrace":
        """The same loop, begun elsewhere."""
        return replace(self, offset_ns=offset_ns % self.period_ns)

    def waiting_at_most(self, max_wait_ns: int) -> "RateTrace":
        """The same loop with another limit to waiting."""
        return replace(self, max_wait_ns=max_wait_ns)

    def resampled_bps(self, step_ns: int) -> list[int]:
        """Mean rate over each whole step of the loop, from the loop's beginning; at least one."""
        steps = max(self.period_ns // step_ns, 1)
        line = self.starting_at(0).line
        return [
            work_between(step * step_ns, (step + 1) * step_ns, line) * 1_000_000_000 // step_ns
            for step in range(steps)
        ]

    def outage_ns(self, start_ns: int, end_ns: int) -> int | None:
        """When, between two times, a stretch without rate began that lasts beyond `max_wait_ns`.

        None where there is none. What lies before `start_ns` does not count.
        """
        if end_ns - start_ns <= self.max_wait_ns or self.period_ns <= self.max_wait_ns:
            return None
        end_ns = min(end_ns, start_ns + 2 * self.period_ns)  # nothing new comes after that
        began_ns, at_ns = start_ns, start_ns
        while at_ns < end_ns:
            in_loop_ns = (at_ns + self.offset_ns) % self.period_ns
            index = last_at_most(self.bounds_us, in_loop_ns // 1000, len(self.rates_bps))
            at_ns += self.bounds_us[index + 1] * 1000 - in_loop_ns
            if self.rates_bps[index]:
                began_ns = at_ns
            elif min(at_ns, end_ns) - began_ns > self.max_wait_ns:
                return began_ns
        return None


def make_trace(name: str, steps: Iterable[tuple[int, int]]) -> RateTrace:
    """A trace from (duration in microseconds, rate in bit/s), in order.

    Stretches of the same rate are joined, those that carry very much are cut.

    Raises:
        NetsimError: a duration that is not positive, a rate out of range, or nothing carried.
    """
    bounds_us, carried, rates = [0], [0], list[int]()

    def add(duration_us: int, rate_bps: int) -> None:
        bounds_us.append(bounds_us[-1] + duration_us)
        carried.append(carried[-1] + duration_us * rate_bps)
        rates.append(rate_bps)

    for duration_us, rate_bps in steps:
        _check_step(f"{name}: at {bounds_us[-1] / 1e6:g} s", duration_us, rate_bps)
        longest_us = max(STRETCH_NANO_BITS // max(rate_bps * 1000, 1), 1)
        left_us = duration_us
        if rates and rates[-1] == rate_bps:
            left_us += bounds_us[-1] - bounds_us[-2]
            del bounds_us[-1], carried[-1], rates[-1]
        while left_us > 0:
            add(min(left_us, longest_us), rate_bps)
            left_us -= longest_us
    if not rates:
        raise NetsimError(f"{name}: no rates in it; a trace has at least one")
    if carried[-1] == 0:
        raise NetsimError(f"{name}: every rate is 0, nothing would ever arrive; give one above 0")
    if carried[-1] > _MOST_MICRO_BITS:
        raise NetsimError(
            f"{name}: carries {carried[-1] / 8e18:g} TB in a loop, 0.5 TB is the most; shorten it"
        )
    return RateTrace(name, tuple(bounds_us), tuple(carried), tuple(rates))


def _check_step(where: str, duration_us: int, rate_bps: int) -> None:
    if duration_us <= 0:
        raise NetsimError(f"{where}: a rate lasts {duration_us} µs; give it time")
    if rate_bps < 0:
        raise NetsimError(f"{where}: {rate_bps} bit/s; a rate is not negative")
    if rate_bps > MAX_BPS:
        raise NetsimError(
            f"{where}: {rate_bps / 1e6:g} Mbit/s is over 100 Gbit/s: was it meant in kbit/s?"
        )
