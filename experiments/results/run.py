"""Reads a run directory back: a finished one, a partial one, or one whose writer was killed."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from actors.run_tables import LATER_COLUMNS, READABLE_VERSIONS, REQUEST_COLUMNS, TOKEN_COLUMNS
from costeer.errors import ConfigError
from experiments.results.frames import Frames, arms_in
from experiments.results.summary import summarise

METHODS, FULL_VOCABULARY, LIVE, PREDICTION = PART_ORDER = (
    "methods",
    "full-vocabulary",
    "live",
    "virtual-prediction",
)
"""Parts of a run of several, in the order in which they are shown; others follow by name."""


@dataclass(frozen=True, slots=True)
class Run:
    """A run directory in memory."""

    path: Path
    """Where it lies."""
    tokens: pd.DataFrame
    """One row per generated token; integer nanoseconds."""
    requests: pd.DataFrame
    """One row per request; integer nanoseconds."""
    summary: dict[str, Any]
    """``summary.json``; computed from the rows where the run was stopped before it was written."""
    manifest: dict[str, Any]
    """Versions, git commit, seed, hardware, whether it is complete."""
    scenario: dict[str, Any]
    """The resolved scenario."""
    scenario_text: str
    """The resolved scenario as it is written."""
    histograms: pd.DataFrame | None = None
    """A fleet's: how often which value came, by arm, class of devices and figure."""
    series: pd.DataFrame | None = None
    """A fleet's: what happened when, by arm and bin of simulated time."""

    @property
    def complete(self) -> bool:
        """Whether the run reached its end."""
        return bool(self.manifest.get("complete"))

    @property
    def arms(self) -> list[dict[str, Any]]:
        """The summary's rows: one per arm and link class, and one per arm with class ``all``."""
        return list(self.summary["arms"])

    @property
    def frames(self) -> Frames:
        """Both tables together."""
        return Frames(self.tokens, self.requests)


def load(run_dir: Path | str) -> Run:
    """Read a run directory.

    Raises:
        ConfigError: there is none, or another version of this project wrote it.
    """
    path = Path(run_dir)
    manifest = _manifest(path)
    frames = Frames(
        _table(path, "tokens", TOKEN_COLUMNS), _table(path, "requests", REQUEST_COLUMNS)
    )
    scenario_file, summary_file = path / "scenario.yaml", path / "summary.json"
    text = scenario_file.read_text(encoding="utf-8") if scenario_file.exists() else ""
    if summary_file.exists():
        summary = json.loads(summary_file.read_text(encoding="utf-8"))
    else:
        summary = summarise(frames, arms_in(frames))
    return Run(
        path=path,
        tokens=frames.tokens,
        requests=frames.requests,
        summary=summary,
        manifest=manifest,
        scenario=yaml.safe_load(text) or {},
        scenario_text=text,
        histograms=_further(path, "histograms"),
        series=_further(path, "series"),
    )


def _further(path: Path, name: str) -> pd.DataFrame | None:
    """Read a table that not every run has."""
    file = path / f"{name}.parquet"
    return pq.ParquetFile(file).read().to_pandas() if file.exists() else None


def load_parts(run_dir: Path | str) -> dict[str, Run]:
    """Read a run of one or several parts.

    A part is the directory itself, where it holds rows (its name is then ``""``), and every folder
    in it that has a manifest.

    Raises:
        ConfigError: nothing here is a run.
    """
    path = Path(run_dir)
    parts: dict[str, Run] = {}
    if (path / "manifest.json").exists() and _has_rows(path):
        parts[""] = load(path)
    names = sorted(file.parent.name for file in path.glob("*/manifest.json"))
    known = [name for name in PART_ORDER if name in names]
    for name in [*known, *(name for name in names if name not in known)]:
        parts[name] = load(path / name)
    if not parts:
        parts[""] = load(path)
    return parts


def _manifest(path: Path) -> dict[str, Any]:
    file = path / "manifest.json"
    if not file.exists():
        raise ConfigError(
            f"{path}: no manifest.json there; give a directory that `costeer run --out` wrote"
        )
    try:
        manifest: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConfigError(f"{file}: not valid JSON ({error}); the run cannot be read") from error
    version = manifest.get("schema_version")
    if version not in READABLE_VERSIONS:
        readable = ", ".join(map(str, READABLE_VERSIONS))
        raise ConfigError(
            f"{file}: schema version {version}, this program reads {readable}; "
            "use the version of costeer that wrote the run"
        )
    return manifest


def _has_rows(path: Path) -> bool:
    return (path / "tokens.parquet").exists() or (path / "pieces").exists()


def _table(path: Path, name: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """Read one table; pieces are the truth for as long as they are there."""
    pieces = path / "pieces"
    if pieces.exists():
        files = sorted(pieces.glob(f"*/{name}.parquet"))
    else:
        files = [file for file in [path / f"{name}.parquet"] if file.exists()]
    if not files:
        return pd.DataFrame({column: [] for column in columns})
    # ParquetFile reads the one file as it is: no partition columns guessed from folder names.
    tables = [pq.ParquetFile(file).read() for file in files]
    found = pa.concat_tables(tables, promote_options="permissive").to_pandas()
    lacking = [column for column in LATER_COLUMNS if column in columns and column not in found]
    return found.assign(**{column: LATER_COLUMNS[column] for column in lacking})
