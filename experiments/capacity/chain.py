"""One search from beginning to end, or one curve: what a study hands to a process.

The same function runs here and in a Ray task on another machine, so it takes and returns values.
A chain's id is a hash of everything that decides what it finds.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import yaml

from actors.port import LocalPort
from experiments.capacity.changes import with_devices
from experiments.capacity.probe import Point, probe
from experiments.capacity.search import Found, largest_fleet
from experiments.capacity.slo import Slo
from experiments.hosting import start_hosts
from experiments.scenario import Scenario

_FORMAT = 1
"""Of what a chain leaves behind; part of its id."""


@dataclass(frozen=True, slots=True)
class Chain:
    """Fleets of one arm, one after the other.

    Args:
        title: for people.
        scenario: complete, with one arm and one replica, as YAML.
        slos: what is to be kept.
        limit: the largest fleet that is tried.
        first: where a search begins.
        stride: its first step, as a factor.
        baseline: a small fleet that is measured too, to tell what grows; 0 for none.
        fleets: sizes to measure instead of a search; empty for a search.
    """

    title: str
    scenario: str
    slos: tuple[Slo, ...]
    limit: int
    first: int = 1
    stride: float = 2.0
    baseline: int = 0
    fleets: tuple[int, ...] = ()

    @property
    def id(self) -> str:
        """What names it in a study's directory."""
        content = asdict(self) | {"title": "", "format": _FORMAT}
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def run_chain(chain: Chain) -> dict[str, Any]:
    """Carry a chain out: every fleet that was run, and what a search found.

    Raises:
        ConfigError: a fleet cannot be run.
        KeyboardInterrupt: Ctrl-C.
    """
    began_s = time.monotonic()
    scenario = Scenario.model_validate(yaml.safe_load(chain.scenario))
    port = LocalPort()
    try:
        laboratory = start_hosts(scenario, port)

        def run(devices: int) -> Point:
            return probe(laboratory, with_devices(scenario, devices), chain.slos)

        found, points = follow(chain, run)
    finally:
        port.close()
    return {
        "title": chain.title,
        "devices": None if found is None else found.devices,
        "beyond": None if found is None else found.beyond,
        "points": points,
        "wall_s": time.monotonic() - began_s,
    }


def follow(chain: Chain, run: Callable[[int], Point]) -> tuple[Found | None, list[Point]]:
    """Run the fleets that a chain asks for; return what a search found, and all points by size."""
    points: dict[int, Point] = {}

    def keeps(devices: int) -> bool:
        if devices not in points:
            points[devices] = run(devices)
        return bool(points[devices]["met"])

    if chain.baseline:
        keeps(min(chain.baseline, chain.limit))
    if chain.fleets:
        for devices in chain.fleets:
            keeps(devices)
        found = None
    else:
        found = largest_fleet(keeps, limit=chain.limit, first=chain.first, stride=chain.stride)
    return found, [points[devices] for devices in sorted(points)]
