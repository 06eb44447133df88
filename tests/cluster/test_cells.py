"""Cells as tasks: begun in order, watched, and run again, alone, where a process dies."""

from __future__ import annotations

import os
import signal
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.port import HostDiedError, never
from cluster.board import Stopped, Told
from cluster.cells import CellPool, cell_pool
from costeer.errors import ConfigError

pytestmark = pytest.mark.ray

Cell = tuple[int, str]


@pytest.fixture(scope="module")
def pool() -> Iterator[CellPool]:
    with cell_pool("local", 2) as entered:
        yield entered


def square(cell: Cell) -> int:
    """Note that the cell was begun, and square its number."""
    number, folder = cell
    with (Path(folder) / str(number)).open("a", encoding="utf-8") as file:
        file.write("begun\n")
    return number * number


def square_but_die_once(cell: Cell) -> int:
    number, folder = cell
    first = not (Path(folder) / str(number)).exists()
    value = square(cell)
    if number == 2 and first:
        os.kill(os.getpid(), signal.SIGKILL)
    return value


def die(cell: Cell) -> int:
    square(cell)
    os.kill(os.getpid(), signal.SIGKILL)
    return 0


def refuse(cell: Cell) -> int:
    raise ConfigError(f"cell {cell[0]}: as asked")


def begun(folder: Path) -> Counter[int]:
    return Counter(
        {int(each.name): len(each.read_text().splitlines()) for each in folder.iterdir()}
    )


def test_a_cell_whose_process_is_killed_is_run_again_alone(pool: CellPool, tmp_path: Path) -> None:
    cells = [(number, str(tmp_path)) for number in range(6)]
    made = dict(pool.map(square_but_die_once, cells, tries=3))
    assert made == {number: number * number for number in range(6)}
    assert begun(tmp_path) == Counter({0: 1, 1: 1, 2: 2, 3: 1, 4: 1, 5: 1})


def test_a_cell_that_dies_every_time_is_given_up(pool: CellPool, tmp_path: Path) -> None:
    ((index, failure),) = pool.map(die, [(0, str(tmp_path))], tries=2)
    assert index == 0
    assert isinstance(failure, HostDiedError)
    assert begun(tmp_path) == Counter({0: 2})


def test_what_a_cell_raises_is_its_result_and_not_tried_again(pool: CellPool) -> None:
    ((_, failure),) = pool.map(refuse, [(7, "")], tries=3)
    assert isinstance(failure, ConfigError)
    assert str(failure) == "cell 7: as asked"


def test_whoever_stops_gets_no_more(pool: CellPool, tmp_path: Path) -> None:
    taken: list[int] = []
    for index, _ in pool.map(
        square, [(number, str(tmp_path)) for number in range(20)], stopped=lambda: len(taken) >= 3
    ):
        taken.append(index)
    assert len(taken) == 3
    assert len(begun(tmp_path)) < 8


# --------------------------------------------------------------------------- watched


def count_up(cell: Cell, told: Told, stopped: Stopped) -> int:
    """Tell each of three steps."""
    for _ in range(3):
        told(cell[0])
        stopped()
    return 3 * cell[0]


def count_up_but_die_once(cell: Cell, told: Told, stopped: Stopped) -> int:
    value = count_up(cell, told, stopped)
    if cell[0] == 2:
        square_but_die_once(cell)
    return value


def go_on_until_stopped(cell: Cell, told: Told, stopped: Stopped) -> str:
    while not stopped():
        told(1)
    return f"{cell[0]} stopped"


def test_watched_cells_tell_all_of_their_units_once(pool: CellPool, tmp_path: Path) -> None:
    told: list[int] = []
    cells = [(number, str(tmp_path)) for number in range(5)]
    made = dict(pool.watch(count_up_but_die_once, cells, told.append, never, tries=2))
    assert made == {number: 3 * number for number in range(5)}
    assert sum(told) == 3 * (0 + 1 + 2 + 3 + 4)
    assert min(told) > 0
    assert begun(tmp_path) == Counter({2: 2})


def test_cells_tell_while_they_run_and_hand_over_when_they_are_to_stop(pool: CellPool) -> None:
    told: list[int] = []
    cells = [(number, "") for number in range(20)]
    # Nobody would ever stop if nothing were told before a cell has ended.
    made = dict(pool.watch(go_on_until_stopped, cells, told.append, lambda: bool(told)))
    assert set(made) in ({0}, {1}, {0, 1})
    assert all(value == f"{index} stopped" for index, value in made.items())
