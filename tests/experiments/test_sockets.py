"""`costeer serve` and `costeer device`: the run of the simulated way, from two processes."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from costeer.errors import ConfigError
from experiments import cli
from experiments.results import load
from experiments.scenario import load_scenario
from experiments.sockets import choose_arm, choose_devices, make_token, read_token

SMALL = ("tiny", "--set", "values=generated", "--set", "generated.vocab_size=500")


@contextmanager
def serving(token: Path, *options: str) -> Iterator[tuple[str, list[str]]]:
    """A server in a process of its own; what it said stands in the list at the end."""
    command = [sys.executable, "-m", "experiments.cli", "serve", *SMALL, "--port", "0"]
    with subprocess.Popen(
        [*command, "--token-file", str(token), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as server:
        assert server.stdout is not None
        said: list[str] = []
        try:
            yield server.stdout.readline().strip(), said
        finally:
            server.send_signal(signal.SIGTERM)
            said.append(server.communicate(timeout=60)[1])
            assert server.returncode == 0


def device(token: Path, address: str, out: Path, *options: str) -> int:
    asked = ["device", *SMALL, "--connect", address, "--token-file", str(token)]
    return cli.main([*asked, "--out", str(out), *options])


def test_two_processes_choose_what_one_simulates(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    token = tmp_path / "token"
    with serving(token, "--arm", "costeer") as (address, said):
        run = device(token, address, tmp_path / "run", "--arm", "costeer", "--devices", "0-2")
        assert run == 0
        printed = capsys.readouterr().out
        assert "measured" in printed
        # Another arm, and another token, are told in one line.
        assert device(token, address, tmp_path / "other", "--arm", "llm_without") == 2
        assert "method is costeer at the cloud and llm_without here" in capsys.readouterr().err
        strange = tmp_path / "strange"
        strange.write_text("0123456789abcdef")
        assert device(strange, address, tmp_path / "strange-run", "--arm", "costeer") == 2
        assert "token is not the one" in capsys.readouterr().err
    assert "serving costeer from generated" in said[0]
    assert "5 connections served, 1 refused, 0 closed" in said[0]
    simulated = tmp_path / "simulated"
    options = ("--set", "arms=[{method: costeer, codec: {select: {kind: top_k, k: 64}}}]")
    arguments = ["run", *SMALL, *options, "--address", "none", "--out", str(simulated)]
    assert cli.main([*arguments, "--set", "arms.0.codec.values=bf16"]) == 0
    there, here = load(tmp_path / "run"), load(simulated)
    assert there.summary["output_digest"] == here.summary["output_digest"]
    assert set(there.tokens.way) == {"sockets"}
    assert set(there.requests.link_class) == {"as it is"}
    assert (tmp_path / "run" / "report.html").exists()
    assert device(token, address, tmp_path / "late", "--arm", "costeer") == 2
    assert "cannot be reached" in capsys.readouterr().err
    assert not (tmp_path / "late").exists()


@pytest.mark.parametrize(
    ("arm", "told"),
    [
        (None, "3 arms of tiny chosen; it has 1 slm_with, 2 llm_without, 3 costeer"),
        ("4", "no arm of tiny"),
        ("0", "no arm of tiny"),
        ("costeeer", "no arm of tiny"),
        ("slm_with", "decodes alone"),
    ],
)
def test_an_arm_that_cannot_be_served_is_told(arm: str | None, told: str) -> None:
    with pytest.raises(ConfigError, match=told):
        choose_arm(load_scenario("tiny"), arm)


def test_modelled_events_are_not_served() -> None:
    stalled = load_scenario("tiny", ["events=[{kind: cloud_stalls, at_s: 1, for_s: 1}]"])
    with pytest.raises(ConfigError, match="on sockets only what really happens"):
        choose_arm(stalled, "costeer")


def test_arms_and_devices_are_chosen() -> None:
    scenario = load_scenario("tiny")
    assert [each.method for each in choose_arm(scenario, "3").arms] == ["costeer"]
    assert choose_arm(scenario, "costeer") == choose_arm(scenario, "3")
    assert choose_devices(scenario, 0, None) == range(3)
    assert choose_devices(scenario, 1, 1) == range(1, 2)
    for first, last in ((2, 1), (0, 3)):
        with pytest.raises(ConfigError, match="fleet has devices 0-2"):
            choose_devices(scenario, first, last)


def test_a_token_is_made_once_and_for_its_owner(tmp_path: Path) -> None:
    path = tmp_path / "token"
    token = make_token(path)
    assert make_token(path) == read_token(path) == token
    assert path.stat().st_mode & 0o77 == 0
    path.chmod(0o644)
    with pytest.raises(ConfigError, match="chmod 600"):
        make_token(path)
    path.write_text("short")
    with pytest.raises(ConfigError, match="at least 16 bytes"):
        read_token(path)
    with pytest.raises(ConfigError, match="copy the file that `costeer serve` made"):
        read_token(tmp_path / "none")
    with pytest.raises(ConfigError, match="cannot be made"):
        make_token(tmp_path / "none" / "token")
