"""Independent cells of work as Ray tasks: a function and its arguments out, its value back.

Rules
-----
* A cell is one task on one CPU, with one thread in every library: cells run side by side, and what
  one computes must not depend on how many others there are.
* A cell is never retried by Ray: what it raises is its result. A cell whose process died is run
  again, alone, as often as the caller says; the others go on.
* Cells begin in their order; results come in the order in which they end.
* When the caller stops asking, what still runs is cancelled and the cluster is left. Cells that are
  watched are asked to stop before that, and have ``_HAND_OVER_S`` to hand over what they have.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any, TypeVar, cast

import ray
from ray.exceptions import RayError, RayTaskError

from actors.port import HostDiedError, never
from cluster.board import Board, Stopped, Told, run_watched
from cluster.ray_port import RayPort

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

ONE_THREAD = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "NUMBA_NUM_THREADS": "1",
}
"""Environment of a cell's process."""

_LOOK_EVERY_S = 0.5
"""How long Ctrl-C waits at most."""
_HAND_OVER_S = 15.0
"""How long cells that are to stop may take; one that has not begun to simulate takes longer."""


def map_cells(
    function: Callable[[_Given], _Made],
    cells: Sequence[_Given],
    *,
    address: str,
    jobs: int | None = None,
) -> Iterator[tuple[int, _Made | Exception]]:
    """Carry out cells on a cluster; yield (index, value or what was raised) as they end.

    Args:
        function: importable on every node.
        cells: its arguments, picklable.
        address: ``local``, ``auto`` or HOST:PORT.
        jobs: cells at the same time; as many as the cluster has CPUs if None.

    Raises:
        ConfigError: no cluster answers, or it has fewer CPUs than ``jobs``.
    """
    with cell_pool(address, jobs) as pool:
        yield from pool.map(function, cells)


@contextmanager
def cell_pool(address: str, jobs: int | None = None) -> Iterator[CellPool]:
    """Enter a cluster that cells are carried out on; leave it in any case.

    Args:
        address: ``local``, ``auto`` or HOST:PORT.
        jobs: cells at the same time; as many as the cluster has CPUs if None.

    Raises:
        ConfigError: no cluster answers, or it has fewer CPUs than ``jobs``.
    """
    port = RayPort(address, min_cpus=jobs or 1)
    try:
        yield CellPool(jobs or max(1, int(cast("Any", ray.cluster_resources)().get("CPU", 1))))
    finally:
        port.close()


class CellPool:
    """A cluster that was entered, as far as cells are concerned."""

    def __init__(self, at_once: int) -> None:
        """Remember how many cells there may be at a time."""
        self._at_once = at_once

    def map(
        self,
        function: Callable[[_Given], _Made],
        cells: Sequence[_Given],
        *,
        tries: int = 1,
        stopped: Stopped = never,
    ) -> Generator[tuple[int, _Made | Exception], None, None]:
        """Carry out cells; yield (index, value or what was raised) as they end.

        Args:
            function: importable on every node.
            cells: its arguments, picklable.
            tries: how often a cell is begun whose process dies.
            stopped: whether to stop; asked now and then. What runs then is cancelled.
        """
        task = _decorated(function)
        order = _Order(len(cells), self._at_once, tries)
        return _map(order, lambda index: task.remote(cells[index]), stopped)

    def watch(
        self,
        function: Callable[[_Given, Told, Stopped], _Made],
        cells: Sequence[_Given],
        told: Told,
        stopped: Stopped,
        *,
        tries: int = 1,
    ) -> Generator[tuple[int, _Made | Exception], None, None]:
        """Carry out cells that tell how far they are; yield (index, value or what was raised).

        Args:
            function: importable on every node; given a cell, whom to tell how many units more there
                are, and whom to ask whether to stop. One that stops returns what it has.
            cells: its arguments, picklable.
            told: told how many units more there are, while cells run.
            stopped: whether to stop; asked now and then. What runs then is asked to stop, and its
                values are yielded too; what takes too long is cancelled.
            tries: see ``map``.
        """
        task = _decorated(run_watched)
        order = _Order(len(cells), self._at_once, tries)
        board = Board(told)

        def begin(index: int) -> Any:  # noqa: ANN401 - Ray's references are untyped
            return task.remote(function, cells[index], board.run, index)

        try:
            with closing(_map(order, begin, stopped, board)) as made:
                for index, done in made:
                    if isinstance(done, Exception):
                        yield index, done
                    else:
                        units, value = done
                        board.count(index, units)
                        yield index, value
        finally:
            board.end()


def _decorated(function: Callable[..., Any]) -> Any:  # noqa: ANN401 - a task of Ray's
    # Ray's overloads do not know the options of a task's decorator.
    decorate = cast("Any", ray.remote)(
        num_cpus=1, max_retries=0, runtime_env={"env_vars": ONE_THREAD}
    )
    return decorate(function)


class _Order:
    """Which cell begins when."""

    def __init__(self, cells: int, at_once: int, tries: int) -> None:
        self._waiting = deque(range(cells))
        self._begun: Counter[int] = Counter()
        self._at_once = at_once
        self._tries = tries
        self.running: dict[Any, int] = {}

    def begin(self, begin: Callable[[int], Any]) -> None:
        """Begin as many as may run now."""
        while self._waiting and len(self.running) < self._at_once:
            index = self._waiting.popleft()
            self._begun[index] += 1
            self.running[begin(index)] = index

    def again(self, index: int) -> bool:
        """Whether a cell whose process died is begun again, next."""
        if self._begun[index] >= self._tries:
            return False
        self._waiting.appendleft(index)
        return True


class _Leave:
    """When the caller stops asking: at once, or when watched cells have handed over."""

    def __init__(self, stopped: Stopped, board: Board | None) -> None:
        self._stopped = stopped
        self._board = board
        self._at_s: float | None = None

    @property
    def asked(self) -> bool:
        """Whether no cell is to begin any more."""
        if self._at_s is None and self._stopped():
            self._at_s = time.monotonic()
            if self._board is not None:
                self._board.stop()
                self._at_s += _HAND_OVER_S
        return self._at_s is not None

    @property
    def now(self) -> bool:
        """Whether to cancel what still runs."""
        return self._at_s is not None and time.monotonic() >= self._at_s

    def look(self, running: Iterable[int]) -> None:
        """Tell what watched cells have told."""
        if self._board is not None:
            self._board.look(running)


def _map(
    order: _Order, begin: Callable[[int], Any], stopped: Stopped, board: Board | None = None
) -> Generator[tuple[int, Any], None, None]:
    leave = _Leave(stopped, board)
    try:
        while True:
            if not leave.asked:
                order.begin(begin)
            if leave.now or not order.running:
                return
            done, _ = ray.wait(list(order.running), num_returns=1, timeout=_LOOK_EVERY_S)
            leave.look(order.running.values())
            for ref in done:
                index, result = order.running.pop(ref), _result(ref)
                if isinstance(result, HostDiedError) and (leave.asked or order.again(index)):
                    continue
                yield index, result
    finally:
        for ref in order.running:
            ray.cancel(ref, force=True)


def _result(ref: Any) -> Any:  # noqa: ANN401 - Ray's references are untyped
    try:
        return ray.get(ref)
    except RayTaskError as failed:
        # The cell's own exception, as it would be raised in this process.
        return failed.cause
    except RayError as died:
        reason = " ".join(str(died).split())
        return HostDiedError(f"a cell's process died: {reason}")
