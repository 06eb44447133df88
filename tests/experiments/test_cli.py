"""The command line: errors are one line and exit code 2, nothing heavy is imported for help."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from actors.port import HostDiedError
from costeer.errors import ConfigError, LocalProtocolError
from experiments import cli
from experiments.commands.bench import _table
from experiments.commands.options import (
    address,
    check_writable,
    count,
    run_directory,
    seed,
    write_file,
)
from experiments.metrics import MetricsAt
from experiments.progress import LineProgress
from tests.actors.tiny_pair import tiny_folder

HEAVY = ("matplotlib", "numba", "numpy", "pandas", "pyarrow", "pydantic", "ray", "torch", "yaml")

Fail = type[BaseException] | BaseException | None


@dataclass
class FakeOutcome:
    run_dir: Path
    summary: dict[str, Any]


class FakeRun(ModuleType):
    """Stands for `experiments.run`: remembers what it was asked, fails as told."""

    def __init__(self, fail: Fail = None) -> None:
        super().__init__("experiments.run")
        self.fail = fail
        self.writes = False
        self.asked: dict[str, Any] = {}

    def run_scenario(
        self,
        scenario: object,
        out_dir: Path,
        address: str,
        progress: object,
        metrics_at: tuple[str, int] | None,
        **how: object,
    ) -> FakeOutcome:
        self.asked = {
            "scenario": scenario,
            "out_dir": out_dir,
            "address": address,
            "metrics_at": metrics_at,
            **how,
        }
        assert isinstance(progress, LineProgress)
        if self.writes:
            out_dir.mkdir()
            (out_dir / "manifest.json").touch()
        if self.fail is not None:
            raise self.fail
        return FakeOutcome(out_dir, {"arms": []})


@pytest.fixture
def fake_run(monkeypatch: pytest.MonkeyPatch) -> FakeRun:
    fake = FakeRun()
    monkeypatch.setitem(sys.modules, "experiments.run", fake)
    return fake


def error_of(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The complaint of a command that the user got wrong."""
    assert cli.main(argv) == cli.EXIT_USER
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("costeer: ")
    assert shown.err.count("\n") == 1
    return shown.err.removeprefix("costeer: ").rstrip()


def test_help_imports_nothing_heavy() -> None:
    code = (
        "import sys; from experiments import cli\n"
        "try: cli.main(['--help'])\n"
        f"except SystemExit: print([m for m in {HEAVY} if m in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout
    assert "commands:" in shown
    assert shown.splitlines()[-1] == "[]"


def parsers_of(parser: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser, and those of all that stands below it."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from parsers_of(below)


def test_every_command_has_help() -> None:
    parsers = list(parsers_of(cli._parser()))
    assert len(parsers) > 25
    for parser in parsers:
        assert f"usage: {parser.prog}" in parser.format_help()


def test_version(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        cli.main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith("costeer ")


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        ((), "required: COMMAND"),
        (("rnu",), "'rnu' is not known; did you mean 'run'?"),
        (("run",), "give a SCENARIO, or --resume RUN_DIR; see `costeer run --help`"),
        (("run", "tiny", "--sed", "3"), "unrecognized arguments: --sed 3"),
        (("run", "tiny", "--seed", "x"), "--seed: 'x' is not a whole number"),
        (("run", "tiny", "--address", "here"), "none of local, auto, none, HOST:PORT"),
        (("validate", "tyni"), "did you mean 'tiny'?"),
        (("validate", "tiny", "--set", "fleet.devcies=1"), "did you mean 'devices'?"),
        (("validate", "tiny", "--prompts", "no'where.jsonl"), "there is no no'where.jsonl"),
        (("run", "overhead", "--prompts", "x.jsonl"), "add --set values=models"),
        (("expand", "nowhere.yaml"), "nowhere.yaml: no such file or directory"),
        (("report", "nowhere"), "nowhere: no manifest.json there"),
        (("evaluate", "pair", "--slm", "nowhere"), "model nowhere: has no config.json"),
        (("evaluate", "apir"), "'apir' is not known; did you mean 'pair'?"),
        (("bench", "--out", "nowhere/bench.json"), "nowhere/bench.json: cannot be written"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(
    argv: tuple[str, ...], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert expected in error_of(capsys, *argv)


def test_a_bad_row_is_named_by_file_and_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"id": "a"}\n', encoding="utf-8")
    argv = ("validate", "tiny", "--prompts", str(rows))
    assert error_of(capsys, *argv).startswith(f"{rows}:1: input: is missing")


def test_debug_shows_the_traceback_as_well(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["validate", "--debug", "tyni"]) == cli.EXIT_USER
    shown = capsys.readouterr().err
    assert "Traceback" in shown
    assert shown.splitlines()[-1].startswith("costeer: ")


def test_run_hands_over_what_was_asked(
    fake_run: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    argv = ["run", "overhead", "--out", str(out), "--seed", "5", "--address", "none", "--json"]
    assert cli.main([*argv, "--set", "fleet.devices=2", "--metrics-port", "9464"]) == 0
    assert fake_run.asked["metrics_at"] == MetricsAt("127.0.0.1", 9464)
    assert (fake_run.asked["out_dir"], fake_run.asked["address"]) == (out, "none")
    assert (fake_run.asked["jobs"], fake_run.asked["resume"]) == (None, False)
    assert fake_run.asked["scenario"].seed == 5
    assert fake_run.asked["scenario"].fleet.devices == 2
    assert json.loads(capsys.readouterr().out) == {"run_dir": str(out), "arms": []}


def test_ctrl_c_is_exit_code_130_and_says_what_is_left(
    fake_run: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run.fail = KeyboardInterrupt
    assert cli.main(["run", "overhead", "--out", str(tmp_path)]) == cli.EXIT_INTERRUPTED
    assert capsys.readouterr().err == "costeer: interrupted\n"
    fake_run.writes, out = True, tmp_path / "run"
    assert cli.main(["run", "overhead", "--out", str(out)]) == cli.EXIT_INTERRUPTED
    assert f"`costeer report {out}`" in capsys.readouterr().err


def test_a_run_that_fails_says_what_is_left_in_one_line_each(
    fake_run: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run.fail, fake_run.writes = HostDiedError("an actor died:\n  out of memory"), True
    for debug, out in (([], tmp_path / "a"), (["--debug"], tmp_path / "b")):
        assert cli.main(["run", "overhead", "--out", str(out), *debug]) == cli.EXIT_FAILED
        partial, *trace, last = capsys.readouterr().err.splitlines()
        assert partial.startswith(f"costeer: partial run in {out}; look at it with ")
        assert last == "costeer: an actor died: out of memory"
        assert ("Traceback" in " ".join(trace)) == bool(debug)


def test_what_lay_there_before_is_no_partial_run(
    fake_run: FakeRun, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "manifest.json").touch()
    fake_run.fail = ConfigError("holds a run already")
    assert error_of(capsys, "run", "overhead", "--out", str(tmp_path)) == "holds a run already"


def test_an_error_of_the_run_is_one_line(
    fake_run: FakeRun, capsys: pytest.CaptureFixture[str]
) -> None:
    fake_run.fail = ConfigError("port 6379:\n  in use; choose another")
    assert error_of(capsys, "run", "overhead") == "port 6379: in use; choose another"


def test_our_own_bugs_are_not_hidden(fake_run: FakeRun) -> None:
    fake_run.fail = LocalProtocolError("two forwards at once")
    with pytest.raises(LocalProtocolError):
        cli.main(["run", "overhead"])


def test_validate_and_expand(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert cli.main(["validate", "tiny"]) == 0
    assert capsys.readouterr().out.startswith("tiny: valid (3 devices in 2 classes, 3 arms, 3 ")
    assert cli.main(["expand", "tiny", "--seed", "9"]) == 0
    expanded = tmp_path / "tiny.yaml"
    expanded.write_text(capsys.readouterr().out, encoding="utf-8")
    assert cli.main(["expand", str(expanded)]) == 0
    assert capsys.readouterr().out == expanded.read_text(encoding="utf-8")


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (("tiny", "cloud.kv_tokens=15"), "cannot hold one session"),
        (("overhead", "cloud.kv_tokens=15"), "cannot hold one session"),
        (("tiny", "workload.max_new_tokens=10000"), "the models allow"),
        (
            ("tiny", "models.cloud.path=models/mine"),
            "models.cloud.path: model models/mine: no such folder, and no model hub answers; fetch",
        ),
    ],
)
def test_validate_finds_what_cannot_run(
    given: tuple[str, str],
    expected: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    name, change = given
    assert expected in error_of(capsys, "validate", name, "--set", change)


def test_validate_finds_tokenizers_that_differ(capsys: pytest.CaptureFixture[str]) -> None:
    other = str(tiny_folder("qwen2"))
    capsys.readouterr()  # making it says something
    told = error_of(capsys, "validate", "tiny", "--set", f"models.edge.path={other}")
    assert "tokenizers differ" in told


def test_calibrate_says_at_once_that_a_model_is_not_there(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    out = tmp_path / "calibration.json"
    told = error_of(capsys, "calibrate", "--slm", "models/mine", "--out", str(out))
    assert told.startswith("models.edge.path: model models/mine: no such folder, and no model hub")
    assert not out.exists()


def test_the_bench_table_has_targets_and_bounds() -> None:
    rows = [
        {"bench": "run", "case": "a", "median_s": 1e-4, "share": 0.9, "target": 0.8},
        {"bench": "driver", "case": "b", "median_s": 5e-5, "target": 1e-4},
        {"bench": "codec", "case": "c", "frame_bytes": 211.0, "entropy_coder_bytes": 190.0},
    ]
    table = _table(rows)
    for expected in ("≥ 80 %", "≤ 100 µs", "coder bound", "211", "190"):
        assert expected in table
    assert "ids bound" not in table
    assert "ids bound" in _table([{"bench": "codec", "case": "c", "ids_bound_bytes": 90.0}])


def test_options() -> None:
    assert address("10.0.0.1:6379") == "10.0.0.1:6379"
    assert (seed("0"), count("1")) == (0, 1)
    for convert, text in [(address, "host:0"), (address, ":1"), (seed, "-1"), (count, "0")]:
        with pytest.raises(Exception, match=f"'{text}'"):
            convert(text)


def test_a_run_gets_a_directory_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("time.strftime", lambda _: "now")
    first = run_directory(None, "tiny")
    assert first == Path("runs/tiny-now")
    first.mkdir(parents=True)
    assert run_directory(None, "tiny") == Path("runs/tiny-now-2")
    assert run_directory(Path("mine"), "tiny") == Path("mine")


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    for write in (check_writable, lambda path: write_file(path, "text")):
        with pytest.raises(ConfigError, match="choose another --out"):
            write(tmp_path)


def test_a_check_leaves_what_is_there(tmp_path: Path) -> None:
    path = tmp_path / "bench.json"
    write_file(path, "earlier results")
    check_writable(path)
    assert path.read_text(encoding="utf-8") == "earlier results"
    check_writable(tmp_path / "new.json")
    assert not (tmp_path / "new.json").exists()
