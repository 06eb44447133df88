"""When the users of a cell ask: as arrays, for the devices that are asked about.

Every draw is a pure function of (seed, stream, device, counter), so all arms see the same users at
the same times, on whatever replica and worker.

Legend: D devices, S sessions (a device's follow one another), K steps of a rate.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.fleet.cell import Int64s
from experiments.planning.arrival_trace import ArrivalTrace, dealt_request, read_trace
from experiments.scenario import PoissonArrivals, RatesArrivals, Scenario, TraceArrivals
from netsim.random import Floats, Stream, exponential_array, exponentials, uniforms

_NS = 1e9
_HOUR_S = 3600.0
_BLOCK = 1 << 16


@dataclass(frozen=True, slots=True)
class Timing:
    """When each session comes; see ``CellPlan``."""

    first_session_D1: Int64s
    due_ns_S: Int64s
    opened: bool

    @property
    def count_D(self) -> Int64s:
        """Sessions of each device."""
        return np.diff(self.first_session_D1)

    @property
    def owner_S(self) -> Int64s:
        """Index of each session's device."""
        return np.repeat(np.arange(len(self.first_session_D1) - 1), self.count_D)

    @property
    def request_S(self) -> Int64s:
        """Which of its device's sessions each is, from 0."""
        return np.arange(len(self.due_ns_S)) - np.repeat(self.first_session_D1[:-1], self.count_D)

    def of(self, device: int) -> tuple[int, ...]:
        """Return when one device's sessions come, as plain numbers."""
        mine = slice(self.first_session_D1[device], self.first_session_D1[device + 1])
        return tuple(self.due_ns_S[mine].tolist())


def plan_timing(scenario: Scenario, device_D: Int64s) -> Timing:
    """Return when the users of some devices ask.

    Args:
        scenario: how often.
        device_D: numbers of the devices, ascending.
    """
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return _poisson(arrivals, scenario, device_D)
    if isinstance(arrivals, RatesArrivals):
        return _rates(arrivals, scenario, device_D)
    if isinstance(arrivals, TraceArrivals):
        return _traced(read_trace(arrivals), scenario.fleet.devices, device_D)
    mean_ns = arrivals.think_s * _NS
    count = arrivals.requests_per_device
    # The first pause is within one mean pause of the start.
    draws = [uniforms(scenario.seed, Stream.ARRIVAL, device_D, 0)]
    draws += [exponentials(scenario.seed, Stream.ARRIVAL, device_D, n) for n in range(1, count)]
    due_ns = (np.stack(draws, axis=1) * mean_ns).astype(np.int64)
    first = np.arange(len(device_D) + 1, dtype=np.int64) * count
    return Timing(first, due_ns.ravel(), opened=False)


def _poisson(arrivals: PoissonArrivals, scenario: Scenario, device_D: Int64s) -> Timing:
    """One Poisson process over the fleet, dealt out to the devices in turn."""
    at_s = 0.0
    owners, times = [], []
    for start in range(0, arrivals.requests, _BLOCK):
        index = np.arange(start, min(start + _BLOCK, arrivals.requests))
        gaps_s = exponential_array(scenario.seed, Stream.ARRIVAL, 0, index) / arrivals.rate_per_s
        at = np.cumsum(np.concatenate(([at_s], gaps_s)))[1:]
        at_s = float(at[-1])
        device = index % scenario.fleet.devices
        place = np.searchsorted(device_D, device)
        place[place == len(device_D)] = 0
        mine = device_D[place] == device
        owners.append(place[mine])
        times.append((at[mine] * _NS).astype(np.int64))
    return _collected(len(device_D), owners, times)


def _traced(trace: ArrivalTrace, devices: int, device_D: Int64s) -> Timing:
    """The requests of a trace, dealt out to all devices in turn."""
    count_D = -(-(trace.requests - device_D) // devices)
    owner_S = np.repeat(np.arange(len(device_D)), np.maximum(count_D, 0))
    first = np.zeros(len(device_D) + 1, np.int64)
    np.cumsum(np.maximum(count_D, 0), out=first[1:])
    request_S = np.arange(len(owner_S)) - first[owner_S]
    due_ns_S = trace.at_ns_N[dealt_request(devices, device_D[owner_S], request_S)]
    return Timing(first, due_ns_S, opened=True)


def _rates(arrivals: RatesArrivals, scenario: Scenario, device_D: Int64s) -> Timing:
    """A Poisson process per device, its time stretched so that its rate is the one asked for."""
    until_s = scenario.workload.duration_s or 0.0
    begins_K = np.array([each.from_s for each in arrivals.steps if each.from_s < until_s])
    rate_K = np.array([each.per_hour / _HOUR_S for each in arrivals.steps[: len(begins_K)]])
    ends_K = np.append(begins_K[1:], until_s)
    asked_K1 = np.concatenate(([0.0], np.cumsum(rate_K * (ends_K - begins_K))))
    owners, times = [], []
    active = np.arange(len(device_D))
    sums = np.zeros(len(device_D))
    for counter in range(_most_requests(float(asked_K1[-1]))):
        if not len(active):
            break
        sums = sums + exponentials(scenario.seed, Stream.ARRIVAL, device_D[active], counter)
        begun = sums < asked_K1[-1]
        active, sums = active[begun], sums[begun]
        owners.append(active)
        times.append(_when(sums, begins_K, rate_K, asked_K1))
    return _collected(len(device_D), owners, times)


def _when(sums: Floats, begins_K: Floats, rate_K: Floats, asked_K1: Floats) -> Int64s:
    """Return when a rate that changes has asked so often, ns."""
    step = np.searchsorted(asked_K1[:-1], sums, side="right") - 1
    at_s = begins_K[step] + (sums - asked_K1[step]) / rate_K[step]
    return (at_s * _NS).astype(np.int64)


def _most_requests(mean: float) -> int:
    """Return more requests than any device asks whose mean is this."""
    return int(mean + 12 * mean**0.5 + 64)


def _collected(devices: int, owners: list[Int64s], times: list[Int64s]) -> Timing:
    """Return times in the order of their devices; each device's are in order already."""
    owner = np.concatenate(owners) if owners else np.zeros(0, np.int64)
    due_ns = np.concatenate(times) if times else np.zeros(0, np.int64)
    first = np.zeros(devices + 1, np.int64)
    np.cumsum(np.bincount(owner, minlength=devices), out=first[1:])
    return Timing(first, due_ns[np.argsort(owner, kind="stable")], opened=True)


def most_requests_per_device(scenario: Scenario) -> int:
    """How often any device asks, at most, without asking when."""
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return -(-arrivals.requests // scenario.fleet.devices)
    if isinstance(arrivals, RatesArrivals):
        return _most_requests(mean_requests_per_device(scenario))
    if isinstance(arrivals, TraceArrivals):
        return -(-read_trace(arrivals).requests // scenario.fleet.devices)
    return arrivals.requests_per_device


def mean_requests_per_device(scenario: Scenario) -> float:
    """How often a device asks on average; in a closed loop at most."""
    arrivals = scenario.fleet.arrivals
    if isinstance(arrivals, PoissonArrivals):
        return arrivals.requests / scenario.fleet.devices
    if isinstance(arrivals, TraceArrivals):
        return read_trace(arrivals).requests / scenario.fleet.devices
    if not isinstance(arrivals, RatesArrivals):
        return float(arrivals.requests_per_device)
    until_s = scenario.workload.duration_s or 0.0
    total = 0.0
    for index, each in enumerate(arrivals.steps):
        following = arrivals.steps[index + 1 : index + 2]
        end_s = min(following[0].from_s, until_s) if following else until_s
        total += each.per_hour / _HOUR_S * max(0.0, end_s - each.from_s)
    return total
