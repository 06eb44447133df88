"""The middle scale: a fleet on a profile of some devices, beside other devices with real models."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Literal

import numpy as np

from actors.values.order import ReplayOrder
from actors.values.profile import Profile
from experiments.fleet_validation.comparison import (
    Difference,
    Integers,
    Reals,
    Sample,
    autocorrelation,
    compare,
)
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

LAGS = 10
_MS = 1e6


@dataclass(frozen=True, slots=True)
class Figure:
    """What is compared.

    Args:
        title: with its unit.
        table: whose rows are counted.
        column: of it.
        unit: that its values are divided by.
        rows: of tokens: ``first`` ones, ``later`` ones, or ``all``.
    """

    title: str
    table: Literal["tokens", "requests"]
    column: str
    unit: float = 1.0
    rows: Literal["first", "later", "all"] = "all"


_SIZES = Figure("payload down, B a token", "tokens", "payload_bytes_down")
FIGURES = (
    Figure("ITL, ms", "tokens", "latency_ns", _MS, "later"),
    Figure("TTFT, ms", "tokens", "latency_ns", _MS, "first"),
    _SIZES,
    Figure("frames down, B a request", "requests", "frame_bytes_down"),
    Figure("frames up, B a request", "requests", "frame_bytes_up"),
    Figure("wire down, B a request", "requests", "wire_bytes_down"),
    Figure("answer, tokens a request", "requests", "answer_tokens"),
)


@dataclass(frozen=True, slots=True)
class ArmOutcome:
    """One method at the middle scale.

    Args:
        method: its name.
        differences: of all figures.
        samples: by figure, real and told, for the drawing.
        correlation: of a token's bytes with later ones, lags 1 to ``LAGS``: of the profile, of
            the replay, and of the devices that judge; empty where nothing is steered.
    """

    method: str
    differences: tuple[Difference, ...]
    samples: tuple[tuple[Sample, Sample], ...]
    correlation: tuple[Reals, ...]


@dataclass(frozen=True, slots=True)
class MiddleOutcome:
    """What was found.

    Args:
        design: what was run.
        arms: method by method.
        tokens: that the judging devices chose.
    """

    design: Middle
    arms: tuple[ArmOutcome, ...]
    tokens: int


def run_middle(design: Middle, runs: Runs) -> MiddleOutcome:
    """Run both halves and the fleet, and compare."""
    profiled = runs.run(_scenario(design.profiled, design, runs))
    path = profiled.path / "profile.parquet"
    profile = record_profile(profiled.path, path)
    judged = _scenario(design.judged, design, runs)
    real = runs.run(judged)
    told = runs.run(replaying(judged, path, "middle-fleet"))
    device_D = np.arange(design.judged.devices)
    replayed_D = profile.sessions_of(
        ReplayOrder.DRAWN, judged.seed, device_D, np.zeros_like(device_D)
    )
    arms = tuple(
        _compared(arm, profile, (profiled, told, real), replayed_D)
        for arm in range(len(judged.arms))
    )
    return MiddleOutcome(design, arms, len(real.tokens))


def _scenario(half: Half, design: Middle, runs: Runs) -> Scenario:
    prompts = runs.kept(f"{half.name}-{half.devices}.jsonl", partial(write_prompts, half))
    return middle_scenario(half, design.max_new_tokens, prompts)


def _compared(
    arm: int, profile: Profile, runs: tuple[Run, Run, Run], replayed_D: Integers
) -> ArmOutcome:
    """Compare one arm of the run that was profiled, of the fleet, and of the run that judges."""
    _, told, real = runs
    samples = tuple(
        (_sample(real, arm, each, replayed_D), _sample(told, arm, each, replayed_D))
        for each in FIGURES
    )
    differences = tuple(
        difference
        for figure, pair in zip(FIGURES, samples, strict=True)
        for difference in compare(figure.title, *pair)
        if difference.real or difference.told
    )
    sizes = [_sample(run, arm, _SIZES, replayed_D) for run in runs]
    correlation = tuple(
        autocorrelation(each.values_N, each.device_N, LAGS) for each in sizes if each.values_N.any()
    )
    return ArmOutcome(str(profile.origin.arms[arm]["method"]), differences, samples, correlation)


def _sample(run: Run, arm: int, figure: Figure, replayed_D: Integers) -> Sample:
    """Return a figure of one arm of a run of one request a device, in the order of its devices."""
    if figure.table == "tokens":
        rows = run.tokens[run.tokens["arm"] == arm].sort_values(["device", "position"])
        if figure.rows != "all":
            rows = rows[(rows["position"] == 0) == (figure.rows == "first")]
    else:
        rows = run.requests[run.requests["arm"] == arm].sort_values("device")
        rows = rows.assign(answer_tokens=rows["tokens"].map(len))
    values_N = rows[figure.column].to_numpy(np.float64) / figure.unit
    device_N = rows["device"].to_numpy(np.int64)
    return Sample(values_N, device_N, replayed_D[device_N])
