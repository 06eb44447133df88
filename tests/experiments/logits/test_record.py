"""Recording a pair, and running without it: the same tokens from the same rows."""

from __future__ import annotations

from pathlib import Path

import pytest

from actors.values.recorded import Recording
from costeer.errors import ConfigError
from experiments.hosting import open_laboratory
from experiments.logits.record import record
from experiments.planning import check_plan
from experiments.progress import NoProgress
from experiments.results.run import load
from experiments.run import run_in
from experiments.scenario import load_scenario

STEERED = ["arms=[{method: costeer, codec: top64-bf16-packed}]", "workload.max_new_tokens=5"]


def tokens_of(scenario_overrides: list[str], out: Path) -> list[int]:
    scenario = load_scenario("tiny", scenario_overrides)
    with open_laboratory(scenario, "none") as laboratory:
        run_in(laboratory, scenario, check_plan(scenario), out, NoProgress())
    tokens = load(out).tokens.sort_values(["device", "request", "position"])
    return [int(token) for token in tokens["token"]]


def test_a_recorded_run_chooses_what_the_models_chose(tmp_path: Path) -> None:
    path = tmp_path / "logits.parquet"
    count = record(load_scenario("tiny", STEERED), path)
    recording = Recording(path)
    assert count == sum(len(recording.session(s).tokens) for s in range(recording.sessions)) == 15
    replayed = [*STEERED, "values=recorded", f"recorded.path={path}"]
    replayed[0] = "arms=[{method: costeer, codec: top16-bf16-packed}]"
    assert tokens_of(replayed, tmp_path / "replayed") == tokens_of(STEERED, tmp_path / "real")


def test_what_cannot_be_recorded_or_served_is_said(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="real ones need models"):
        record(load_scenario("tiny", ["values=generated"]), tmp_path / "x")
    with pytest.raises(ConfigError, match="no arm of tiny steers"):
        record(load_scenario("tiny", ["arms=[{method: llm_with}]"]), tmp_path / "x")
    with pytest.raises(ConfigError, match=r"recorded: \{path"):
        load_scenario("tiny", ["values=recorded"])
    served = ["values=recorded", "recorded.path=none.parquet"]
    with pytest.raises(ConfigError, match="slm_with"):
        check_plan(load_scenario("tiny", served))
    with pytest.raises(ConfigError, match="no such file"):
        check_plan(load_scenario("tiny", [*STEERED, *served]))
