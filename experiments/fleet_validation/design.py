"""What is run: two halves that share no prompt, and loads up to beyond what the cloud can serve."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from experiments.pair.corpus import SEED, Corpus
from experiments.scenario import Scenario

_STEERED = {
    "method": "costeer",
    "codec": {"select": {"kind": "top_k", "k": 64}, "values": "bf16", "layout": "packed"},
}


@dataclass(frozen=True, slots=True)
class Half:
    """Some devices, their users' prompts, and the draws of their links and times.

    Args:
        name: what files are called.
        first_row: of the corpus's endless held-out rows.
        devices: how many, a prompt each.
        seed: of links, times and steering.
    """

    name: str
    first_row: int
    devices: int
    seed: int


@dataclass(frozen=True, slots=True)
class Middle:
    """The middle scale.

    Args:
        profiled: the half whose sessions are replayed.
        judged: the half that the replay is to resemble.
        max_new_tokens: of an answer.
    """

    profiled: Half
    judged: Half
    max_new_tokens: int


def middle(devices: int, max_new_tokens: int = 32) -> Middle:
    """Return two halves of so many devices."""
    return Middle(
        Half("profiled", 0, devices, 11), Half("judged", devices, devices, 12), max_new_tokens
    )


def write_prompts(half: Half, path: Path) -> None:
    """Write a half's prompts: held-out personas, no row of another half."""
    corpus = Corpus(SEED)
    rows = (corpus.row("dev", half.first_row + index) for index in range(half.devices))
    kept = ("id", "input", "personalized_input", "output", "profile_facts", "thing_facts")
    lines = [json.dumps({key: asdict(row)[key] for key in kept}) for row in rows]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def middle_scenario(half: Half, max_new_tokens: int, prompts: Path) -> Scenario:
    """Return what runs a half with real models in simulated time."""
    return Scenario.model_validate(
        {
            "name": f"middle-{half.name}",
            "way": "virtual",
            "values": "models",
            "seed": half.seed,
            "fleet": {
                "devices": half.devices,
                "arrivals": {"kind": "closed", "think_s": 10.0},
                "classes": [
                    {"share": 0.5, "link": "4g-eu", "hardware": "phone-npu"},
                    {"share": 0.25, "link": "3g", "hardware": "orin-nano"},
                    {"share": 0.25, "link": "cable", "hardware": "laptop-cpu"},
                ],
            },
            "cloud": {"hardware": "h100", "max_batch": 64, "chunk_tokens": 2048},
            "arms": [_STEERED, {"method": "llm_without"}],
            "workload": {"prompts": str(prompts), "max_new_tokens": max_new_tokens},
        }
    )


@dataclass(frozen=True, slots=True)
class LivePoint:
    """A load on this machine.

    Args:
        name: what tables call it.
        method: ``llm_without`` or ``costeer``.
        devices: that ask at the same time, again and again.
        max_batch: rows of a cloud's forward; fewer than devices have the cloud saturated.
        requests: of each device.
        beyond: whether the cloud cannot serve all at once.
        max_new_tokens: of an answer.
    """

    name: str
    method: str
    devices: int
    max_batch: int
    requests: int
    beyond: bool = False
    max_new_tokens: int = 32


def live_points() -> tuple[LivePoint, ...]:
    """Return the loads: each method below what the cloud can serve, and beyond."""
    return (
        LivePoint("llm-few", "llm_without", 4, 8, 8),
        LivePoint("llm-beyond", "llm_without", 24, 4, 4, beyond=True),
        LivePoint("costeer-few", "costeer", 4, 8, 6),
        LivePoint("costeer-beyond", "costeer", 16, 1, 3, beyond=True),
    )


CALIBRATING, JUDGING = "calibrating", "judging"
"""What the runs of a load are for."""

_FIRST_LIVE = {CALIBRATING: (10_000, 100), JUDGING: (20_000, 200)}
"""The first row of prompts, and the first seed."""


def live_half(point: LivePoint, role: str, number: int) -> Half:
    """Return the prompts and draws of one of a load's runs; no two runs share any.

    What the runs were asked belongs to how they differ: with one set of prompts for all, 24 answers
    would stand for the workload, and their share of refined tokens alone is off by a third.
    """
    row, seed = _FIRST_LIVE[role]
    asked = point.devices * point.requests
    return Half(f"live-{role}-{number}", row + number * asked, asked, seed + number)


def live_scenario(point: LivePoint, role: str, number: int, prompts: Path) -> Scenario:
    """Return what runs a load against the wall's clock.

    Args:
        point: the load.
        role: ``CALIBRATING`` or ``JUDGING``.
        number: of the repeat.
        prompts: of ``live_half``.
    """
    steered = point.method != "llm_without"
    return Scenario.model_validate(
        {
            "name": f"{point.name}-{role}-{number}",
            "way": "live",
            "values": "models",
            "seed": live_half(point, role, number).seed,
            "fleet": {
                "devices": point.devices,
                "arrivals": {
                    "kind": "closed",
                    "think_s": 0.0,
                    "requests_per_device": point.requests,
                },
                "classes": [
                    {"share": 0.5, "link": "4g-eu", "hardware": "phone-npu"},
                    {"share": 0.5, "link": "cable", "hardware": "laptop-cpu"},
                ],
            },
            "cloud": {"hardware": "h100", "max_batch": point.max_batch, "chunk_tokens": 1024},
            "arms": [_STEERED if steered else {"method": point.method}],
            "workload": {"prompts": str(prompts), "max_new_tokens": point.max_new_tokens},
        }
    )


def replaying(scenario: Scenario, profile: Path, name: str) -> Scenario:
    """Return the same scenario as a compiled fleet that replays a profile."""
    changes: dict[str, Any] = {
        "name": name,
        "way": "fleet",
        "values": "profile",
        "profile": {"path": str(profile)},
    }
    written = scenario.model_dump(mode="json", exclude={"models"})
    return Scenario.model_validate(written | changes)
