"""The middle scale: a fleet on a profile of some devices, beside other devices with real models."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from actors.values.profile import Profile
from experiments.fleet_validation.design import (
    Half,
    Middle,
    middle_scenario,
    replaying,
    write_prompts,
)
from experiments.fleet_validation.runs import Runs
from experiments.profile.record import record_profile
from experiments.results.run import Run
from experiments.scenario import Scenario


@dataclass(frozen=True, slots=True)
class MiddleRuns:
    """What was run.

    Args:
        real: the judged half, its models real.
        fleet: the same devices, links and times, on the profile of the other half.
        profile: of that half.
    """

    real: Run
    fleet: Run
    profile: Profile


def run_middle(design: Middle, runs: Runs) -> MiddleRuns:
    """Run both halves and the fleet."""
    profiled = runs.run(_scenario(design.profiled, design, runs))
    path = profiled.path / "profile.parquet"
    profile = Profile(path) if path.exists() else record_profile(profiled.path, path)
    judged = _scenario(design.judged, design, runs)
    real = runs.run(judged)
    return MiddleRuns(real, runs.run(replaying(judged, path, "middle-fleet")), profile)


def _scenario(half: Half, design: Middle, runs: Runs) -> Scenario:
    def write(path: Path) -> None:
        write_prompts(half, path)

    prompts = runs.kept(f"{half.name}-{half.devices}.jsonl", write)
    return middle_scenario(half, design.max_new_tokens, prompts)
