"""Fleets whose replicas fail: which of them are one cell, and that it is what `virtual` does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from experiments.fleet.run import loops_of_cells
from experiments.fleet.task import arm_of_cells
from experiments.planning import plan_cell
from experiments.planning.size import runs_in_cells, size_of
from experiments.planning.standing import most_devices_of_a_cell, replicas_of_cells
from experiments.progress import NoProgress
from experiments.run import run_scenario
from experiments.scenario import Scenario
from tests.experiments.small_fleets import METHODS, fleet, interpret, run
from tests.experiments.test_results_cells import check_equal

REGIONS = {
    "kind": "sticky",
    "regions": [{"share": 0.6, "replicas": 3}, {"share": 0.4, "replicas": 2}],
}


def fails(replica: int, at_s: float, back_after_s: float | None = None) -> dict[str, Any]:
    return {
        "kind": "replica_fails",
        "at_s": at_s,
        "replica": replica,
        "noticed_after_s": 0.05,
        "back_after_s": back_after_s,
    }


def spread(*events: dict[str, Any], sticky: bool = True, **more: Any) -> Scenario:
    placement = {"placement": REGIONS} if sticky else {}
    return fleet(20, 5, events=events, fleet=placement | more.pop("fleet", {}), **more)


@pytest.mark.parametrize(
    ("given", "cells"),
    [
        (spread(), [(0,), (1,), (2,), (3,), (4,)]),
        (spread(fails(4, 1)), [(0,), (1,), (2,), (3, 4)]),
        (spread(fails(0, 1), fails(1, 2)), [(0, 1, 2), (3,), (4,)]),
        (spread(fails(3, 1, 2), fails(4, 3.1)), [(0,), (1,), (2,), (3, 4)]),
        # Its devices turn to the other region: nobody knows before to whom.
        (spread(fails(3, 1, 2), fails(4, 2)), [(0, 1, 2, 3, 4)]),
        (spread(fails(2, 1), sticky=False), [(0, 1, 2, 3, 4)]),
    ],
)
def test_replicas_that_stand_in_for_one_another_are_one_cell(
    given: Scenario, cells: list[tuple[int, ...]]
) -> None:
    assert list(replicas_of_cells(given)) == cells
    size = size_of(given)
    assert (size.cells, size.replicas) == (len(cells), 5)
    told = " in one cell" if len(cells) == 1 else f" in {len(cells)} cells"
    assert (told in size.told(1, 1)) == (len(cells) < 5)
    assert runs_in_cells(given) == (len(cells) > 1)
    planned = [plan_cell(given, cell) for cell in range(len(cells))]
    assert sorted(each for cell in planned for each in cell.device_D.tolist()) == list(range(20))
    assert max(cell.devices for cell in planned) <= most_devices_of_a_cell(given) + 5
    alone = {
        device: replica
        for replica, cell in enumerate(plan_cell(spread(), each) for each in range(5))
        for device in cell.device_D.tolist()
    }
    if given.fleet.placement.kind == "sticky":
        for cell in planned:
            own = [cell.replicas[each] for each in cell.replica_D.tolist()]
            assert own == [alone[each] for each in cell.device_D.tolist()]


def asked(*, sticky: bool, sample: bool) -> Scenario:
    return spread(
        fails(1, 0.3, 0.6),
        fails(3, 0.5),
        {"kind": "cloud_stalls", "at_s": 0.4, "for_s": 0.1, "replica": 2},
        {"kind": "device_leaves", "at_s": 0.5, "devices": [7]},
        sticky=sticky,
        arms=METHODS[1:],
        fleet={"sample": 1000} if sample else {},
    )


def in_virtual(given: Scenario) -> Scenario:
    whole = given.fleet.model_copy(update={"sample": None})
    return given.model_copy(update={"way": "virtual", "fleet": whole})


def without_way(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{name: value for name, value in row.items() if name != "way"} for row in rows]


def test_a_small_fleet_writes_down_all_that_virtual_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    interpret(monkeypatch)
    given = asked(sticky=False, sample=False)
    one = run_scenario(given, tmp_path / "fleet", "none", NoProgress()).summary
    other = run_scenario(in_virtual(given), tmp_path / "virtual", "none", NoProgress()).summary
    assert (one["digest"], one["output_digest"]) == (other["digest"], other["output_digest"])
    for name in ("replicas", "events"):
        assert without_way(one[name]) == without_way(other[name])
    assert any(row["sessions_moved"] for row in one["events"])


def test_machine_code_is_asked_for_of_cells_that_fail_and_of_others() -> None:
    def loops(given: Scenario) -> int:
        plans = [arm_of_cells(given, index)[1] for index in range(len(given.arms))]
        return len(loops_of_cells(given, plans))

    assert loops(spread()) == 1
    assert loops(spread(fails(4, 1))) == 2
    assert loops(spread(fails(4, 1), sticky=False)) == 1
    assert loops(spread(fails(4, 1), arms=METHODS[:1])) == 1


@pytest.mark.parametrize("sticky", [False, True])
def test_cells_of_several_replicas_come_to_what_virtual_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, sticky: bool
) -> None:
    interpret(monkeypatch)
    given = asked(sticky=sticky, sample=True)
    assert runs_in_cells(given)
    one = run(given, tmp_path / "fleet")
    other = run_scenario(in_virtual(given), tmp_path / "virtual", "none", NoProgress()).summary
    assert without_way(one["events"]) == without_way(other["events"])
    for mine, theirs in zip(one["arms"], other["arms"], strict=True):
        for name in ("replicas", "forwards", "gpu_busy_share", "egress_busy_share", "tokens"):
            if name in theirs:
                check_equal(mine[name], theirs[name], f"{theirs['method']}: {name}")
    for name in ("tokens", "requests"):
        tables = [
            pd.read_parquet(tmp_path / way / f"{name}.parquet").drop(columns=["way"])
            for way in ("fleet", "virtual")
        ]
        keys = ["arm", "device", "request", *(["position"] if name == "tokens" else [])]
        mine, theirs = (each.sort_values(keys).reset_index(drop=True) for each in tables)
        dropped = [each for each in ("prompt_id",) if each in mine]
        pd.testing.assert_frame_equal(mine.drop(columns=dropped), theirs.drop(columns=dropped))
