"""Several replicas from the scenario to the report: the same in every simulated way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import experiments.fleet.task
from experiments.planning.members import as_it_is
from experiments.progress import NoProgress
from experiments.results import load
from experiments.run import run_scenario
from experiments.scenario import Scenario
from tests.experiments.small_fleets import fleet
from tests.experiments.small_runs import digests, run, scenario
from tests.experiments.test_planning_cells import PLACEMENTS

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
    run_scenario(given, tmp_path / "fleet", "none", NoProgress())
    run_scenario(in_way(given, "virtual"), tmp_path / "virtual", "none", NoProgress())
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
    one = run_scenario(scenario(), tmp_path / "one", "none", NoProgress()).summary
    assert "replicas" not in one
