"""A fleet's summary is the summary of the rows that nobody kept."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.fleet.result import SERIES
from actors.records import ArmRun
from actors.sink import RunSink
from costeer.methods import method_named
from costeer.token_record import STAGES
from experiments.cost_facts import CostFacts, EdgeFacts
from experiments.report import write_report, write_tables
from experiments.results import arm_of, frames_of, load, summarise
from experiments.results.cells import FleetArm, histograms_frame, series_frame, summarise_cells
from tests.experiments.fake_cells import cell_of_rows, half, kinds_of
from tests.experiments.fake_run import make_arm

PERCENTILES = ("p50", "p95", "p99")
DISTRIBUTED = ("latency_s", "ttft_s", "itl_s", "tpot_s", "e2e_s", "stall_s")
OF_TOKENS = {"latency_s", "itl_s"}
OF_CELLS_ALONE = {
    "kv_tokens",
    "backlog",
    "overloaded_replicas",
    "backlog_growth_per_s",
}
FACTS = CostFacts(
    gpus=2,
    gpu_usd_per_hour=2.5,
    egress_usd_per_gb=0.05,
    edges={"orin-nano": EdgeFacts(15.0, 700, 10**9, 10**7)},
)


@pytest.fixture(scope="module")
def rows() -> ArmRun:
    run = make_arm(method_named("costeer"), devices=60, tokens=30, censored=4)
    counters = run.replicas[0].engine
    counters.forward_ns, counters.select_ns, counters.peak_kv_tokens = 10**9, 10**7, 4000
    return run


def keys(method: str = "costeer", way: str = "fleet") -> dict[str, str]:
    return {"method": method, "codec": "top-64", "way": way, "values": "null"}


def fleet_arm(run: ArmRun, index: int = 0, method: str = "costeer", **changes: Any) -> FleetArm:
    kinds = kinds_of(run)
    result = changes.pop("result", None) or cell_of_rows(run, kinds)
    return FleetArm(
        index, keys(method), {"bytes": "declared"}, result, kinds, 10_000, FACTS, complete=True
    )


def of_rows(run: ArmRun) -> dict[str, Any]:
    arm = arm_of(0, keys(), run, {"bytes": "declared"})
    arm = replace(arm, facts=FACTS, kv_capacity_tokens=10_000)
    return summarise(frames_of([(keys(), run, None)]), [arm])


def test_what_is_summed_is_exact_and_percentiles_are_near(rows: ArmRun) -> None:
    expected, found = of_rows(rows)["arms"], summarise_cells([fleet_arm(rows)])["arms"]
    assert [row["link_class"] for row in found] == [row["link_class"] for row in expected]
    for mine, theirs in zip(found, expected, strict=True):
        assert set(mine) - OF_CELLS_ALONE == set(theirs)
        for name, value in theirs.items():
            if name in DISTRIBUTED:
                check_spread(mine[name], value, many=name in OF_TOKENS)
            elif name not in {"output_digest", "digest", "complete"}:
                check_equal(mine[name], value, name)


def check_spread(mine: dict[str, float], theirs: dict[str, float], *, many: bool) -> None:
    assert mine["mean"] == pytest.approx(theirs["mean"], rel=1e-9)
    for name in PERCENTILES:
        # The nearest rank of few requests is another one than between two of them.
        allowed = 0.05 if many else 0.3
        assert mine[name] == pytest.approx(theirs[name], rel=allowed, abs=1e-6)


def check_equal(mine: object, theirs: object, name: str) -> None:
    if isinstance(theirs, dict) and isinstance(mine, dict):
        assert set(mine) == set(theirs), name
        for key, value in theirs.items():
            check_equal(mine[key], value, f"{name}.{key}")
    elif isinstance(theirs, float):
        assert mine == pytest.approx(theirs, rel=1e-9), name
    else:
        assert mine == theirs, name


def test_halves_make_the_whole(rows: ArmRun) -> None:
    kinds = kinds_of(rows)
    one, two = (cell_of_rows(half(rows, side), kinds) for side in (0, 1))
    together = summarise_cells([fleet_arm(rows, result=one.merged(two))])["arms"]
    alone = summarise_cells([fleet_arm(rows)])["arms"]
    # The cloud's figures are of the fake cells, not of their rows.
    for mine, theirs in zip(together, alone, strict=True):
        for name in (*DISTRIBUTED, "tokens", "requests", "breakdown_s", "makespan_s"):
            assert mine[name] == theirs[name]


def test_every_class_of_devices_has_a_row_with_its_stages(rows: ArmRun) -> None:
    summary = summarise_cells([fleet_arm(rows)])
    assert [(row["link_class"], row["device_class"]) for row in summary["classes"]] == kinds_of(
        rows
    )
    for row in summary["classes"]:
        assert sum(row["itl_breakdown_s"].values()) == pytest.approx(row["itl_s"]["mean"])
        assert set(row["itl_breakdown_s"]) == set(STAGES)
    assert sum(row["tokens"] for row in summary["classes"]) == summary["arms"][0]["tokens"]


def test_a_cell_without_requests_has_no_numbers(rows: ArmRun) -> None:
    kinds = kinds_of(rows)
    empty = cell_of_rows(ArmRun(), kinds)
    row = summarise_cells([fleet_arm(rows, result=empty)])["arms"][0]
    assert (row["tokens"], row["requests"], row["makespan_s"]) == (0, 0, None)
    assert row["itl_s"] == dict.fromkeys(("mean", *PERCENTILES))
    json.dumps(row, allow_nan=False)


def write_fleet(path: Path, run: ArmRun) -> None:
    arms = [fleet_arm(run), fleet_arm(run, 1, "light_costeer")]
    with RunSink(path, f"name: {path.name}\nway: fleet\n", {"name": path.name}) as sink:
        sink.write_summary(summarise_cells(arms))
        sink.write_frame("histograms", histograms_frame(arms))
        sink.write_frame("series", series_frame(arms))
        sink.close(complete=True, sample={"requests": 0, "of": 120})


def test_tables_hold_every_value_and_every_bin(rows: ArmRun, tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", rows)
    run = load(tmp_path / "fleet")
    assert run.histograms is not None
    assert run.series is not None
    itl = run.histograms[(run.histograms["figure"] == "itl") & (run.histograms["arm"] == 0)]
    assert itl["count"].sum() == sum(row.record.position > 0 for row in rows.tokens)
    assert set(SERIES) < set(run.series.columns)
    assert run.series[run.series["arm"] == 1]["tokens"].sum() == len(rows.tokens)


def test_a_fleet_has_a_report_and_tables(rows: ArmRun, tmp_path: Path) -> None:
    write_fleet(tmp_path / "fleet", rows)
    html = write_report(tmp_path / "fleet").read_text()
    for text in (
        "a sample: 0 of 120 requests",
        "nearest rank",
        "The fleet over simulated time",
        "each class of devices",
        "lte, orin-nano",
        "GPU busy",
    ):
        assert text in html.replace("GPU</th>", "GPU busy"), text
    plots = {each.stem for each in (tmp_path / "fleet" / "plots").iterdir()}
    assert plots == {"series", "stages", "classes", "itl", "requests", "bytes", "links"}
    csv = {each.stem for each in write_tables(tmp_path / "fleet", "csv")}
    assert {"arms", "cloud", "class-stages", "link-classes", "summary"} <= csv
