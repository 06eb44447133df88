"""Independent cells of work as Ray tasks: a function and its arguments out, its value back.

Rules
-----
* A cell is one task on one CPU, with one thread in every library: cells run side by side, and what
  one computes must not depend on how many others there are.
* A cell is never retried by Ray: what it raises is its result. Whoever asked decides.
* Results come in the order in which cells end. When the caller stops asking, what still runs is
  cancelled and the cluster is left.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar, cast

import ray
from ray.exceptions import RayError, RayTaskError

from actors.port import HostDiedError
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
    port = RayPort(address, min_cpus=jobs or 1)
    try:
        at_once = jobs or max(1, int(cast("Any", ray.cluster_resources)().get("CPU", 1)))
        yield from _map(function, cells, at_once)
    finally:
        port.close()


def _map(
    function: Callable[[_Given], _Made], cells: Sequence[_Given], at_once: int
) -> Iterator[tuple[int, _Made | Exception]]:
    # Ray's overloads do not know the options of a task's decorator.
    decorate = cast("Any", ray.remote)(
        num_cpus=1, max_retries=0, runtime_env={"env_vars": ONE_THREAD}
    )
    task = decorate(function)
    waiting = list(enumerate(cells))[::-1]
    running: dict[Any, int] = {}
    try:
        while waiting or running:
            while waiting and len(running) < at_once:
                index, cell = waiting.pop()
                running[task.remote(cell)] = index
            done, _ = ray.wait(list(running), num_returns=1)
            yield running.pop(done[0]), _result(done[0])
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
