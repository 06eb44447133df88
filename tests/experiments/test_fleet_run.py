"""Fleets as cells: what they come to, whoever runs them, and under more than they can serve."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from costeer.errors import ConfigError
from experiments.fleet.limits import load_of
from experiments.fleet.overload import Overload
from experiments.fleet.run import run_fleet
from experiments.fleet.task import arm_of_cells
from experiments.planning import plan_costs
from experiments.progress import NoProgress
from experiments.report import write_report
from experiments.results import load
from experiments.run import run_scenario
from tests.experiments import small_runs
from tests.experiments.small_fleets import METHODS, Notes, fleet, interpret, run, whole
from tests.experiments.test_results_cells import DISTRIBUTED, OF_CELLS_ALONE, check_equal

REPOSITORY = Path(__file__).parent.parent.parent
AT_A_RATE = {"kind": "rates", "steps": [{"from_s": 0, "per_hour": 1800}]}


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    interpret(monkeypatch)


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
    assert row["tokens"] < len(load(tmp_path / "run").tokens)
    other = given.model_copy(update={"way": "virtual"})
    rows = whole(run_scenario(other, tmp_path / "rows", "none", NoProgress()).summary)[0]
    assert row["forward_s_per_token"] == pytest.approx(rows["forward_s_per_token"], rel=1e-9)
    assert load(tmp_path / "run").complete


def test_what_failed_is_told_as_where_rows_are_kept(tmp_path: Path) -> None:
    events = [
        {"kind": "device_leaves", "at_s": 0.7, "devices": [22]},
        {"kind": "device_leaves", "at_s": 0.4, "devices": list(range(21))},
        {"kind": "cloud_stalls", "at_s": 0.2, "for_s": 0.1},
    ]
    given = fleet(23, 3, events=events)
    cells = run(given, tmp_path / "cells")["events"]
    other = given.model_copy(update={"way": "virtual"})
    rows = small_runs.run(other, tmp_path / "rows").summary["events"]
    assert [row | {"way": "fleet"} for row in rows] == cells
    assert [(row["at_s"], row["device"], row["devices"]) for row in cells] == [
        (0.4, None, 21),
        (0.7, 22, 1),
    ]
    report = write_report(tmp_path / "cells").read_text()
    for text in ("21 devices leave", "device 22 leaves"):
        assert text in report
    for name in ("cells", "rows"):
        log = (tmp_path / name / "log.jsonl").read_text().splitlines()
        assert sum(json.loads(line)["event"] == "incident" for line in log) == len(rows)


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


# --------------------------------------------------------------------------- beyond what is served


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
