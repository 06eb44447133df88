"""A run that was cut off goes on: same digests, every row once, whatever cut it off."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import yaml

from experiments import cli
from experiments.progress import NoProgress
from experiments.results import load
from experiments.run import run_scenario
from experiments.scenario import Scenario, dump_scenario
from tests.experiments.small_runs import digests, random_pair, run, scenario

ROOT = Path(__file__).parents[2]


class Cut(NoProgress):
    """Ends the run when so many tokens have come."""

    def __init__(self, tokens: int, how: str) -> None:
        self._left = tokens
        self._how = how

    def advance(self, units: int = 1) -> None:
        self._left -= units
        if self._left <= 0:
            self._left = 10**9
            if self._how == "ctrl-c":
                os.kill(os.getpid(), signal.SIGINT)
            else:
                raise RuntimeError(self._how)


def resumed(given: Scenario, run_dir: Path) -> list[tuple[str, str | None]]:
    return digests(run_scenario(given, run_dir, "none", NoProgress(), resume=True))


def check_rows(run_dir: Path, whole: Path) -> None:
    ours, wanted = load(run_dir), load(whole)
    assert ours.complete
    assert not (run_dir / "pieces").exists()
    for name in ("tokens", "requests"):
        keys = ["arm", "device", "request"] + (["position"] if name == "tokens" else [])
        left, right = (getattr(each, name).sort_values(keys) for each in (ours, wanted))
        assert len(left) == len(right)
        assert (
            left.drop(columns=["started"], errors="ignore")
            .reset_index(drop=True)
            .equals(right.reset_index(drop=True))
        )


@pytest.mark.parametrize(("how", "tokens"), [("ctrl-c", 4), ("an error", 36), ("ctrl-c", 60)])
def test_what_was_cut_off_goes_on(how: str, tokens: int, tmp_path: Path) -> None:
    given = scenario(arms=[{"method": name} for name in ("slm_with", "llm_with", "costeer")])
    expected = digests(run(given, tmp_path / "whole"))
    with pytest.raises((KeyboardInterrupt, RuntimeError)):
        run(given, tmp_path / "run", progress=Cut(tokens, how))
    assert resumed(given, tmp_path / "run") == expected
    check_rows(tmp_path / "run", tmp_path / "whole")
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text(encoding="utf-8"))
    assert manifest["resumed_after_tokens"] <= tokens + 16


def test_texts_of_models_are_those_of_the_whole_run(tmp_path: Path) -> None:
    given = scenario(
        values="models",
        models=random_pair(),
        arms=[{"method": "costeer", "codec": "top8-bf16-packed"}],
        workload={"limit": 3, "max_new_tokens": 6},
    )
    expected = digests(run(given, tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run(given, tmp_path / "run", progress=Cut(20, "ctrl-c"))
    assert resumed(given, tmp_path / "run") == expected
    check_rows(tmp_path / "run", tmp_path / "whole")


def test_a_live_run_goes_on_where_its_rows_end(tmp_path: Path) -> None:
    given = scenario(
        way="live", arms=[{"method": "slm_with"}, {"method": "costeer"}],
        workload={"max_new_tokens": 12},
    )  # fmt: skip
    simulated = run(given.model_copy(update={"way": "virtual"}), tmp_path / "virtual")
    with pytest.raises(KeyboardInterrupt):
        run(given, tmp_path / "run", progress=Cut(90, "ctrl-c"))
    said = [output for output, _ in digests(simulated)]
    assert [output for output, _ in resumed(given, tmp_path / "run")] == said
    found = load(tmp_path / "run")
    assert found.complete
    assert len(found.tokens) == len(load(tmp_path / "virtual").tokens)
    assert not found.tokens.duplicated(["arm", "device", "request", "position"]).any()


def test_a_driver_that_is_killed_goes_on(tmp_path: Path) -> None:
    """SIGKILL while pieces are written; a torn piece is no piece."""
    given = scenario(
        fleet={**scenario().model_dump(mode="json")["fleet"], "devices": 5},
        workload={"max_new_tokens": 40},
    )
    file, run_dir = tmp_path / "small.yaml", tmp_path / "run"
    file.write_text(dump_scenario(given), encoding="utf-8")
    child = subprocess.Popen(
        [sys.executable, "-m", "experiments.cli", "run", str(file), "--address", "none",
         "--out", str(run_dir)],
        cwd=ROOT, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    while not (run_dir / "pieces" / "000002").exists() and child.poll() is None:
        threading.Event().wait(0.01)
    child.kill()
    assert child.wait() == -signal.SIGKILL
    (run_dir / ".piece-999999").mkdir()
    partial = load(run_dir)
    assert not partial.complete
    assert cli.main(["run", "--resume", str(run_dir), "--address", "none", "--json"]) == 0
    assert [
        (arm["output_digest"], arm["digest"])
        for arm in load(run_dir).arms
        if arm["link_class"] == "all"
    ] == digests(run(given, tmp_path / "whole"))
    check_rows(run_dir, tmp_path / "whole")


def test_what_cannot_go_on_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def told(*arguments: str) -> str:
        assert cli.main(["run", *arguments]) == cli.EXIT_USER
        return capsys.readouterr().err

    assert "give a SCENARIO, or --resume" in told()
    assert "no run there" in told("--resume", str(tmp_path / "nothing"))
    whole = run(scenario(), tmp_path / "whole").run_dir
    assert "is complete" in told("--resume", str(whole))
    assert "leave out SCENARIO" in told("tiny", "--resume", str(whole))
    assert "leave out --seed" in told("--resume", str(whole), "--seed", "3")
    changed = tmp_path / "changed"
    with pytest.raises(KeyboardInterrupt):
        run(scenario(), changed, progress=Cut(40, "ctrl-c"))
    data = yaml.safe_load((changed / "scenario.yaml").read_text(encoding="utf-8"))
    data["seed"] = 99
    (changed / "scenario.yaml").write_text(yaml.safe_dump(data), encoding="utf-8")
    assert "says something else" in told("--resume", str(changed), "--address", "none")
    # What was written before is there still.
    assert len(load(changed).tokens) >= 40
    shutil.rmtree(changed)
