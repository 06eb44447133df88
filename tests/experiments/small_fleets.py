"""Fleets of a few devices on a few replicas, run by the interpreter: no machine code is made."""

from __future__ import annotations

from typing import Any

from experiments.scenario import Scenario
from tests.experiments.small_runs import scenario

CLASSES = [
    {"share": 0.5, "link": {"profile": "4g-eu", "spread": True}, "hardware": "phone-npu"},
    {"share": 0.5, "link": "cable", "hardware": "laptop-cpu"},
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
