"""Cells that have ended, on disk: what a run that was cut off goes on from.

A cell's piece of a run directory appears at once, by renaming, and holds its sampled rows and its
sums. One without sums is of a cell that was stopped: its rows are there to be read, and go when the
run goes on. Pieces are dropped when the run is complete.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import actors
import costeer
import experiments
import netsim
from actors.failures import Incident
from actors.fleet.result import CellResult
from actors.fleet.stored import read_result, write_result
from actors.sink import RunSink
from costeer.errors import ConfigError
from experiments.fleet.task import CellOutcome
from experiments.scenario import Scenario, dump_scenario

_SUMS = "sums.npz"
_MADE_BY = "cells_made_by"
_TABLES = ("tokens", "requests")
_PARTS = ("fleet", "planning", "profile", "scenario")
"""What of ``experiments`` decides what a cell comes to."""


@dataclass(frozen=True, slots=True)
class KeptCell:
    """A cell that need not be run.

    Args:
        result: what it came to.
        tokens: simulated, those of the warm-up included.
        sampled: requests that were written down.
        growth_per_hour: of its backlog, see ``CellOutcome``.
        incidents: what failed in it.
    """

    result: CellResult
    tokens: int
    sampled: int
    growth_per_hour: int
    incidents: tuple[Incident, ...]


def made_by(scenario: Scenario) -> dict[str, str]:
    """Return an entry for the manifest: what code made a run's cells, of what scenario."""
    sha = hashlib.sha256(dump_scenario(scenario).encode())
    roots = [Path(package.__path__[0]) for package in (costeer, netsim, actors)]
    roots += [Path(experiments.__path__[0]) / part for part in _PARTS]
    for root in roots:
        for file in sorted(root.rglob("*.py")):
            sha.update(file.relative_to(root.parent).as_posix().encode() + b"\0")
            sha.update(file.read_bytes())
    return {_MADE_BY: sha.hexdigest()}


def reopen_cells(run_dir: Path, scenario: Scenario) -> dict[tuple[int, int], Path]:
    """Find the cells that have ended of a run that was cut off; make room for the others.

    Args:
        run_dir: of a run that is not complete.
        scenario: as the directory has it.

    Returns:
        (arm, cell) -> its sums.

    Raises:
        ConfigError: other code made them, or a scenario that is not in the directory any more.
    """
    manifest = json.loads((run_dir / "manifest.json").read_text(encoding="utf-8"))
    if manifest.get(_MADE_BY) != made_by(scenario)[_MADE_BY]:
        raise ConfigError(
            f"--resume {run_dir}: its cells were computed by another version of this program, or"
            " of another scenario than scenario.yaml says now, and would not add up with new ones;"
            " run it anew"
        )
    for torn in [*run_dir.glob(".piece-*"), run_dir / ".pieces-merged"]:
        shutil.rmtree(torn, ignore_errors=True)
    found = {}
    for piece in (run_dir / "pieces").glob("*"):
        if (piece / _SUMS).exists():
            arm, cell = piece.name.split("-")
            found[int(arm), int(cell)] = piece / _SUMS
        else:
            shutil.rmtree(piece)
    for name in _TABLES:
        (run_dir / f"{name}.parquet").unlink(missing_ok=True)
    return found


def keep_cell(
    sink: RunSink, arm: int, keys: Mapping[str, str], cell: int, outcome: CellOutcome
) -> None:
    """Commit a cell: its sampled rows and, if it has ended, its sums."""
    rows = outcome.rows
    about = {
        "tokens": outcome.tokens,
        "sampled": len(rows.requests),
        "growth_per_hour": outcome.growth_per_hour,
        "incidents": [asdict(each) for each in outcome.incidents],
    }
    sink.write(
        arm,
        keys,
        rows.tokens,
        rows.requests,
        name=f"{arm:03d}-{cell:06d}",
        beside=partial(_write_sums, outcome.result, about) if outcome.ended else None,
    )


def _write_sums(result: CellResult, about: Mapping[str, Any], piece: Path) -> None:
    write_result(piece / _SUMS, result, about)


def kept_cell(sums: Path) -> KeptCell:
    """Return a cell that has ended.

    Raises:
        ConfigError: it cannot be read.
    """
    result, about = read_result(sums)
    incidents = tuple(Incident(**each) for each in about.pop("incidents"))
    return KeptCell(result, incidents=incidents, **about)
