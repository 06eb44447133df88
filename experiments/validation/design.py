"""What is tried: a fractional design over sizes, states of a connection, and paths.

Factors: the answer's size, the connection's state, rate, round trip, clients, loss. A full design
would take hours; every third combination by a Latin square (the sum of the factors' levels modulo
3) keeps each level with each other one. Sharing and loss are blocks of their own.

The path of 20 Mbit/s and 40 ms is the one that was at hand while the model was built; its cells are
marked and judge nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from experiments.validation.hosts import PathSpec
from experiments.validation.peer import Job

_MS = 1_000_000
_MBPS = 1_000_000


class State(StrEnum):
    """What a connection has done before the exchange that is timed."""

    NEW = "new"
    WARM = "warm"
    IDLE_SHORT = "idle 0.3 s"
    IDLE_LONG = "idle 1 s"


_IDLE_S = {State.NEW: 0.0, State.WARM: 0.0, State.IDLE_SHORT: 0.3, State.IDLE_LONG: 1.0}
SIZES = (100, 3_000, 30_000, 300_000, 1_000_000)
RATES_MBPS = (5, 20, 100)
ROUND_TRIPS_MS = (10, 40, 150)
_SHARING_CLIENTS = 4
_LOSS = 0.01
_FRACTION = 3
_BUILT_ON = (20, 40)


@dataclass(frozen=True, slots=True)
class Cell:
    """One combination.

    Args:
        answer_bytes: size of an answer; a request has 100 bytes.
        state: of the connection.
        rate_mbps: of the path, both ways.
        rtt_ms: of the empty path.
        clients: connections that exchange at the same time, each in a closed loop.
        loss: of packets, each way.
    """

    answer_bytes: int
    state: State
    rate_mbps: int
    rtt_ms: int
    clients: int = 1
    loss: float = 0.0

    @property
    def judges(self) -> bool:
        """Whether its path is another one than the model was built on."""
        return (self.rate_mbps, self.rtt_ms) != _BUILT_ON

    @property
    def path(self) -> PathSpec:
        """What lies between the hosts."""
        return PathSpec(self.rate_mbps * _MBPS, self.rtt_ms * _MS // 2, loss=self.loss, seed=1)

    def job(self, repeats: int) -> Job:
        """Return what the client is asked to do."""
        idle = self.state in (State.IDLE_SHORT, State.IDLE_LONG)
        return Job(
            self.answer_bytes,
            repeats,
            lead=0 if self.state is State.NEW else 3,
            warmups=2 if idle else 0,
            idle_s=_IDLE_S[self.state],
            fresh=self.state is State.NEW,
            settle_s=self.rtt_ms / 1000 + 0.02,
            clients=self.clients,
        )


def design() -> list[Cell]:
    """All cells, those of one path one after the other."""
    cells = [*_single(), *_shared(), *_lossy()]
    return sorted(cells, key=lambda cell: (cell.loss, cell.clients, cell.rate_mbps, cell.rtt_ms))


def short() -> list[Cell]:
    """A few cells of seconds: whether the harness works here."""
    return [
        Cell(30_000, State.WARM, 20, 10),
        Cell(30_000, State.NEW, 20, 10),
        Cell(30_000, State.WARM, 20, 10, clients=2),
        Cell(3_000, State.WARM, 20, 10, loss=_LOSS),
    ]


def _single() -> Iterator[Cell]:
    for size, answer_bytes in enumerate(SIZES):
        for number, state in enumerate(State):
            for rate, rate_mbps in enumerate(RATES_MBPS):
                for trip, rtt_ms in enumerate(ROUND_TRIPS_MS):
                    if (size + number + rate + trip) % _FRACTION == 0:
                        yield Cell(answer_bytes, state, rate_mbps, rtt_ms)


def _shared() -> Iterator[Cell]:
    for size, answer_bytes in enumerate((30_000, 300_000)):
        for rate, rate_mbps in enumerate(RATES_MBPS):
            for trip, rtt_ms in enumerate(ROUND_TRIPS_MS):
                if (size + rate + trip) % _FRACTION == 0:
                    yield Cell(answer_bytes, State.WARM, rate_mbps, rtt_ms, _SHARING_CLIENTS)


def _lossy() -> Iterator[Cell]:
    for answer_bytes, rate_mbps, rtt_ms in (
        (3_000, 20, 40),
        (30_000, 20, 40),
        (30_000, 100, 10),
        (30_000, 5, 40),
        (300_000, 100, 40),
        (30_000, 20, 150),
    ):
        yield Cell(answer_bytes, State.WARM, rate_mbps, rtt_ms, loss=_LOSS)
