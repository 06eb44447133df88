"""Whole runs that are stopped or fail: what is left, and that it can be read."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

import actors.values.steering_host
from actors.port import HostDiedError
from costeer.errors import ConfigError
from experiments import cli
from experiments.hosting import Laboratory, open_port
from experiments.interrupt import deferred_interrupt
from experiments.outcome import check_out_dir
from experiments.progress import NoProgress
from experiments.results import load
from experiments.scenario import dump_scenario
from tests.experiments.small_runs import run, scenario

ROOT = Path(__file__).parents[2]


class Impatient(NoProgress):
    """Presses Ctrl-C when a certain number of tokens has come."""

    def __init__(self, tokens: int, presses: int = 1) -> None:
        self._left = tokens
        self._presses = presses

    def advance(self, units: int = 1) -> None:
        self._left -= units
        while self._left <= 0 < self._presses:
            self._presses -= 1
            os.kill(os.getpid(), signal.SIGINT)


@pytest.fixture(autouse=True)
def _usual_handler() -> Iterator[None]:
    usual = signal.getsignal(signal.SIGINT)
    yield
    assert signal.getsignal(signal.SIGINT) is usual


@pytest.mark.parametrize(("way", "presses"), [("virtual", 1), ("virtual", 2), ("live", 1)])
def test_ctrl_c_leaves_a_partial_run(way: str, presses: int, tmp_path: Path) -> None:
    arms = [{"method": "costeer"}, {"method": "slm_with"}]
    given = scenario(way=way, arms=arms, workload={"max_new_tokens": 40})
    with pytest.raises(KeyboardInterrupt):
        run(given, tmp_path / "run", progress=Impatient(16, presses))
    found = load(tmp_path / "run")
    assert not found.complete
    # The first arm is cut off, the other never began.
    assert set(found.requests["method"]) == {"costeer"}
    assert found.requests["censored"].any()
    assert len(found.tokens) >= 16
    counted = found.requests["tokens"].map(len).sum()
    assert counted == len(found.tokens)
    assert not (tmp_path / "run" / "pieces").exists()
    with pytest.raises(ConfigError, match="holds a run already"):
        check_out_dir(tmp_path / "run")


def test_ctrl_c_after_the_last_token_of_an_arm_begins_no_other(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        run(scenario(), tmp_path / "run", progress=Impatient(24))
    found = load(tmp_path / "run")
    assert not found.complete
    assert set(found.requests["method"]) == {"slm_with"}
    assert set(found.requests["reason"]) == {"length"}


@pytest.fixture
def usual_interrupts() -> Iterator[None]:
    """Python's own handler: who starts the tests in the background makes them ignore SIGINT."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("usual_interrupts")
def test_interrupts_are_deferred_once_and_in_the_main_thread_alone() -> None:
    with deferred_interrupt() as pressed:
        assert not pressed()
        os.kill(os.getpid(), signal.SIGINT)
        assert pressed()
        with pytest.raises(KeyboardInterrupt):
            os.kill(os.getpid(), signal.SIGINT)
    asked: list[bool] = []

    def elsewhere() -> None:
        with deferred_interrupt() as never_pressed:
            asked.append(never_pressed())

    thread = threading.Thread(target=elsewhere)
    thread.start()
    thread.join()
    assert asked == [False]


@pytest.mark.ray
def test_ctrl_c_while_a_cluster_starts_ends_it(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []

    class Starting:
        def __init__(self, address: str, *, min_cpus: int, **others: object) -> None:
            assert not others["min_gpus"]
            os.kill(os.getpid(), signal.SIGINT)
            told.append(f"started {address} with {min_cpus}")

        def close(self) -> None:
            told.append("closed")

    monkeypatch.setattr("cluster.ray_port.RayPort", Starting)
    with pytest.raises(KeyboardInterrupt), open_port("local", 3):
        told.append("used")
    assert told == ["started local with 3", "closed"]


@pytest.mark.parametrize("way", ["virtual", "live"])
def test_a_failure_surfaces_and_leaves_a_partial_run(
    way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    select = actors.values.steering_host.Selector.select
    left = iter(range(30))

    def failing(*given: Any) -> Any:
        if next(left, None) is None:
            raise OSError("the disk is gone")
        return select(*given)

    monkeypatch.setattr(actors.values.steering_host.Selector, "select", failing)
    given = scenario(way=way, workload={"max_new_tokens": 20})
    with pytest.raises(OSError, match="the disk is gone"):
        run(given, tmp_path / "run")
    found = load(tmp_path / "run")
    assert not found.complete
    summary = json.loads((tmp_path / "run" / "summary.json").read_text(encoding="utf-8"))
    assert found.summary == summary
    first, *_, failed = [arm for arm in summary["arms"] if arm["link_class"] == "all"]
    assert (first["method"], first["complete"]) == ("slm_with", True)
    assert first["origins"]["compute"] == ("measured" if way == "live" else "roofline")
    assert first["output_digest"]
    assert (first["digest"] is None) == (way == "live")
    assert not failed["complete"]
    assert failed["origins"] == first["origins"]
    assert {arm["arm"] for arm in summary["arms"]} == set(found.requests["arm"])
    monkeypatch.undo()
    whole = run(given, tmp_path / "whole").summary["arms"]
    assert next(iter(whole))["output_digest"] == first["output_digest"]
    reasons = found.requests.groupby("method")["reason"].agg(set).to_dict()
    assert reasons["slm_with"] == {"length"}
    assert "censored" in set().union(*reasons.values())
    assert isinstance(found.tokens, pd.DataFrame)
    assert found.requests["tokens"].map(len).sum() == len(found.tokens)


@pytest.mark.parametrize("ended", [0, 1])
def test_an_arm_that_cannot_begin_leaves_the_others(
    ended: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    begin, left = Laboratory.begin_arm, iter(range(ended))

    def failing(laboratory: Laboratory, arm: Any) -> int:
        if next(left, None) is None:
            raise HostDiedError("an actor died during begin_arm")
        return begin(laboratory, arm)

    monkeypatch.setattr(Laboratory, "begin_arm", failing)
    with pytest.raises(HostDiedError):
        run(scenario(), tmp_path / "run")
    if not ended:
        # A model that cannot be loaded: nothing was run, so there is nothing to go on with.
        assert not (tmp_path / "run").exists()
        return
    found = load(tmp_path / "run")
    assert not found.complete
    assert (tmp_path / "run" / "summary.json").exists()
    whole = [arm for arm in found.summary["arms"] if arm["link_class"] == "all"]
    assert [(arm["method"], arm["complete"]) for arm in whole] == [("slm_with", True)][:ended]


# --------------------------------------------------------------------------- Ctrl-C


def children_of(process: int) -> set[int]:
    """All descendants that live, whatever group they are in."""
    parents: dict[int, int] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdecimal():
            try:
                fields = (entry / "stat").read_text(encoding="utf-8").rpartition(")")[2].split()
            except OSError:
                continue
            if fields[0] != "Z":
                parents[int(entry.name)] = int(fields[1])
    found = {process}
    while more := {child for child, parent in parents.items() if parent in found} - found:
        found |= more
    return found - {process}


def alive(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()
    except OSError:
        return False
    return state[0] != "Z"


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
@pytest.mark.parametrize("address", ["none", pytest.param("local", marks=pytest.mark.ray)])
def test_ctrl_c_in_the_command(address: str, tmp_path: Path) -> None:
    """As a terminal does it: to the whole group of processes."""
    file, out = tmp_path / "long.yaml", tmp_path / "run"
    given = scenario(values="null", workload={"max_new_tokens": 100_000})
    file.write_text(dump_scenario(given), encoding="utf-8")
    command = [sys.executable, "-m", "experiments.cli", "run", str(file), "--out", str(out)]
    with subprocess.Popen(
        [*command, "--address", address],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        waiting = threading.Event()
        while not (out / "manifest.json").exists():
            assert process.poll() is None, process.communicate()
            waiting.wait(0.05)
        started = children_of(process.pid)
        assert bool(started) == (address == "local")
        os.killpg(process.pid, signal.SIGINT)
        shown, told = process.communicate(timeout=120)
    assert process.returncode == cli.EXIT_INTERRUPTED, told
    assert shown == ""
    assert told.endswith("costeer: interrupted\n")
    assert "partial run in" in told
    assert "Traceback" not in told
    found = load(out)
    assert not found.complete
    assert found.requests["tokens"].map(len).sum() == len(found.tokens)
    while any(map(alive, started)):
        waiting.wait(0.05)
