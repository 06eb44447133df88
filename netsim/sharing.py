"""Bottlenecks that several devices share: a radio cell, an access line, the cloud's egress.

Two disciplines. FIFO: messages leave one after the other (`link.Egress`). PS, processor sharing:
all that are under way share the rate, as flows of TCP and schedulers of radio cells do on average.

`SharedLinks` is the fluid model of PS. A flow is one connection; its messages go one after the
other, and it runs at its max-min fair share of all that its path crosses (Bertsekas and Gallager,
"Data Networks", 6.5.2): the rates of all flows are raised together until something on a flow's path
is full. Whoever joins or leaves changes the others' rates, so a completion is known only when
nothing can come before it: a driver asks `next_event_ns`, advances there, and asks again.

Exact in integers: work is counted in bits times nanoseconds (10⁻⁹ bit), a share is rounded down to
a bit per second. A flow that is alone takes what `carriage.serialise_ns` says, to the nanosecond.
"""

from collections import deque
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from heapq import heappop, heappush
from typing import Generic, TypeVar

from netsim.errors import NetsimError

Message = TypeVar("Message")

_NANO_BITS_PER_BYTE = 8_000_000_000


class Discipline(StrEnum):
    """How those who share something are served."""

    FIFO = "fifo"
    """One message after the other, in the order in which they come."""
    PS = "ps"
    """All at the same time, each at its max-min fair share."""


@dataclass(slots=True)
class _Flow(Generic[Message]):
    """A connection that has something to send."""

    path: tuple[int, ...]
    left: int
    """Of the message at the front, bits times 10⁻⁹."""
    messages: deque[tuple[int, Message]] = field(default_factory=deque)
    """Bytes and what is handed back, the one at the front included."""
    rate_bps: int = 0


class SharedLinks(Generic[Message]):
    """Links shared by flows. Time only moves forward: by `add` and `advance`."""

    __slots__ = ("_capacity_bps", "_coming", "_done", "_flows", "_order", "busy_ns", "now_ns")

    def __init__(self, capacity_bps: Sequence[int]) -> None:
        """Idle links of these rates, bit/s; a path names them by their index.

        Raises NetsimError for a rate that is not positive: leave an unlimited link out of paths.
        """
        for index, rate_bps in enumerate(capacity_bps):
            if rate_bps <= 0:
                raise NetsimError(
                    f"shared link {index}: {rate_bps} bit/s; a rate must be positive, and a link "
                    "without limit is left out of paths"
                )
        self._capacity_bps = tuple(capacity_bps)
        self._flows: dict[Hashable, _Flow[Message]] = {}
        self._coming: list[tuple[int, int, Hashable, tuple[int, ...], int, Message]] = []
        self._done: list[tuple[int, Message]] = []
        self._order = 0
        self.now_ns = 0
        self.busy_ns = [0] * len(self._capacity_bps)
        """How long each link had something to send."""

    def add(
        self, at_ns: int, flow: Hashable, path: tuple[int, ...], wire_bytes: int, message: Message
    ) -> None:
        """Hand over a message at `at_ns`, which may lie ahead.

        Args:
            at_ns: when it reaches the first shared link.
            flow: its connection; messages of one go one after the other, over one path.
            path: indices of the links that it crosses; without any it is there at once.
            wire_bytes: its size.
            message: what `advance` gives back.

        Raises NetsimError if it lies in the past.
        """
        if at_ns < self.now_ns:
            raise NetsimError(f"shared links: a message at {at_ns} ns, before now, {self.now_ns}")
        heappush(self._coming, (at_ns, self._order, flow, path, wire_bytes, message))
        self._order += 1

    def next_event_ns(self) -> int | None:
        """When something begins or ends next, unless more is added; None if nothing is left."""
        if not (self._flows or self._coming):
            return None
        times = [self._completion_ns(flow) for flow in self._flows.values()]
        if self._coming:
            times.append(self._coming[0][0])
        return min(times)

    def advance(self, now_ns: int) -> list[tuple[int, Message]]:
        """Move on to `now_ns`; return (time_ns, message) of what has ended by then, in order."""
        while (next_ns := self.next_event_ns()) is not None and next_ns <= now_ns:
            self._progress(next_ns)
            self._end_and_begin()
            self._share()
        self._progress(now_ns)
        done, self._done = self._done, []
        return done

    def _completion_ns(self, flow: _Flow[Message]) -> int:
        return self.now_ns - (-flow.left // flow.rate_bps) if flow.left > 0 else self.now_ns

    def _progress(self, to_ns: int) -> None:
        elapsed_ns = to_ns - self.now_ns
        crossed: set[int] = set()
        for flow in self._flows.values():
            flow.left -= flow.rate_bps * elapsed_ns
            crossed.update(flow.path)
        for link in crossed:
            self.busy_ns[link] += elapsed_ns
        self.now_ns = to_ns

    def _end_and_begin(self) -> None:
        """End what has been sent, and begin what comes now or was behind it."""
        for name in [name for name, flow in self._flows.items() if flow.left <= 0]:
            flow = self._flows[name]
            while flow.left <= 0:
                _, message = flow.messages.popleft()
                self._done.append((self.now_ns, message))
                if not flow.messages:
                    del self._flows[name]
                    break
                flow.left = flow.messages[0][0] * _NANO_BITS_PER_BYTE
        while self._coming and self._coming[0][0] <= self.now_ns:
            _, _, name, path, wire_bytes, message = heappop(self._coming)
            known = self._flows.get(name)
            if known is not None:
                known.messages.append((wire_bytes, message))
            elif path and wire_bytes:
                begun = _Flow[Message](path, wire_bytes * _NANO_BITS_PER_BYTE)
                begun.messages.append((wire_bytes, message))
                self._flows[name] = begun
            else:
                self._done.append((self.now_ns, message))

    def _share(self) -> None:
        """Give every flow its max-min fair rate: fill the links, the tightest first."""
        paths = {name: flow.path for name, flow in self._flows.items()}
        for name, rate_bps in max_min_rates(paths, self._capacity_bps).items():
            self._flows[name].rate_bps = rate_bps


def max_min_rates(
    paths: dict[Hashable, tuple[int, ...]], capacity_bps: Sequence[int]
) -> dict[Hashable, int]:
    """Max-min fair rate of each flow, bit/s, rounded down but at least 1.

    Args:
        paths: indices of the links that each flow crosses; at least one.
        capacity_bps: rate of each link.
    """
    crossing: dict[int, set[Hashable]] = {}
    for name, path in paths.items():
        for link in path:
            crossing.setdefault(link, set()).add(name)
    left_bps = {link: capacity_bps[link] for link in crossing}
    rates: dict[Hashable, int] = {}
    while crossing:
        tightest = min(crossing, key=lambda link: (left_bps[link] // len(crossing[link]), link))
        rate_bps = max(left_bps[tightest] // len(crossing[tightest]), 1)
        for name in crossing.pop(tightest):
            rates[name] = rate_bps
            for link in paths[name]:
                if link != tightest:
                    crossing[link].discard(name)
                    left_bps[link] = max(left_bps[link] - rate_bps, 0)
        crossing = {link: flows for link, flows in crossing.items() if flows}
    return rates
