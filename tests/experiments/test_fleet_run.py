"""Fleets as cells: what they come to, whoever runs them, and what is left when they do not end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import actors.fleet.machine_code
import experiments.fleet.task
from actors.fleet.result import CellResult
from actors.fleet.stored import read_result, write_result
from actors.fleet.watching import Watch
from costeer.errors import ConfigError
from experiments.fleet.bottleneck import (
    WHAT_IFS,
    find_bottleneck,
    fleet_columns,
    gain_columns,
    one_more_gpu,
    share_columns,
)
from experiments.fleet.limits import load_of
from experiments.fleet.overload import Overload
from experiments.fleet.run import run_fleet
from experiments.fleet.task import CellOutcome, CellTask, arm_of_cells, run_task
from experiments.planning import plan_cell, plan_costs
from experiments.planning.members import as_it_is
from experiments.progress import LineProgress, NoProgress
from experiments.report import write_report
from experiments.results import load
from experiments.results.grid import text_table
from experiments.resume import interrupted_scenario
from experiments.run import run_scenario
from experiments.scenario import Scenario, Sticky, Weighted
from tests.experiments.small_fleets import fleet
from tests.experiments.test_results_cells import DISTRIBUTED, OF_CELLS_ALONE, check_equal

REPOSITORY = Path(__file__).parent.parent.parent
METHODS = [
    {"method": "slm_with"},
    {"method": "llm_without"},
    {"method": "costeer", "codec": "top8-bf16-naive"},
]
AT_A_RATE = {"kind": "rates", "steps": [{"from_s": 0, "per_hour": 1800}]}


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few tokens are quicker than a compiler."""
    monkeypatch.setattr(experiments.fleet.task, "kept_compiler", lambda: as_it_is)
    monkeypatch.setattr(actors.fleet.machine_code, "kept_compiler", lambda: as_it_is)


class Notes(NoProgress):
    """Keeps what was said, and counts tokens."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.tokens = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, units: int = 1) -> None:
        self.tokens += units


def run(of: Scenario, out_dir: Path, progress: NoProgress | None = None) -> dict[str, Any]:
    return run_fleet(of, out_dir, "none", progress or NoProgress()).summary


def whole(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in summary["arms"] if row["link_class"] == "all"]


# --------------------------------------------------------------------------- what it comes to


@pytest.mark.parametrize("arrivals", ["closed", "poisson"])
def test_cells_come_to_what_their_rows_come_to(tmp_path: Path, arrivals: str) -> None:
    asked = {
        "closed": {"kind": "closed", "think_s": 0.5, "requests_per_device": 2},
        "poisson": {"kind": "poisson", "rate_per_s": 8.0, "requests": 11},
    }[arrivals]
    given = fleet(7, 1, arms=METHODS, fleet={"arrivals": asked})
    rows = run_scenario(given, tmp_path / "rows", "none", NoProgress()).summary["arms"]
    cells = run(given, tmp_path / "cells")["arms"]
    assert len(cells) == len(rows) == 9
    for mine, theirs in zip(cells, rows, strict=True):
        assert set(mine) - OF_CELLS_ALONE == set(theirs)
        for name, value in theirs.items():
            if name in DISTRIBUTED:
                assert mine[name]["mean"] == pytest.approx(value["mean"], rel=1e-9)
            elif name not in {"output_digest", "digest"}:
                check_equal(mine[name], value, f"{theirs['method']}: {name}")


def test_a_sample_of_all_is_all_that_other_ways_write_down(tmp_path: Path) -> None:
    given = fleet(5, 1, arms=METHODS, fleet={"sample": 1000})
    run_scenario(given, tmp_path / "fleet", "none", NoProgress())
    virtual = given.model_copy(update={"way": "virtual"})
    run_scenario(virtual, tmp_path / "virtual", "none", NoProgress())
    for table, order in (
        ("tokens", ["arm", "device", "request", "position"]),
        ("requests", ["arm", "device", "request"]),
    ):
        mine, theirs = (
            pd.read_parquet(tmp_path / way / f"{table}.parquet")
            .sort_values(order, ignore_index=True)
            .drop(columns=["way", "prompt_id"], errors="ignore")
            for way in ("fleet", "virtual")
        )
        shared = [name for name in theirs.columns if name in mine.columns]
        pd.testing.assert_frame_equal(mine[shared], theirs[shared])
    sample = load(tmp_path / "fleet").manifest["sample"]
    assert sample == {"requests": 30, "of": 30}


def test_a_sample_is_of_some_devices_of_every_cell(tmp_path: Path) -> None:
    summary = run(fleet(28, 7, fleet={"sample": 14}), tmp_path / "run")
    found = load(tmp_path / "run")
    assert len(found.requests) == found.manifest["sample"]["requests"] == 14
    assert found.manifest["sample"]["of"] == whole(summary)[0]["requests"] == 56
    assert {device % 7 for device in found.requests["device"]} == set(range(7))
    assert len(found.tokens) == 3 * 14


def test_warmup_and_end_bound_what_is_counted(tmp_path: Path) -> None:
    bounded = {"workload": {"duration_s": 60.0, "warmup_s": 20.0}}
    given = fleet(14, 7, fleet={"arrivals": AT_A_RATE, "sample": 1000}, **bounded)
    row = whole(run(given, tmp_path / "run"))[0]
    requests = load(tmp_path / "run").requests
    counted = requests[requests["arrival_ns"] >= 20 * 10**9]
    assert len(counted) == row["requests"] > 100
    assert requests["arrival_ns"].max() <= 60 * 10**9
    assert row["requests_censored"] == counted["censored"].sum()
    assert load(tmp_path / "run").complete


# --------------------------------------------------------------------------- who runs it


@pytest.mark.ray
def test_the_digest_is_the_same_for_any_number_of_workers_and_deaths(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.experiments.cells_on_ray", str(tmp_path)],
        cwd=REPOSITORY,
        env=os.environ | {"NUMBA_DISABLE_JIT": "1", "PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    begun = found.pop("begun")
    assert set(found) == {"here", "1 workers", "2 workers", "3 workers", "7 workers", "killed"}
    assert len(set(found.values())) == 1, found
    assert begun == {"0": 1, "1": 1, "2": 1, "3": 2, "4": 1, "5": 1, "6": 1}


def test_one_process_does_one_cell_at_a_time(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="--jobs 2: one process runs one cell at a time"):
        run_fleet(fleet(), tmp_path / "run", "none", NoProgress(), jobs=2)


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


def test_a_load_that_is_never_served_is_stopped_and_its_backlog_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("actors.fleet.cells.PIECE_EVENTS", 100)
    notes = Notes()
    rate = {"kind": "rates", "steps": [{"from_s": 0, "per_hour": 36_000}]}
    given = fleet(
        40, 1, fleet={"arrivals": rate, "sample": 10}, cloud={"max_batch": 1},
        workload={"duration_s": 4.0}, generated={"prompt_tokens": 4000, "context_tokens": 0},
        arms=[{"method": "llm_without"}],
    )  # fmt: skip
    (row,) = whole(run(given, tmp_path / "run", notes))
    assert any("requests come faster than a replica can serve them" in each for each in notes.notes)
    assert any("1 of 1 replicas were stopped" in each for each in notes.notes)
    assert row["overloaded_replicas"] == 1
    grows = row["backlog_growth_per_s"]
    # Nobody is served for as long as this takes; ten a second each ask.
    assert 0 < grows <= 40 * 10 * 1.2
    assert any(f"{grows:,.3g} more came each second" in each for each in notes.notes)
    assert row["backlog"] + row["requests"] > 0
    assert row["requests_censored"] > 0.5 * row["requests"]


@pytest.mark.parametrize("way", ["fleet", "virtual"])
def test_beyond_saturation_tokens_come_at_the_rate_that_the_gpu_can_bear(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Users who asked after the warm-up wait for ever; the others are served all the same."""
    monkeypatch.setattr(Overload, "look", lambda *_: None)
    rate = {"kind": "rates", "steps": [{"from_s": 0, "per_hour": 36_000}]}
    given = fleet(
        40, 1, fleet={"arrivals": rate}, cloud={"max_batch": 2, "kv_tokens": 400},
        workload={"duration_s": 3.0, "warmup_s": 1.0, "max_new_tokens": 12},
        generated={"prompt_tokens": 1, "context_tokens": 0}, arms=[{"method": "llm_without"}],
    )  # fmt: skip
    _, plan, terms = arm_of_cells(given, 0)
    load = load_of(given, plan, plan_costs(given, terms))
    assert load is not None
    assert load.offered_per_s > 4 * load.served_per_s
    of = given.model_copy(update={"way": way})
    summary = run_scenario(of, tmp_path / "run", "none", NoProgress()).summary
    (row,) = whole(summary)
    bound = load.served_per_s * 12
    # Those under way at either end of the measured time blur it.
    assert row["system_tokens_per_second"] == pytest.approx(bound, rel=0.05)
    # Of those that count it would have been far less.
    assert row["tokens"] < 0.5 * row["delivered_tokens"]


def test_progress_and_the_log_tell_how_far_it_is(tmp_path: Path) -> None:
    notes = Notes()
    run(fleet(), tmp_path / "run", notes)
    assert notes.tokens == 14 * 2 * 3
    assert notes.notes[0].startswith("14 devices on 7 replicas, about 28 requests an arm")
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert log[-2]["event"] == "cells"
    assert (log[-2]["done"], log[-2]["of"], log[-2]["tokens"], log[-2]["eta_s"]) == (7, 7, 84, 0)
    assert log[-1]["event"] == "arm"


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


def test_what_is_no_cell_is_told(tmp_path: Path) -> None:
    (tmp_path / "sums.npz").write_bytes(b"torn")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_result(tmp_path / "sums.npz")


# --------------------------------------------------------------------------- bottleneck


def test_what_would_help_is_run_and_not_guessed(tmp_path: Path) -> None:
    given = fleet(
        12, 2, cloud={"max_batch": 1}, fleet={"arrivals": {"kind": "closed", "think_s": 0.1}}
    )
    found = find_bottleneck(given, tmp_path / "runs", "none", NoProgress())
    assert list(found) == [each.name for each in WHAT_IFS]
    rows = {name: whole(summary)[0] for name, summary in found.items()}
    base = rows["as it is"]
    assert rows["one more GPU"]["replicas"] == 3
    assert rows["one more GPU"]["breakdown_s"]["cloud_queue"] < base["breakdown_s"]["cloud_queue"]
    lighter = rows["a tenth of the bytes"]
    assert lighter["payload_bytes_down_per_token"] == pytest.approx(17)
    assert base["payload_bytes_down_per_token"] == 165
    halved = rows["half the RTT"]["breakdown_s"]
    assert halved["uplink"] == pytest.approx(base["breakdown_s"]["uplink"] / 2, rel=0.35)
    for columns in (share_columns(found["as it is"]["classes"]), gain_columns(found)):
        assert "phone-npu" in text_table(columns)
    assert "one more GPU" in text_table(fleet_columns(found))
    assert load(tmp_path / "runs" / "half-the-rtt").complete


def test_one_more_gpu_stands_where_devices_are_placed() -> None:
    weighted = fleet(12, 2, fleet={"placement": {"kind": "weighted", "weights": [1, 3]}})
    assert one_more_gpu(weighted).fleet.placement == Weighted(weights=(1, 3, 2))
    regions = [{"share": 0.3, "replicas": 1}, {"share": 0.7, "replicas": 2}]
    sticky = fleet(12, 3, fleet={"placement": {"kind": "sticky", "regions": regions}})
    more = one_more_gpu(sticky)
    # 0.35 of all devices share a replica there, 0.3 in the other region.
    assert isinstance(more.fleet.placement, Sticky)
    assert [each.replicas for each in more.fleet.placement.regions] == [1, 3]
    for made in (one_more_gpu(weighted), more, one_more_gpu(fleet(12, 2))):
        again = Scenario.model_validate(made.model_dump(mode="json"))
        cells = [plan_cell(again, cell) for cell in range(again.cloud.replicas)]
        assert sorted(int(each) for cell in cells for each in cell.device_D) == list(range(12))


def test_a_bottleneck_is_a_fleet_s(tmp_path: Path) -> None:
    virtual = fleet(4, 1).model_copy(update={"way": "virtual"})
    with pytest.raises(ConfigError, match="add --set way=fleet"):
        find_bottleneck(virtual, tmp_path, "none", LineProgress(sys.stderr))
