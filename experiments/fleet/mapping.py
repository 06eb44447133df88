"""Cells carried out where there is room, their outcomes handed on as they end."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from typing import TYPE_CHECKING

from costeer.errors import ConfigError
from experiments.fleet.task import CellOutcome, CellTask, run_task
from experiments.hosting import NO_CLUSTER

if TYPE_CHECKING:
    from cluster.cells import CellPool

_TRIES = 3
"""How often a cell is begun whose process dies."""


def open_pool(address: str, jobs: int | None) -> AbstractContextManager[CellPool | None]:
    """Enter a cluster for cells, or none.

    Args:
        address: ``none`` for this process, or a cluster's.
        jobs: cells at the same time; as many as the cluster has CPUs if None.

    Raises:
        ConfigError: no cluster answers, or this process is to do several at a time.
    """
    if address != NO_CLUSTER:
        from cluster.cells import cell_pool  # noqa: PLC0415 - Ray takes a second to import

        return cell_pool(address, jobs)
    if jobs is not None and jobs > 1:
        raise ConfigError(
            f"--jobs {jobs}: one process runs one cell at a time; choose --address local, or"
            " leave it out"
        )
    return nullcontext()


def cell_outcomes(
    pool: CellPool | None,
    tasks: Sequence[CellTask],
    told: Callable[[int], None],
    stopped: Callable[[], bool],
) -> Iterator[tuple[CellTask, CellOutcome]]:
    """Carry out cells; yield them with their outcomes as they end.

    One that is stopped ends with what there is: the cells that are done, and those that were under
    way, as far as they came.

    Args:
        pool: where; this process if None.
        tasks: the cells.
        told: told how many tokens more there are.
        stopped: whether to stop; asked now and then.

    Raises:
        ConfigError: a cell cannot be expressed.
        HostDiedError: a cell's process died every time that it was begun.
        Exception: what a cell raised.
    """
    if pool is None:
        for task in tasks:
            if stopped():
                return
            yield task, run_task(task, told, stopped)
        return
    with closing(pool.watch(run_task, tasks, told, stopped, tries=_TRIES)) as made:
        for index, done in made:
            if isinstance(done, Exception):
                raise done
            yield tasks[index], done
