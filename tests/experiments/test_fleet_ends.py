"""What a fleet leaves that is stopped or fails, and how it goes on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from actors.fleet.result import CellResult
from actors.fleet.stored import read_result, write_result
from actors.fleet.watching import Watch
from actors.sink import RunSink
from costeer.errors import ConfigError
from experiments.fleet.kept import keep_cell, kept_cell
from experiments.fleet.run import run_fleet
from experiments.fleet.task import CellOutcome, CellTask, run_task
from experiments.progress import NoProgress
from experiments.report import write_report
from experiments.results import load
from experiments.resume import interrupted_scenario
from experiments.run import run_scenario
from experiments.scenario import Scenario
from tests.experiments.small_fleets import METHODS, Notes, fleet, interpret, run, whole


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    interpret(monkeypatch)


# --------------------------------------------------------------------------- what is left


class Impatient(Notes):
    """Presses Ctrl-C after some tokens."""

    def advance(self, units: int = 1) -> None:
        super().advance(units)
        if self.tokens >= 20:
            os.kill(os.getpid(), signal.SIGINT)
            self.tokens = -10_000


def test_ctrl_c_leaves_a_run_that_can_be_read(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(fleet(arms=METHODS[1:]), tmp_path / "run", Impatient())
    found = load(tmp_path / "run")
    assert not found.complete
    (row,) = whole(found.summary)
    assert not row["complete"]
    assert 0 < row["tokens"] < 84
    assert "Stopped before its end" in write_report(tmp_path / "run").read_text()


class Backwards:
    """A cluster whose last cells end first."""

    def watch(
        self,
        function: Callable[..., CellOutcome],
        cells: Sequence[CellTask],
        told: Callable[[int], None],
        stopped: Callable[[], bool],
        **_: object,
    ) -> Iterator[tuple[int, CellOutcome]]:
        for index in reversed(range(len(cells))):
            if not stopped():
                yield index, function(cells[index], told, stopped)


@pytest.fixture
def _backwards(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("experiments.fleet.run.open_pool", lambda *_: nullcontext(Backwards()))


@pytest.mark.usefixtures("_backwards")
def test_cells_that_end_in_another_order_come_to_the_same(tmp_path: Path) -> None:
    summary = run(fleet(), tmp_path / "run")
    expected = [run_task(CellTask(fleet(), 0, cell, Watch())).result for cell in range(7)]
    assert summary["arms"][0]["digest"] == reduce(CellResult.merged, expected).digest


@pytest.mark.usefixtures("_backwards")
def test_ctrl_c_keeps_cells_that_ended_before_their_turn_and_those_under_way(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.fleet.cells.PIECE_EVENTS", 20)
    with pytest.raises(KeyboardInterrupt):
        run(fleet(), tmp_path / "run", Impatient())
    (row,) = whole(load(tmp_path / "run").summary)
    assert row["replicas"] == 2
    assert 12 < row["tokens"] < 24
    assert row["requests_censored"] > 0


def test_a_cell_that_is_stopped_before_it_begins_comes_to_nothing() -> None:
    outcome = run_task(CellTask(fleet(), 0, 0, Watch(sample_every=1)), stopped=lambda: True)
    assert (outcome.tokens, outcome.ended, outcome.rows.tokens) == (0, False, ())


def test_ctrl_c_before_the_first_cell_leaves_one_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("experiments.fleet.mapping.run_task", fail)
    with pytest.raises(KeyboardInterrupt):
        run(fleet(), tmp_path / "run")
    assert load(tmp_path / "run").arms == []
    assert "holds no token" in write_report(tmp_path / "run").read_text()


def test_a_cell_that_cannot_go_on_leaves_the_ones_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise ConfigError("no more")

    monkeypatch.setattr("actors.fleet.cells.roomier", fail)
    with pytest.raises(ConfigError, match="no more"):
        run(fleet(), tmp_path / "run")
    assert not load(tmp_path / "run").complete


# --------------------------------------------------------------------------- going on


SPREAD_OUT: dict[str, Any] = {"fleet": {"sample": 14}, "arms": METHODS[:0:-1]}


@pytest.fixture
def cells_run(monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """Which cells were run, by arm."""
    found: list[tuple[int, int]] = []

    def noted(task: CellTask, *more: Any) -> CellOutcome:
        found.append((task.arm, task.cell))
        return run_task(task, *more)

    monkeypatch.setattr("experiments.fleet.mapping.run_task", noted)
    return found


def interrupted(path: Path, given: Scenario, monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave a run that was stopped in its second cell."""
    with monkeypatch.context() as patch:
        patch.setattr("actors.fleet.cells.PIECE_EVENTS", 20)
        with pytest.raises(KeyboardInterrupt):
            run(given, path, Impatient())


def test_a_run_goes_on_with_the_cells_that_had_not_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, cells_run: list[tuple[int, int]]
) -> None:
    given = fleet(**SPREAD_OUT)
    whole_run = run(given, tmp_path / "whole")
    interrupted(tmp_path / "run", given, monkeypatch)
    stopped = load(tmp_path / "run")
    assert 2 < len(stopped.requests) < 14
    pieces = {each.name: each for each in (tmp_path / "run" / "pieces").iterdir()}
    assert sorted(pieces) == ["000-000000", "000-000001"]
    assert not (pieces["000-000001"] / "sums.npz").exists()
    (tmp_path / "run" / ".piece-000-000003").mkdir()
    cells_run.clear()
    notes = Notes()
    outcome = run_scenario(
        interrupted_scenario(tmp_path / "run"), tmp_path / "run", "none", notes, resume=True
    )
    assert cells_run == [(0, cell) for cell in range(1, 7)] + [(1, cell) for cell in range(7)]
    assert "1 of 14 cells are done already" in notes.notes
    assert notes.tokens == 2 * 84
    assert outcome.summary == whole_run
    assert not (tmp_path / "run" / "pieces").exists()
    mine, theirs = load(tmp_path / "run"), load(tmp_path / "whole")
    assert mine.complete
    assert mine.manifest["sample"] == theirs.manifest["sample"]
    assert mine.manifest["resumed_after_cells"] == 1
    pd.testing.assert_frame_equal(mine.tokens, theirs.tokens)
    pd.testing.assert_frame_equal(mine.requests, theirs.requests)


def test_cells_of_other_code_or_another_scenario_are_not_merged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interrupted(tmp_path / "run", fleet(), monkeypatch)
    with pytest.raises(ConfigError, match="computed by another version of this program"):
        run_fleet(fleet(seed=8), tmp_path / "run", "none", NoProgress(), resume=True)


def test_a_cell_on_disk_is_the_cell(tmp_path: Path) -> None:
    outcome = run_task(CellTask(fleet(), 0, 3, Watch(sample_every=1)))
    write_result(tmp_path / "sums.npz", outcome.result, {"tokens": outcome.tokens})
    result, about = read_result(tmp_path / "sums.npz")
    assert about == {"tokens": 12}
    assert repr(result) == repr(outcome.result)
    assert result.digest == outcome.result.digest
    for name in ("counts_CHB", "totals_CH", "least_CH", "most_CH", "first_arrival_ns_C"):
        assert np.array_equal(getattr(result, name), getattr(outcome.result, name))
    assert (tmp_path / "sums.npz").stat().st_size < 20_000


def test_a_cell_that_is_kept_knows_what_failed_in_it(tmp_path: Path) -> None:
    given = fleet(events=[{"kind": "device_leaves", "at_s": 0.1, "devices": [0, 3, 10]}])
    outcome = run_task(CellTask(given, 0, 3, Watch(sample_every=1)))
    with RunSink(tmp_path / "run", "", {}, keep_pieces=True) as sink:
        keep_cell(sink, 0, {"method": "costeer"}, 3, outcome)
    (piece,) = (tmp_path / "run" / "pieces").iterdir()
    kept = kept_cell(piece / "sums.npz")
    assert [each.subject for each in kept.incidents] == [3, 10]
    assert kept.incidents == outcome.incidents
    assert (kept.tokens, kept.result.digest) == (outcome.tokens, outcome.result.digest)


def test_what_is_no_cell_is_told(tmp_path: Path) -> None:
    (tmp_path / "sums.npz").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_result(tmp_path / "sums.npz")
