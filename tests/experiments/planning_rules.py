"""The rules of planning, one device and one draw at a time: what the arrays have to come to."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.scenario import ClosedArrivals, PoissonArrivals
from netsim.random import Stream, exponential, uniform


def classes_in_turn(shares: Sequence[float], devices: int) -> list[int]:
    counts = [0] * len(shares)
    chosen = []
    for device in range(devices):
        behind = [share * (device + 1) - count for share, count in zip(shares, counts, strict=True)]
        best = max(range(len(shares)), key=lambda index: (behind[index], -index))
        counts[best] += 1
        chosen.append(best)
    return chosen


def pauses_ns(arrivals: ClosedArrivals, seed: int, device: int) -> tuple[int, ...]:
    first = uniform(seed, Stream.ARRIVAL, device, 0)
    later = [
        exponential(seed, Stream.ARRIVAL, device, one)
        for one in range(1, arrivals.requests_per_device)
    ]
    return tuple(int(draw * (arrivals.think_s * 1e9)) for draw in (first, *later))


def poisson_ns(arrivals: PoissonArrivals, seed: int, devices: int) -> list[tuple[int, ...]]:
    per_device: list[list[int]] = [[] for _ in range(devices)]
    at_s = 0.0
    for index in range(arrivals.requests):
        at_s += exponential(seed, Stream.ARRIVAL, 0, index) / arrivals.rate_per_s
        per_device[index % devices].append(int(at_s * 1e9))
    return [tuple(mine) for mine in per_device]
