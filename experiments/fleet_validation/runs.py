"""Runs of the validation, kept: one that was carried out to its end before is not run again."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from experiments.calibration import PairCalibration
from experiments.hosting import Laboratory, open_laboratory
from experiments.planning import plan_workload
from experiments.progress import Progress
from experiments.results.run import Run, load
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario


class Runs:
    """A folder of runs by name.

    Args:
        folder: where they lie.
        address: of the Ray cluster for runs on real models; ``none`` for this process.
        progress: told of arms and tokens.
    """

    def __init__(self, folder: Path, address: str, progress: Progress) -> None:
        self.folder = folder
        self._address = address
        self._progress = progress
        folder.mkdir(parents=True, exist_ok=True)

    def run(
        self,
        scenario: Scenario,
        laboratory: Laboratory | None = None,
        calibration: PairCalibration | None = None,
    ) -> Run:
        """Return a run of a scenario; an earlier one if it was the same, ended, and was simulated.

        Args:
            scenario: its name is the run's.
            laboratory: hosts that are up; its own are started if None.
            calibration: costs to charge, instead of what the scenario names.
        """
        out = self.folder / scenario.name
        if scenario.way != "live" and _is_run_of(out, scenario):
            self._progress.note(f"{scenario.name}: as it was run before")
            return load(out)
        shutil.rmtree(out, ignore_errors=True)
        workload = plan_workload(scenario)
        if laboratory is not None:
            run_in(laboratory, scenario, workload, out, self._progress, calibration)
            return load(out)
        with open_laboratory(scenario, self._address) as own:
            run_in(own, scenario, workload, out, self._progress, calibration)
        return load(out)

    def kept(self, name: str, make: Callable[[Path], Any]) -> Path:
        """Return a file of the folder, made if it is not there."""
        path = self.folder / name
        if not path.exists():
            make(path)
        return path


def _is_run_of(out: Path, scenario: Scenario) -> bool:
    manifest, written = out / "manifest.json", out / "scenario.yaml"
    if not manifest.exists() or not written.exists():
        return False
    ended = bool(json.loads(manifest.read_text(encoding="utf-8")).get("complete"))
    return ended and load_scenario(str(written)) == scenario
