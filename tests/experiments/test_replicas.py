"""Several replicas from the scenario to the report: the same in every simulated way."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import experiments.fleet.task
from costeer.errors import ConfigError
from experiments.fleet.run import run_fleet
from experiments.hosting import host_groups
from experiments.planning.members import as_it_is
from experiments.profile.record import record_profile
from experiments.progress import NoProgress
from experiments.results import load
from experiments.run import run_scenario
from experiments.scenario import Scenario
from tests.experiments.small_fleets import fleet
from tests.experiments.small_runs import digests, run, scenario
from tests.experiments.test_planning_cells import PLACEMENTS
from tests.experiments.test_resume import Cut, check_rows, resumed

ORDER = {
    "tokens": ["arm", "device", "request", "position"],
    "requests": ["arm", "device", "request"],
}


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(experiments.fleet.task, "kept_compiler", lambda: as_it_is)


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
def test_compiled_cells_are_the_replicas_of_the_simulated_way(
    tmp_path: Path, placement: dict[str, Any]
) -> None:
    given = fleet(13, 3, fleet={"sample": 1000} | placement)
    run_fleet(given, tmp_path / "fleet", "none", NoProgress())
    run(in_way(given, "virtual"), tmp_path / "virtual")
    for table, order in ORDER.items():
        mine, theirs = (
            pd.read_parquet(tmp_path / way / f"{table}.parquet")
            .sort_values(order, ignore_index=True)
            .drop(columns=["way", "prompt_id"], errors="ignore")
            for way in ("fleet", "virtual")
        )
        shared = [name for name in theirs.columns if name in mine.columns]
        assert {"session", "replica"} < set(shared)
        pd.testing.assert_frame_equal(mine[shared], theirs[shared])
    cells, rows = (whole(tmp_path / way) for way in ("fleet", "virtual"))
    for name in ("replicas", "forwards", "gpu_busy_share", "egress_busy_share", "kv_peak_share"):
        assert cells[name] == pytest.approx(rows[name], rel=1e-9)


def in_way(given: Scenario, way: str) -> Scenario:
    return given.model_copy(update={"way": way})


def whole(run_dir: Path) -> dict[str, Any]:
    return next(row for row in load(run_dir).summary["arms"] if row["link_class"] == "all")


def test_digests_do_not_depend_on_the_shards(tmp_path: Path) -> None:
    found = set()
    for shards in (1, 2, 3):
        asked = scenario().fleet.model_copy(update={"shards": shards})
        given = scenario(cloud={"replicas": 2}, fleet=asked.model_dump())
        found.add(tuple(digests(run(given, tmp_path / str(shards)))))
    assert len(found) == 1


def test_the_summary_and_the_report_tell_replicas_apart(tmp_path: Path) -> None:
    given = scenario(cloud={"replicas": 2})
    summary = run_scenario(given, tmp_path / "run", "none", NoProgress()).summary
    rows = summary["replicas"]
    assert [(row["method"], row["replica"]) for row in rows] == [
        ("llm_without", 0), ("llm_without", 1), ("costeer", 0), ("costeer", 1),
    ]  # fmt: skip
    assert [row["devices"] for row in rows] == [2, 1, 2, 1]
    for arm in (1, 2):
        (all_links,) = (
            row for row in summary["arms"] if row["arm"] == arm and row["link_class"] == "all"
        )
        mine = [row for row in rows if row["arm"] == arm]
        for name in ("requests", "tokens", "forwards"):
            assert sum(row[name] for row in mine) == all_links[name]
        shares = [row["gpu_busy_share"] for row in mine]
        assert sum(shares) / 2 == pytest.approx(all_links["gpu_busy_share"])
    assert "What each replica served" in (tmp_path / "run" / "report.html").read_text()
    assert "replicas" not in run(scenario(), tmp_path / "one").summary


# --------------------------------------------------------------------------- events


FAILING = [
    {"kind": "replica_fails", "at_s": 0.1, "replica": 0, "noticed_after_s": 0.1, "back_after_s": 9},
    {"kind": "device_leaves", "at_s": 0.15, "devices": [1]},
]


def failing(events: Any = FAILING, **more: Any) -> Scenario:
    return scenario(cloud={"replicas": 2}, workload={"max_new_tokens": 12}, events=events, **more)


def test_what_failed_is_told_and_changes_no_token(tmp_path: Path) -> None:
    summary = run_scenario(failing(), tmp_path / "run", "none", NoProgress()).summary
    calm = run(failing([]), tmp_path / "calm").summary
    assert "events" not in calm
    told = [row for row in summary["events"] if row["method"] == "costeer"]
    assert [(row["kind"], row["at_s"], row["replica"], row["device"]) for row in told] == [
        ("replica_fails", 0.1, 0, None),
        ("device_leaves", 0.15, None, 1),
    ]
    assert told[0]["sessions_moved"] == 2
    log = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert [line["at_s"] for line in log if line["event"] == "incident" and line["arm"] == 2] == [
        0.1, 0.15,
    ]  # fmt: skip
    report = (tmp_path / "run" / "report.html").read_text()
    assert "replica 0 fails" in report
    assert "device 1 leaves" in report
    assert (tmp_path / "run" / "plots" / "timeline.svg").exists()
    said, whole_said = (load(tmp_path / name).tokens for name in ("run", "calm"))
    order = ["arm", "device", "request", "position"]
    kept = said[order].merge(whole_said, on=order)
    again = said.merge(whole_said[[*order, "token"]], on=[*order, "token"])
    assert len(kept) == len(said) == len(again) < len(whole_said)
    requests = load(tmp_path / "run").requests
    gone = requests[(requests["device"] == 1) & (requests["arm"] == 2)]
    assert gone["reason"].tolist() == ["left"]
    assert gone["censored"].tolist() == [True]
    with pytest.raises(ConfigError, match="a replica failed in it"):
        record_profile(tmp_path / "run", tmp_path / "profile.parquet")


def test_what_fails_on_the_wall_s_clock_is_told_and_changes_no_token(tmp_path: Path) -> None:
    events = [
        {"kind": "replica_fails", "at_s": 0, "replica": 0},
        {"kind": "device_leaves", "at_s": 0, "devices": [1]},
    ]
    given = failing(events, way="live")
    summary = run_scenario(given, tmp_path / "run", "none", NoProgress()).summary
    calm = run(failing([]), tmp_path / "calm")
    told = [row for row in summary["events"] if row["method"] == "costeer"]
    assert [(row["kind"], row["replica"], row["device"]) for row in told] == [
        ("replica_fails", 0, None),
        ("device_leaves", None, 1),
    ]
    order = ["arm", "device", "request", "position"]
    said, whole_said = (
        tokens[tokens["device"] != 1].sort_values(order, ignore_index=True)[[*order, "token"]]
        for tokens in (load(tmp_path / "run").tokens, load(calm.run_dir).tokens)
    )
    pd.testing.assert_frame_equal(said, whole_said)
    requests = load(tmp_path / "run").requests
    assert set(requests[requests["device"] == 1]["reason"]) <= {"left"}
    served = requests[(requests["device"] != 1) & (requests["method"] == "costeer")]
    assert set(served["replica"]) == {1}
    assert "replica 0 fails" in (tmp_path / "run" / "report.html").read_text()


def test_a_run_with_failures_goes_on_where_it_was_cut_off(tmp_path: Path) -> None:
    whole_run = digests(run(failing(), tmp_path / "whole"))

    with pytest.raises(RuntimeError, match="enough"):
        run(failing(), tmp_path / "cut", progress=Cut(60, "enough"))
    assert resumed(failing(), tmp_path / "cut") == whole_run
    check_rows(tmp_path / "cut", tmp_path / "whole")


def test_every_replica_s_room_is_counted_with_its_shards() -> None:
    cloud = {"kind": "hf", "path": "pair/llm", "device": "cuda", "gpus": 0.5}
    fleet_of_three = scenario().fleet.model_dump() | {"shards": 3}
    given = scenario(values="models", models={"cloud": cloud}, cloud={"replicas": 2},
                     fleet=fleet_of_three, generated={})  # fmt: skip
    assert host_groups(given) == [[0.5, 0.0, 0.0], [0.5, 0.0]]
    assert host_groups(failing()) == [[0.0, 0.0], [0.0]]
