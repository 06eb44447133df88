"""Independent cells of work as Ray tasks: a function and its arguments out, its value back.

Rules
-----
* A cell is one task on one CPU, with one thread in every library: cells run side by side, and what
  one computes must not depend on how many others there are.
* A cell is never retried by Ray: what it raises is its result. A cell whose process died is run
  again, alone, as often as the caller says; the others go on.
* Results come in the order in which cells end. Cells begin in their order, none far ahead of the
  first one that is not done, so that whoever puts results in order holds few of them.
* When the caller stops asking, what still runs is cancelled and the cluster is left.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from typing import Any, TypeVar, cast

import ray
from ray.exceptions import RayError, RayTaskError

from actors.port import HostDiedError, never
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
        ahead: int | None = None,
        stopped: Callable[[], bool] = never,
    ) -> Generator[tuple[int, _Made | Exception], None, None]:
        """Carry out cells; yield (index, value or what was raised) as they end.

        Args:
            function: importable on every node.
            cells: its arguments, picklable.
            tries: how often a cell is begun whose process dies.
            ahead: how far a cell that begins may be from the first one that is not done; without
                limit if None.
            stopped: whether to stop; asked now and then.
        """
        return _map(function, cells, self._at_once, tries, ahead or len(cells), stopped)


def _map(
    function: Callable[[_Given], _Made],
    cells: Sequence[_Given],
    at_once: int,
    tries: int,
    ahead: int,
    stopped: Callable[[], bool],
) -> Generator[tuple[int, _Made | Exception], None, None]:
    # Ray's overloads do not know the options of a task's decorator.
    decorate = cast("Any", ray.remote)(
        num_cpus=1, max_retries=0, runtime_env={"env_vars": ONE_THREAD}
    )
    task = decorate(function)
    waiting = deque(range(len(cells)))
    begun: Counter[int] = Counter()
    running: dict[Any, int] = {}
    try:
        while (waiting or running) and not stopped():
            first = min([*running.values(), *islice(waiting, 1)])
            while waiting and len(running) < at_once and waiting[0] < first + ahead:
                index = waiting.popleft()
                begun[index] += 1
                running[task.remote(cells[index])] = index
            done, _ = ray.wait(list(running), num_returns=1, timeout=_LOOK_EVERY_S)
            for ref in done:
                index, result = running.pop(ref), _result(ref)
                if isinstance(result, HostDiedError) and begun[index] < tries:
                    waiting.appendleft(index)
                else:
                    yield index, result
    finally:
        for ref in running:
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
