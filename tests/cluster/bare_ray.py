"""What Ray itself keeps of each actor that died, and of each call: actors without any of our code.

``python -m tests.cluster.bare_ray``. A driver and an actor that is never killed (the survivor) call
another one, which is killed and made again, all of one class. Prints as JSON how much the memory of
each process grows by a call, while nobody dies, and by a death.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from contextlib import suppress
from typing import Any, cast

import ray
from ray.exceptions import RayActorError

from tests.cluster.chaos import Nodes
from tests.cluster.processes import Life, json_lines, servers

_WARM_CALLS, _CALLS, _CALLS_A_LOOK = 4_000, 6_000, 200
_WARM_KILLS, _KILLS = 10, 40
_PAYLOAD = bytes(500)


class Actor:
    """Answers, asks another one, and can be found."""

    def answer(self, asked: bytes) -> bytes:
        return asked

    def ask(self, other: Any, calls: int) -> None:
        for _ in range(calls):
            ray.get(other.answer.remote(_PAYLOAD))

    def pid(self) -> int:
        return os.getpid()


class Bare:
    """A driver, a survivor, and whoever is killed next."""

    def __init__(self, address: str) -> None:
        ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR)
        make: Any = cast("Any", ray.remote)(num_cpus=1, max_concurrency=4, enable_task_events=False)
        self._make = make(Actor).options(scheduling_strategy="SPREAD").remote
        self._survivor, self._mortal = self._make(), self._make()
        self._survivor_pid = int(ray.get(self._survivor.pid.remote()))

    def call(self, calls: int) -> None:
        """Half of them by the driver, half by the survivor."""
        asked = self._survivor.ask.remote(self._mortal, calls // 2)
        for _ in range(calls // 2):
            ray.get(self._mortal.answer.remote(_PAYLOAD))
        ray.get(asked)

    def kill(self) -> None:
        """Kill it, notice that, and make another."""
        os.kill(int(ray.get(self._mortal.pid.remote())), signal.SIGKILL)
        with suppress(RayActorError):
            self.call(2)
        ray.kill(self._mortal)
        self._mortal = self._make()
        self.call(20)

    def look(self, lives: dict[str, Life], at: int) -> None:
        pids = {"driver": os.getpid(), "survivor": self._survivor_pid}
        pids |= {f"{name} {pid}": pid for pid, name in servers(os.getpid()).items()}
        for name, pid in pids.items():
            lives.setdefault(name, Life()).look(pid, at)


def main() -> int:
    nodes = Nodes()
    try:
        with json_lines() as tell:
            bare = Bare(nodes.address)
            by_call, by_kill = dict[str, Life](), dict[str, Life]()
            bare.call(_WARM_CALLS)
            for calls in range(0, _CALLS, _CALLS_A_LOOK):
                bare.look(by_call, calls)
                bare.call(_CALLS_A_LOOK)
            for kills in range(_WARM_KILLS + _KILLS):
                if kills >= _WARM_KILLS:
                    bare.look(by_kill, kills)
                bare.kill()
            for kind in ("driver", "survivor", "gcs_server", "raylet"):
                tell(
                    process=kind,
                    kib_per_thousand_calls=_mean_slope(by_call, kind, 1000),
                    kib_per_death=_mean_slope(by_kill, kind, 1),
                )
        ray.shutdown()
    finally:
        nodes.shutdown()
    return 0


def _mean_slope(lives: dict[str, Life], kind: str, unit: float) -> float:
    slopes = [life.slope_kib() or 0.0 for name, life in lives.items() if name.startswith(kind)]
    return round(unit * sum(slopes) / len(slopes), 1)


if __name__ == "__main__":
    sys.exit(main())
