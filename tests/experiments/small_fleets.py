"""Fleets of a few devices on a few replicas, run by the interpreter: no machine code is made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import actors.fleet.machine_code
import experiments.fleet.task
from experiments.fleet.run import run_fleet
from experiments.planning.members import as_it_is
from experiments.progress import NoProgress
from experiments.scenario import Scenario
from tests.experiments.small_runs import scenario

CLASSES = [
    {"share": 0.5, "link": {"profile": "4g-eu", "spread": True}, "hardware": "phone-npu"},
    {"share": 0.5, "link": "cable", "hardware": "laptop-cpu"},
]

METHODS = [
    {"method": "slm_with"},
    {"method": "llm_without"},
    {"method": "costeer", "codec": "top8-bf16-naive"},
]


def fleet(devices: int = 14, replicas: int = 7, **more: Any) -> Scenario:
    """A fleet that is run in cells."""
    return scenario(
        name="cells",
        way="fleet",
        values="null",
        fleet={
            "devices": devices,
            "arrivals": {"kind": "closed", "think_s": 0.5, "requests_per_device": 2},
            "classes": CLASSES,
        }
        | more.pop("fleet", {}),
        cloud={"replicas": replicas, "max_batch": 4, "chunk_tokens": 32} | more.pop("cloud", {}),
        arms=more.pop("arms", [{"method": "costeer", "codec": "top8-bf16-naive"}]),
        workload={"max_new_tokens": 3} | more.pop("workload", {}),
        **more,
    )


def interpret(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have a test's fleets run by the interpreter: a few tokens are quicker than a compiler."""
    monkeypatch.setattr(experiments.fleet.task, "kept_compiler", lambda: as_it_is)
    monkeypatch.setattr(actors.fleet.machine_code, "kept_compiler", lambda: as_it_is)


class Notes(NoProgress):
    """Keeps what was said, and counts tokens."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        self.tokens = 0

    def note(self, text: str) -> None:
        self.notes.append(text)

    def advance(self, units: int = 1) -> None:
        self.tokens += units


def run(of: Scenario, out_dir: Path, progress: NoProgress | None = None) -> dict[str, Any]:
    return run_fleet(of, out_dir, "none", progress or NoProgress()).summary


def whole(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in summary["arms"] if row["link_class"] == "all"]
