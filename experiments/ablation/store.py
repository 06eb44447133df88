"""Where an ablation's cells are kept: each in a folder that is there whole or not at all.

A cell's folder is a run directory (`costeer report` reads it) with the shadow's table and
``cell.json``, the marker of completion. It is written under another name and renamed at the end,
so a run that is killed leaves finished cells and nothing else that counts.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from actors.sink import write_atomically
from costeer.errors import ConfigError
from experiments.ablation.expansion import Cell

MARKER = "cell.json"
INDEX = "ablation.json"
CONFIG = "ablation.yaml"


@dataclass(frozen=True, slots=True)
class Failure:
    """A cell that could not be carried out, and why, on one line."""

    id: str
    title: str
    reason: str


class Store:
    """An ablation's directory."""

    def __init__(self, path: Path, *, resume: bool) -> None:
        """Make the directory, or enter one that is there.

        Raises:
            ConfigError: it holds an ablation and `resume` is not said, or cannot be written.
        """
        self.path = path
        if (path / INDEX).exists() and not resume:
            raise ConfigError(
                f"{path}: holds an ablation already; go on with --resume, or choose another --out"
            )
        if (path / "manifest.json").exists():
            raise ConfigError(f"{path}: holds a run, not an ablation; choose another --out")
        try:
            self._cells.mkdir(parents=True, exist_ok=True)
            for torn in self._cells.glob(".partial-*"):
                shutil.rmtree(torn)
        except OSError as error:
            reason = (error.strerror or "unknown reason").lower()
            raise ConfigError(
                f"{path}: cannot be written ({reason}); choose another --out"
            ) from error

    @property
    def _cells(self) -> Path:
        return self.path / "cells"

    def folder(self, cell: Cell) -> Path:
        """Where a finished cell lies."""
        return self._cells / cell.id

    def has(self, cell: Cell) -> bool:
        """Whether a cell is finished."""
        return (self.folder(cell) / MARKER).exists()

    def keep(self, cell: Cell, files: Mapping[str, bytes]) -> None:
        """Write a finished cell."""
        partial = self._cells / f".partial-{cell.id}"
        partial.mkdir()
        for name, content in files.items():
            (partial / name).write_bytes(content)
        marker = {"id": cell.id, "labels": dict(cell.labels), "repeat": cell.repeat}
        (partial / MARKER).write_text(json.dumps(marker, indent=2) + "\n", encoding="utf-8")
        shutil.rmtree(self.folder(cell), ignore_errors=True)
        partial.rename(self.folder(cell))

    def write_index(
        self, about: Mapping[str, Any], cells: Sequence[Cell], failures: Sequence[Failure]
    ) -> None:
        """Write which cells there are, which are finished, and which failed."""
        index = {
            **about,
            "complete": all(self.has(cell) for cell in cells),
            "cells": [
                {
                    "id": cell.id,
                    "labels": dict(cell.labels),
                    "repeat": cell.repeat,
                    "shadow": cell.shadow,
                    "finished": self.has(cell),
                }
                for cell in cells
            ],
            "failures": [asdict(failure) for failure in failures],
        }
        write_atomically(self.path / INDEX, json.dumps(index, indent=2) + "\n")
