"""Each cell, measured over a real path and predicted by the model."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean, median

from costeer.errors import ConfigError
from experiments.validation.design import Cell, State
from experiments.validation.hosts import PathSpec, TwoHosts
from experiments.validation.peer import Job, Timed
from experiments.validation.prediction import predict, predict_connect

_NS = 1e9
_MS = 1e6
_CELL_S = 5.0
_LEAST_REPEATS, _MOST_REPEATS = 4, 15
_LOSSY_REPEATS = 150
_LOSSY_PREDICTED = 4000
_ROOT = Path(__file__).parents[2]


@dataclass(frozen=True, slots=True)
class Figure:
    """One quantity, measured and predicted, in milliseconds.

    Args:
        measured_ms: median of the exchanges (their mean where clients share the path).
        low_ms: smallest, or first quartile under loss.
        high_ms: largest, or third quartile under loss.
        predicted_ms: by the model.
        allowed_ms: how far the two may lie apart; None where nothing was set.
    """

    measured_ms: float
    low_ms: float
    high_ms: float
    predicted_ms: float
    allowed_ms: float | None

    @property
    def error(self) -> float:
        """Of the prediction, as a part of what was measured."""
        return self.predicted_ms / self.measured_ms - 1

    @property
    def within(self) -> bool | None:
        """Whether the prediction is as near as it should be; None where nothing was set."""
        if self.allowed_ms is None:
            return None
        return abs(self.predicted_ms - self.measured_ms) <= self.allowed_ms


@dataclass(frozen=True, slots=True)
class Outcome:
    """A cell's figures.

    Args:
        cell: what was tried.
        exchanges: how many counted.
        typical: median (or mean) of an exchange.
        p95: under loss, the 95th percentile; None elsewhere.
    """

    cell: Cell
    exchanges: int
    typical: Figure
    p95: Figure | None = None


@dataclass(frozen=True, slots=True)
class Validation:
    """Everything that was measured.

    Args:
        outcomes: of the cells.
        connects: set-up of a connection, by round trip in milliseconds.
        own_ms: an exchange of 100 B over a path that adds nothing: the machine's own part.
    """

    outcomes: list[Outcome]
    connects: dict[int, Figure]
    own_ms: float


def repeats_of(cell: Cell) -> int:
    """How often a cell is tried: as often as fits into some seconds."""
    if cell.loss:
        return _LOSSY_REPEATS
    once = predict(cell.path, cell.job(1))
    job = cell.job(1)
    each_s = fmean(once) / _NS * (1 + job.warmups) + job.idle_s + (job.settle_s if job.fresh else 0)
    return max(_LEAST_REPEATS, min(_MOST_REPEATS, int(_CELL_S / each_s)))


def validate(net: TwoHosts, cells: Sequence[Cell], tell: Callable[[str], None]) -> Validation:
    """Measure cells and predict them.

    Args:
        net: two hosts; what lies between them is changed.
        cells: in the order in which they are tried.
        tell: told of each cell when it is done.

    Raises:
        ConfigError: a process of the harness died.
    """
    with _talking(net) as carry_out:
        net.lay(PathSpec())
        own = carry_out(Job(100, repeats=200, lead=20))
        outcomes = []
        connects: dict[int, list[int]] = {}
        for cell in cells:
            net.lay(cell.path)
            job = cell.job(repeats_of(cell))
            timed = carry_out(job)
            outcomes.append(_outcome(cell, job, timed))
            if not cell.loss:
                connects.setdefault(cell.rtt_ms, []).extend(timed.connect_ns)
            tell(f"{len(outcomes)}/{len(cells)} {_told(outcomes[-1])}")
    trips = {trip: _connect(trip, taken_ns) for trip, taken_ns in sorted(connects.items())}
    return Validation(outcomes, trips, median(own.exchange_ns) / _MS)


def _told(outcome: Outcome) -> str:
    cell, typical = outcome.cell, outcome.typical
    shared = f", {cell.clients} clients" if cell.clients > 1 else ""
    lost = f", {cell.loss:.0%} lost" if cell.loss else ""
    return (
        f"{cell.answer_bytes:,} B {cell.state}, {cell.rate_mbps} Mbit/s, {cell.rtt_ms} ms"
        f"{shared}{lost}: {typical.measured_ms:.1f} ms, predicted {typical.predicted_ms:.1f}"
        f" ({typical.error:+.1%})"
    )


@contextmanager
def _talking(net: TwoHosts) -> Iterator[Callable[[Job], Timed]]:
    """Start both ends; the value has the client carry out a job."""
    program = [sys.executable, "-m", "experiments.validation.peer"]
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    def start(command: list[str]) -> subprocess.Popen[str]:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
            start_new_session=True,
        )

    cloud, edge = net.cloud, net.edge
    with start(cloud.command([*program, "server", cloud.address])) as server:
        try:
            port = _line(server).strip()
            with start(edge.command([*program, "client", cloud.address, port])) as client:

                def carry_out(job: Job) -> Timed:
                    if client.stdin is None:
                        raise ConfigError("the client of the harness has no input")
                    client.stdin.write(json.dumps(asdict(job)) + "\n")
                    client.stdin.flush()
                    return Timed(**json.loads(_line(client)))

                try:
                    yield carry_out
                finally:
                    client.kill()
        finally:
            server.kill()


def _line(process: subprocess.Popen[str]) -> str:
    line = process.stdout.readline() if process.stdout is not None else ""
    if not line:
        raise ConfigError("a process of the harness died; its complaint stands above")
    return line


def _outcome(cell: Cell, job: Job, timed: Timed) -> Outcome:
    measured = sorted(one / _MS for one in timed.exchange_ns)
    if cell.loss:
        many = cell.job(_LOSSY_PREDICTED)
        expected = sorted(one / _MS for one in predict(cell.path, many))
        quarters = _share(measured, 0.25), _share(measured, 0.75)
        typical = Figure(median(measured), *quarters, median(expected), None)
        p95 = Figure(_share(measured, 0.95), *quarters, _share(expected, 0.95), None)
        return Outcome(cell, len(measured), typical, p95)
    average = fmean if cell.clients > 1 else median
    typical_ms = average(measured)
    predicted_ms = average(predict(cell.path, job)) / _MS
    allowed_ms = _allowed_ms(cell, typical_ms)
    figure = Figure(typical_ms, measured[0], measured[-1], predicted_ms, allowed_ms)
    return Outcome(cell, len(measured), figure)


def _allowed_ms(cell: Cell, measured_ms: float) -> float:
    """Sharing 3 %; warm 2 % or 0.5 ms; new and idle 5 % or 1 ms."""
    if cell.clients > 1:
        return 0.03 * measured_ms
    if cell.state is State.WARM:
        return max(0.02 * measured_ms, 0.5)
    return max(0.05 * measured_ms, 1.0)


def _connect(rtt_ms: int, taken_ns: Sequence[int]) -> Figure:
    taken = sorted(one / _MS for one in taken_ns)
    predicted_ms = predict_connect(PathSpec(0, rtt_ms * int(_MS) // 2)) / _MS
    return Figure(median(taken), taken[0], taken[-1], predicted_ms, max(0.05 * median(taken), 1.0))


def _share(ordered: Sequence[float], share: float) -> float:
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]
