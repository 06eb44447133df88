"""Whole runs: what is written, whatever the way, and nothing of the wall's clock in results."""

from __future__ import annotations

import json
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from costeer.errors import ConfigError
from experiments import cli
from experiments.hosting import open_laboratory
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.results import load
from experiments.run import run_in, run_scenario
from experiments.scenario import dump_scenario
from tests.experiments.small_runs import digests, random_pair, run, scenario

ROOT = Path(__file__).parents[2]


# --------------------------------------------------------------------------- what is written


def test_a_run_is_written_and_read_back(tmp_path: Path) -> None:
    given = scenario()
    outcome = run_scenario(given, tmp_path / "run", "none", NoProgress())
    found = load(outcome.run_dir)
    assert found.complete
    assert (outcome.run_dir / "report.html").exists()
    assert found.scenario_text == dump_scenario(given)
    assert len(found.tokens) == 3 * 3 * 2 * 4
    assert len(found.requests) == 3 * 3 * 2
    stages = found.tokens.filter(like="stage_").sum(axis=1)
    assert (stages == found.tokens["latency_ns"]).all()
    assert (found.tokens["stage_overhead_ns"] == 0).all()
    assert found.manifest["seed"] == 1
    log = (outcome.run_dir / "log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["method"] for line in log] == ["slm_with", "llm_without", "costeer"]
    whole = [arm for arm in found.arms if arm["link_class"] == "all"]
    assert [arm["tokens"] for arm in whole] == [24, 24, 24]
    assert whole[2]["origins"] == {
        "bytes": "synthetic",
        "links": "declared",
        "compute": "roofline",
    }


def test_a_laboratory_serves_several_runs(tmp_path: Path) -> None:
    given = scenario()
    workload = plan_workload(given)
    with open_laboratory(given, "none") as laboratory:
        outcomes = [
            run_in(laboratory, given, workload, tmp_path / name, NoProgress()) for name in "ab"
        ]
    assert digests(outcomes[0]) == digests(outcomes[1])


@pytest.mark.parametrize("changes", [{"seed": 2}, {"generated": {"vocab_size": 401}}])
def test_other_scenarios_have_other_digests(changes: dict[str, Any], tmp_path: Path) -> None:
    first = digests(run(scenario(), tmp_path / "a"))
    other = digests(run(scenario(**changes), tmp_path / "b"))
    assert not set(first) & set(other)


def test_constant_values_need_no_vocabulary_of_a_size(tmp_path: Path) -> None:
    given = scenario(values="null", generated={"vocab_size": 70, "boost_ranks": 8})
    outcome = run(given, tmp_path / "run")
    tokens = load(outcome.run_dir).tokens
    assert set(tokens["token"]) == {0, 1, 2, 3}


# --------------------------------------------------------------------------- ways and values


def test_the_compiled_way_equals_the_virtual_one(tmp_path: Path) -> None:
    """Law 5, through the whole of a run: links, costs and workload as a scenario has them."""
    found = {
        way: digests(run(scenario(way=way, values="null"), tmp_path / way))
        for way in ("virtual", "fleet")
    }
    assert found["fleet"] == found["virtual"]


def test_live_and_virtual_say_the_same(tmp_path: Path) -> None:
    for name, changes in {
        "generated": {},
        "models": {
            "values": "models",
            "models": random_pair(),
            "workload": {"limit": 3, "max_new_tokens": 4},
        },
    }.items():
        fleet = {
            "devices": 3,
            "shards": 2,
            "arrivals": {"kind": "closed", "think_s": 0.0},
            "classes": [{"share": 1, "link": "ideal", "hardware": "laptop-cpu"}],
        }
        simulated = run(scenario(fleet=fleet, **changes), tmp_path / f"{name}-virtual")
        real = run(scenario(fleet=fleet, way="live", **changes), tmp_path / f"{name}-live")
        said, _ = zip(*digests(simulated), strict=True)
        assert [output for output, _ in digests(real)] == list(said)
        assert {each for _, each in digests(real)} == {None}
        assert load(real.run_dir).complete


def test_texts_are_scored_and_what_the_cloud_saw_is_told(tmp_path: Path) -> None:
    given = scenario(
        values="models",
        models=random_pair(),
        arms=[{"method": name} for name in ("slm_with", "llm_without", "llm_with", "costeer")],
        workload={"limit": 3, "max_new_tokens": 3},
    )
    requests = load(run(given, tmp_path / "run").run_dir).requests
    assert requests["text"].map(type).eq(str).all()
    assert requests["rouge_l"].between(0, 1).all()
    seen = requests.groupby("method")["facts_in_prompt_share"].mean()
    assert seen.to_dict() == {"slm_with": 0, "llm_without": 0, "llm_with": 1, "costeer": 0}
    rows = plan_workload(given).rows
    first = requests.iloc[0]
    assert first["prompt"] == rows[first["prompt_id"]].input
    assert first["reference"] == rows[first["prompt_id"]].output


# --------------------------------------------------------------------------- law 6


def test_a_clock_that_jumps_changes_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = digests(run(scenario(), tmp_path / "a"))
    wild = count(0, 7_919)
    for name in ("time", "monotonic", "perf_counter"):
        monkeypatch.setattr(time, name, lambda: float(next(wild) ** 3 % 10_007))
    for name in ("time_ns", "monotonic_ns", "perf_counter_ns"):
        monkeypatch.setattr(time, name, lambda: next(wild) ** 3 % 10**15)
    monkeypatch.setattr(time, "strftime", lambda *_: "the day after tomorrow")
    found = run(scenario(), tmp_path / "b")
    monkeypatch.undo()
    assert digests(found) == expected
    manifest = json.loads((found.run_dir / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["started"] == "the day after tomorrow"
    ours = (tmp_path / "a" / "summary.json").read_text(encoding="utf-8")
    assert (tmp_path / "b" / "summary.json").read_text(encoding="utf-8") == ours


# --------------------------------------------------------------------------- bad input, quickly


def complaint(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    assert cli.main(argv) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.count("\n") == 1, shown.err
    return shown.err


@pytest.fixture
def small_file(tmp_path: Path) -> str:
    file = tmp_path / "small.yaml"
    file.write_text(dump_scenario(scenario()), encoding="utf-8")
    return str(file)


def test_a_directory_that_cannot_be_written(
    small_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file").touch()
    for out in ("/proc/run", str(tmp_path / "file" / "run")):
        told = complaint(capsys, "run", small_file, "--address", "none", "--out", out)
        assert f"{out}: cannot be written" in told
    run(scenario(), tmp_path / "run")
    out = str(tmp_path / "run")
    told = complaint(capsys, "run", small_file, "--address", "none", "--out", out)
    assert f"{out}: holds a run already" in told


@pytest.mark.ray
def test_a_cluster_that_is_not_there(
    small_file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    arguments = ("run", small_file, "--out", str(out), "--address")
    told = complaint(capsys, *arguments, "127.0.0.1:1")
    assert "cannot enter a Ray cluster at '127.0.0.1:1'" in told
    assert "refused" in told
    assert not out.exists()


def test_an_arm_that_cannot_run_is_found_before_the_first(tmp_path: Path) -> None:
    given = scenario(
        cloud={"kv_tokens": 15}, arms=[{"method": "llm_without"}, {"method": "llm_with"}]
    )
    with pytest.raises(ConfigError, match="cannot hold one session"):
        run(given, tmp_path / "run")
    assert not (tmp_path / "run").exists()
