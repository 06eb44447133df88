"""From an ablation to its cells: each a complete scenario with a seed, named by its own content.

A cell's id is a hash of everything that decides what it computes. A changed configuration is
another cell; the same one is found again, whatever else was changed around it.
"""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from costeer.errors import ConfigError
from experiments.ablation.config import AblationConfig, Block, settings_of
from experiments.planning.timing import mean_requests_per_device
from experiments.scenario import Scenario, dump_scenario, load_scenario

_FORMAT = 1
"""Of what a cell leaves behind; part of its id."""

_START_S = 0.5
_TOKEN_S = {
    "models": 0.01,
    "recorded": 0.0005,
    "generated": 0.0005,
    "profile": 0.0003,
    "null": 0.0003,
}
_LOGIT_S = {"none": 1.2e-8, "agreement": 2.2e-8, "ranks": 8e-8, "tails": 8e-8}
"""Seconds per cell, per token, and per token and logit of the vocabulary: measured on one core of
the machine that the project was written on. For an estimate, not for results."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One configuration with one seed.

    Args:
        id: hash of what follows, labels excepted.
        labels: axis -> its value, in words.
        repeat: from 0; the seed is the scenario's plus this.
        scenario: the complete scenario, as YAML.
        shadow: see ``AblationConfig``.
    """

    id: str
    labels: tuple[tuple[str, str], ...]
    repeat: int
    scenario: str
    shadow: str

    @property
    def title(self) -> str:
        """Its labels on one line."""
        told = ", ".join(value for _, value in self.labels) or "the scenario as it is"
        return f"{told} (repeat {self.repeat})" if self.repeat else told


@dataclass(frozen=True, slots=True)
class Expansion:
    """All cells of an ablation.

    Args:
        cells: configurations in the order written, repeats within each.
        seconds: what one core needs for each, roughly.
    """

    cells: tuple[Cell, ...]
    seconds: tuple[float, ...]


def expand(ablation: AblationConfig, repeats: int | None = None) -> Expansion:
    """Return the cells; a configuration that comes twice is one.

    Args:
        ablation: what is varied.
        repeats: replaces the ablation's.

    Raises:
        ConfigError: a cell's scenario is not valid, or an axis is given twice.
    """
    cells: dict[str, Cell] = {}
    seconds: list[float] = []
    for labels, keys in _configurations(ablation):
        overrides = [f"{key}={json.dumps(value)}" for key, value in keys.items()]
        try:
            first = load_scenario(ablation.scenario, overrides)
        except ConfigError as error:
            # The keys stand in the ablation's file, not on the command line.
            reason = str(error).replace("--set ", "")
            raise ConfigError(f"ablation {ablation.name}: {reason}") from error
        for repeat in range(ablation.repeats if repeats is None else repeats):
            scenario = first.model_copy(update={"seed": first.seed + repeat})
            cell = _cell(labels, repeat, scenario, ablation.shadow)
            if cell.id not in cells:
                cells[cell.id] = cell
                seconds.append(_estimate_s(scenario, ablation.shadow))
    return Expansion(tuple(cells.values()), tuple(seconds))


def _configurations(
    ablation: AblationConfig,
) -> Iterator[tuple[dict[str, str], dict[str, JsonValue]]]:
    for block in ablation.blocks or (Block(),):
        twice = set(ablation.axes) & set(block.axes)
        if twice:
            raise ConfigError(
                f"ablation {ablation.name}: axis {min(twice)!r} stands in a block and above it;"
                " keep one of them"
            )
        axes = ablation.axes | block.axes
        points = [[(name, *settings_of(name, value)) for value in axes[name]] for name in axes]
        for chosen in itertools.product(*points):
            labels = {name: label for name, label, _ in chosen}
            yield labels, _merged(ablation.set, block.set, [keys for _, _, keys in chosen])


def _merged(
    everywhere: Mapping[str, JsonValue],
    block: Mapping[str, JsonValue],
    chosen: Sequence[Mapping[str, JsonValue]],
) -> dict[str, JsonValue]:
    """The later wins, and stands later: `arms.0.refine` before `arms.0.refine.growth`."""
    keys = dict(everywhere)
    for more in (block, *chosen):
        for key, value in more.items():
            keys.pop(key, None)
            keys[key] = value
    return keys


def _cell(labels: Mapping[str, str], repeat: int, scenario: Scenario, shadow: str) -> Cell:
    text = dump_scenario(scenario)
    content = f"{_FORMAT}\n{shadow}\n{text}"
    name = hashlib.sha256(content.encode()).hexdigest()[:12]
    return Cell(name, tuple(labels.items()), repeat, text, shadow)


def _estimate_s(scenario: Scenario, shadow: str) -> float:
    requests = mean_requests_per_device(scenario) * scenario.fleet.devices
    tokens = requests * scenario.workload.max_new_tokens * len(scenario.arms)
    # Real models of this laboratory have small vocabularies: their forwards are what costs.
    logits = scenario.generated.vocab_size if scenario.values == "generated" else 0
    return _START_S + tokens * (_TOKEN_S[scenario.values] + logits * _LOGIT_S[shadow])
