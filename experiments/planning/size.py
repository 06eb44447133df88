"""How large a scenario is, before any of it is planned.

Estimates are for people, and for choosing how a run is written down; no figure depends on them.
"""

from __future__ import annotations

from dataclasses import dataclass

from actors.fleet.texts import block_of
from costeer.device_text import window_of
from costeer.pacing import most_drafts
from experiments.planning.sizes import lengths_of, mean_tokens
from experiments.planning.standing import most_devices_of_a_cell, replicas_of_cells
from experiments.planning.timing import mean_requests_per_device
from experiments.scenario import Scenario
from experiments.scenario.events import failures_of

SMALL_TOKENS = 300_000
"""Up to so many tokens a run of one replica writes down all of them."""
SAMPLE_REQUESTS = 1_000
"""Requests that a larger run writes down, unless it is told otherwise."""

_TOKENS_PER_CPU_S = 600_000.0
_CELL_S = 0.05
_START_S = 3.0
_DEVICE_BYTES, _SESSION_BYTES, _PLACED_BYTES = 420, 120, 6
"""Of a device and a session while their cell runs; of every device of the fleet while one cell
finds its own."""
_STANDING_BYTES, _OPENED_BYTES = 1_300, 4
"""Of a device more, whose replicas may fail, and for each of them that may come to serve it."""
_PROCESS_BYTES = 300 * 2**20
_GB = 1e9
_HOUR_S = 3600.0
_MINUTE_S = 60.0


@dataclass(frozen=True, slots=True)
class Size:
    """How large a run is.

    Args:
        cells: of each arm.
        replicas: in them.
        devices: of the fleet.
        requests: of each arm, on average; in a closed loop at most.
        tokens: of all arms, likewise.
        cell_bytes: what the largest cell takes while it runs.
    """

    cells: int
    replicas: int
    devices: int
    requests: float
    tokens: float
    cell_bytes: int

    def seconds(self, arms: int, at_once: int) -> float:
        """Return about how long it takes.

        Args:
            arms: how many.
            at_once: cells at the same time.
        """
        cpu_s = self.tokens / _TOKENS_PER_CPU_S + _CELL_S * self.cells * arms
        return _START_S + cpu_s / min(at_once, self.cells)

    def memory_bytes(self, at_once: int) -> int:
        """Return about how much memory so many cells at the same time take."""
        return min(at_once, self.cells) * (self.cell_bytes + _PROCESS_BYTES)

    def told(self, arms: int, at_once: int) -> str:
        """Return the estimate in words."""
        cells = "one cell" if self.cells == 1 else f"{self.cells:,} cells"
        together = f" in {cells}" if self.cells < self.replicas else ""
        return (
            f"{self.devices:,} devices on {self.replicas:,} replicas{together}, about"
            f" {self.requests:,.0f}"
            f" requests an arm and {self.tokens:,.0f} tokens in all; estimate:"
            f" {in_words(self.seconds(arms, at_once))} and"
            f" {self.memory_bytes(at_once) / _GB:.1f} GB with {min(at_once, self.cells)} at a time"
        )


def size_of(scenario: Scenario) -> Size:
    """Return how large a scenario is."""
    devices = scenario.fleet.devices
    asked = lengths_of(scenario)
    per_device = mean_requests_per_device(scenario)
    answer = min(mean_tokens(asked.answer), asked.max_new_tokens)
    cells, largest = replicas_of_cells(scenario), most_devices_of_a_cell(scenario)
    several = max(map(len, cells)) if failures_of(scenario.events) else 0
    return Size(
        cells=len(cells),
        replicas=scenario.cloud.replicas,
        devices=devices,
        requests=devices * per_device,
        tokens=devices * per_device * answer * len(scenario.arms),
        cell_bytes=round(
            largest * (_DEVICE_BYTES + _draft_bytes(scenario) + per_device * _SESSION_BYTES)
            + largest * (_STANDING_BYTES + several * _OPENED_BYTES) * (several > 0)
            + devices * _PLACED_BYTES
        ),
    )


def _draft_bytes(scenario: Scenario) -> int:
    """Return what the texts of a device take that drafts; of the arm that takes most."""
    ways = [arm.speculation for arm in scenario.arms if arm.speculation is not None]
    return max((8 * block_of(window_of(most_drafts(each))) for each in ways), default=0)


def runs_in_cells(scenario: Scenario) -> bool:
    """Whether a fleet is run as cells that keep sums and histograms, not a row per token.

    A small one that is one cell is not, unless a sample is asked for.
    """
    if scenario.way != "fleet":
        return False
    if scenario.fleet.sample is not None or len(replicas_of_cells(scenario)) > 1:
        return True
    if scenario.workload.duration_s is not None or scenario.workload.lengths is not None:
        return True
    return size_of(scenario).tokens > SMALL_TOKENS


def in_words(seconds: float) -> str:
    """Return a time as people say it."""
    if seconds < 2 * _MINUTE_S:
        return f"{seconds:.0f} s"
    if seconds < 2 * _HOUR_S:
        return f"{seconds / _MINUTE_S:.0f} min"
    return f"{seconds / _HOUR_S:.1f} h"
