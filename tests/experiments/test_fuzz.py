"""The fuzzer sees nothing in a small run, reaches the bodies, and would see a fault."""

from __future__ import annotations

from typing import Any

import pytest

from experiments import fuzz


def test_a_small_run_finds_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    assert fuzz.main(["--frames", "1500", "--seed", "3"]) == 0
    assert "1,500 frames, seed 3" in capsys.readouterr().out


def test_most_frames_reach_a_body_and_the_same_seed_gives_the_same_run() -> None:
    runs = [fuzz.fuzz(600, 5) for _ in range(2)]
    assert runs[0].outcomes == runs[1].outcomes
    reached = runs[0].outcomes["body refused"] + runs[0].outcomes["body accepted"]
    assert reached > 300


def test_an_exception_that_is_no_refusal_is_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any) -> str:
        raise IndexError("out of the body")

    monkeypatch.setattr(fuzz, "_read", broken)
    found = fuzz.fuzz(50, 1)
    assert len(found.faults) == 10
    assert "IndexError" in found.faults[0]
