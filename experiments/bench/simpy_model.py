"""The reduced model written for SimPy, as anybody would: an oracle for tests, a peer to time.

A device is a process; the cloud is one too, and gathers what has arrived by the instant at which a
batch begins. SimPy orders events of the same instant by priority, so the cloud begins a batch at
the lowest one: after every arrival of that instant. Times are integers, so results are exact.

SimPy is a development dependency; import this module where it is known to be there.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Generator
from typing import Any, TypeAlias

import simpy
from simpy.events import EventPriority

from experiments.bench.reduced import Reduced
from netsim.random import Stream, exponential_at, stream_key

Process: TypeAlias = Generator[Any, Any, None]

_AFTER_ARRIVALS = EventPriority(2)
"""SimPy knows URGENT (0) and NORMAL (1)."""


class _Cloud:
    """Gathers batches: what is ready, up to the largest batch, then a forward and a select."""

    def __init__(self, env: simpy.Environment, model: Reduced) -> None:
        self._env = env
        self._model = model
        self._ready: deque[simpy.Event] = deque()
        self._work: simpy.Event | None = None
        env.process(self._serve())

    def ask(self) -> simpy.Event:
        """Return what happens when the cloud has answered."""
        answered = self._env.event()
        self._ready.append(answered)
        if self._work is not None and not self._work.triggered:
            self._work.succeed()
        return answered

    def _serve(self) -> Process:
        env, model, ready = self._env, self._model, self._ready
        while True:
            if not ready:
                self._work = env.event()
                yield self._work
            yield self._after_arrivals()
            batch = [ready.popleft() for _ in range(min(len(ready), model.max_batch))]
            yield env.timeout(model.forward_ns + model.forward_per_row_ns * len(batch))
            yield env.timeout(model.select_ns)
            for answered in batch:
                answered.succeed()

    def _after_arrivals(self) -> simpy.Event:
        begun = simpy.Event(self._env)
        begun._ok, begun._value = True, None  # noqa: SLF001 - how SimPy's own events are made
        self._env.schedule(begun, priority=_AFTER_ARRIVALS)
        return begun


def simulate(model: Reduced) -> list[list[int]]:
    """Return when each device chose each of its tokens, ns."""
    env = simpy.Environment()
    cloud = _Cloud(env, model)
    chosen_ns: list[list[int]] = [[] for _ in range(model.devices)]
    for device in range(model.devices):
        env.process(_device(env, model, cloud, device, chosen_ns[device]))
    env.run()
    return chosen_ns


def _device(
    env: simpy.Environment, model: Reduced, cloud: _Cloud, device: int, chosen_ns: list[int]
) -> Process:
    up = stream_key(model.seed, Stream.UPLINK_JITTER, device)
    down = stream_key(model.seed, Stream.DOWNLINK_JITTER, device)
    up_ns, down_ns = (
        model.transit_ns(size) for size in (model.frame_bytes_up, model.frame_bytes_down)
    )
    yield env.timeout(model.start_ns(device))
    for token in range(model.tokens):
        edge_done_ns = env.now + model.edge_ns
        yield env.timeout(up_ns + int(exponential_at(up, token) * model.jitter_ns))
        yield cloud.ask()
        yield env.timeout(down_ns + int(exponential_at(down, token) * model.jitter_ns))
        yield env.timeout(model.decode_ns)
        if env.now < edge_done_ns:
            yield env.timeout(edge_done_ns - env.now)
        yield env.timeout(model.steer_ns)
        chosen_ns.append(int(env.now))
