"""What a driver sees of itself and of the cloud while an arm runs, for whoever watches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any

from costeer.cloud import CloudEngine, EngineLimits

_NOTHING: dict[str, Any] = {"batches": ()}
"""Sums begin here, or at 0."""


@dataclass(frozen=True, slots=True)
class CloudLook:
    """The cloud's engine at one instant.

    Args:
        running: sessions that hold KV memory.
        waiting: sessions that wait for some.
        kv_tokens: reserved.
        kv_capacity: tokens that can be reserved.
        batches: rows of each forward since the look before.
        egress_busy_ns: how long the egress was sending, from the arm's start.
        dropped_frames: see ``EngineCounters``; these from the arm's start as well.
        refused_sessions: likewise.
        timed_out_sessions: likewise.
        preempted_sessions: likewise.
    """

    running: int
    waiting: int
    kv_tokens: int
    kv_capacity: int
    batches: tuple[int, ...]
    egress_busy_ns: int
    dropped_frames: int
    refused_sessions: int
    timed_out_sessions: int
    preempted_sessions: int


@dataclass(frozen=True, slots=True)
class Sight:
    """What a driver sees.

    Args:
        now_ns: its clock.
        cloud: the engine; None for methods without one.
        lateness_ns: live only: how late frames were handed over since the sight before.
    """

    now_ns: int = 0
    cloud: CloudLook | None = None
    lateness_ns: tuple[int, ...] = ()


def together(looks: Sequence[CloudLook]) -> CloudLook | None:
    """Return how several engines stand, all together; None for none."""
    if not looks:
        return None
    total = {
        item.name: sum((getattr(each, item.name) for each in looks), _NOTHING.get(item.name, 0))
        for item in fields(CloudLook)
    }
    return CloudLook(**total)


class Lookout:
    """Looks at one engine, and remembers what it has told of."""

    def __init__(self, engine: CloudEngine, limits: EngineLimits) -> None:
        """Take an engine that has done nothing yet."""
        self._engine = engine
        self._limits = limits
        self._batches = 0

    def turn_to(self, engine: CloudEngine) -> None:
        """Look at another engine that goes on with the counters of the one before."""
        self._engine = engine

    def look(self, egress_busy_ns: int) -> CloudLook:
        """Return how the engine stands; only counts are read, so any thread may ask."""
        engine, counters = self._engine, self._engine.counters
        batches = tuple(counters.batches[self._batches :])
        self._batches += len(batches)
        waiting = engine.waiting_sessions
        return CloudLook(
            running=engine.open_sessions - waiting,
            waiting=waiting,
            kv_tokens=engine.reserved_tokens,
            kv_capacity=self._limits.kv_tokens,
            batches=batches,
            egress_busy_ns=egress_busy_ns,
            dropped_frames=counters.dropped_frames,
            refused_sessions=counters.refused_sessions,
            timed_out_sessions=counters.timed_out_sessions,
            preempted_sessions=counters.preempted_sessions,
        )
