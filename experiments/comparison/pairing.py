"""Which arms belong together, and by how much their requests differ, pair by pair.

Rules
-----
* Of several runs, an arm's partner is the arm of the same method, codec, strength and refinement;
  failing that, the only arm of its method. Of one run, every arm's partner is its baseline arm.
* A request's partner has the same device, number and prompt. What has no partner is left out of
  the differences, and counted.
* A difference is the mean over pairs; its 95 % interval resamples devices, with all their pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from costeer.errors import ConfigError
from experiments.comparison.circumstances import Circumstance, circumstances
from experiments.evaluation.bootstrap import Interval, clustered_interval
from experiments.results.labels import Row, arm_labels, whole_arms
from experiments.results.measures import MEASURES, Measure, request_measures
from experiments.results.run import Run, load_parts

_PAIR = ["device", "request", "prompt_id"]
_SAME = ("method", "codec", "strength", "refine")
_DRAWS = 5_000
_FEW_DEVICES = 8


@dataclass(frozen=True, slots=True)
class Difference:
    """One measure of two arms.

    Args:
        measure: which.
        theirs: mean of the partner's pairs.
        ours: mean of the arm's pairs.
        difference: ours minus theirs, over pairs, with its interval.
        pairs: how many pairs have the measure on both sides.
    """

    measure: Measure
    theirs: float
    ours: float
    difference: Interval
    pairs: int

    @property
    def ratio(self) -> float | None:
        """Ours over theirs; None where theirs is 0."""
        return self.ours / self.theirs if self.theirs else None


@dataclass(frozen=True, slots=True)
class ArmComparison:
    """An arm beside its partner.

    Args:
        part: part of the run, empty where it has one.
        arm: which arm of both runs; empty where two arms of one run are compared.
        baseline: the run, or arm, that it is compared with.
        label: the run, or arm, compared.
        differences: by measure, those that both have.
        pairs: requests with a partner.
        unpaired: requests, of both, without one.
        devices: devices that the pairs are of.
        same_tokens: share of pairs whose tokens are the same, each and every one.
    """

    part: str
    arm: str
    baseline: str
    label: str
    differences: tuple[Difference, ...]
    pairs: int
    unpaired: int
    devices: int
    same_tokens: float

    @property
    def differs(self) -> bool:
        """Whether there is anything to show in a table."""
        return bool(self.differences) and not self.identical

    @property
    def identical(self) -> bool:
        """Whether every figure of every pair is the same."""
        return all(
            each.difference.mean == each.difference.low == each.difference.high == 0
            for each in self.differences
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """Everything that is said of some runs side by side.

    Args:
        baseline: what all is compared with.
        others: what is compared with it.
        arms: the comparisons.
        told: per other run, what was not the same.
        lonely: arms without a partner.
    """

    baseline: str
    others: tuple[str, ...]
    arms: tuple[ArmComparison, ...]
    told: Mapping[str, Sequence[Circumstance]]
    lonely: tuple[str, ...]

    @property
    def warnings(self) -> list[str]:
        """What speaks against comparing them, a sentence each."""
        found = [
            f"{name}: {each.what} ({each.why})"
            for name, all_told in self.told.items()
            for each in all_told
            if each.spoils
        ]
        found += [
            f"{arm.arm or arm.label}: {arm.unpaired} requests have no partner and are left out"
            for arm in self.arms
            if arm.unpaired
        ]
        few = sorted({arm.devices for arm in self.arms if 0 < arm.devices < _FEW_DEVICES})
        if few:
            found.append(
                f"pairs of {few[0]} {'device' if few[0] == 1 else 'devices'}: intervals over so few"
                " are rough, and none can be had of one"
            )
        return found

    @property
    def remarks(self) -> list[str]:
        """What else differs."""
        return [
            f"{name}: {each.what}"
            for name, all_told in self.told.items()
            for each in all_told
            if not each.spoils
        ]


def compare(runs: Sequence[Path | str], baseline: str | None = None, seed: int = 0) -> Comparison:
    """Compare runs with the first of them, or the arms of one run with one of them.

    Args:
        runs: run directories.
        baseline: of one run: the arm that the others are compared with, by its label or method;
            the first arm if None.
        seed: of the bootstrap.

    Raises:
        ConfigError: something is no run, no arm has a partner, or the baseline is not there.
    """
    paths = [Path(run) for run in runs]
    names = _names(paths)
    loaded = {name: load_parts(path) for name, path in zip(names, paths, strict=True)}
    if len(paths) == 1:
        return _within(names[0], loaded[names[0]], baseline, seed)
    if baseline is not None:
        raise ConfigError(
            f"--baseline {baseline}: names an arm of one run; of several the first is the baseline"
        )
    return _across(names, loaded, seed)


def _names(runs: Sequence[Path]) -> list[str]:
    """Return the shortest ends of the paths that tell them apart."""
    parts = [path.resolve().parts for path in runs]
    if len(set(parts)) < len(parts):
        raise ConfigError("compare: a run is given twice; its differences with itself are all 0")
    depth = 1
    while len({part[-depth:] for part in parts}) < len(parts):
        depth += 1
    return ["/".join(part[-depth:]) for part in parts]


def _within(name: str, parts: Mapping[str, Run], baseline: str | None, seed: int) -> Comparison:
    found: list[ArmComparison] = []
    known: list[str] = []
    base = ""
    for part, run in parts.items():
        arms = whole_arms(run.arms)
        labels = arm_labels(arms)
        known += labels
        at = _index_of(arms, labels, baseline)
        if at is None or len(arms) == 1:
            continue
        base = labels[at]
        rows = request_measures(run.frames)
        theirs = rows[rows["arm"] == arms[at]["arm"]]
        for arm, label in zip(arms, labels, strict=True):
            if arm is not arms[at]:
                ours = rows[rows["arm"] == arm["arm"]]
                found.append(_compared((part, "", base, label), ours, theirs, seed))
    if not found:
        if baseline is not None and baseline not in known:
            raise ConfigError(
                f"--baseline {baseline}: no arm of {name} is called so; there are"
                f" {', '.join(dict.fromkeys(known))}"
            )
        raise ConfigError(f"compare: {name} has one arm; give a second run to compare it with")
    return Comparison(base, tuple(each.label for each in found), tuple(found), {}, ())


def _index_of(arms: Sequence[Row], labels: Sequence[str], wanted: str | None) -> int | None:
    if wanted is None:
        return 0
    if wanted in labels:
        return labels.index(wanted)
    methods = [str(arm.get("method")) for arm in arms]
    return methods.index(wanted) if methods.count(wanted) == 1 else None


def _across(names: Sequence[str], loaded: Mapping[str, Mapping[str, Run]], seed: int) -> Comparison:
    base = loaded[names[0]]
    found: list[ArmComparison] = []
    told: dict[str, list[Circumstance]] = {}
    lonely: list[str] = []
    measured = {part: request_measures(run.frames) for part, run in base.items()}
    for name in names[1:]:
        # Two runs of one part each belong together whatever their parts are called.
        parts = loaded[name]
        single = len(base) == len(parts) == 1
        for part, run in parts.items():
            other = next(iter(base)) if single else part
            if other not in base:
                lonely.append(f"{name}: the part {part or 'itself'}")
                continue
            partner = base[other]
            told.setdefault(name, []).extend(circumstances(run, partner))
            arms = whole_arms(run.arms)
            rows = request_measures(run.frames)
            for arm, label in zip(arms, arm_labels(arms), strict=True):
                twin = _partner(arm, arms, whole_arms(partner.arms))
                if twin is None:
                    lonely.append(f"{name}: {label}")
                    continue
                all_theirs = measured[other]
                theirs = all_theirs[all_theirs["arm"] == twin["arm"]]
                ours = rows[rows["arm"] == arm["arm"]]
                called = (part, label, names[0], name)
                found.append(_compared(called, ours, theirs, seed))
    if not found:
        raise ConfigError(
            f"compare: no arm of {', '.join(names[1:])} has a partner in {names[0]}; arms are"
            " matched by method, codec, strength and refinement"
        )
    return Comparison(names[0], tuple(names[1:]), tuple(found), told, tuple(lonely))


def _partner(arm: Row, ours: Sequence[Row], theirs: Sequence[Row]) -> Row | None:
    exact = [each for each in theirs if all(each.get(k) == arm.get(k) for k in _SAME)]
    if len(exact) == 1:
        return exact[0]
    of_method = [each for each in theirs if each.get("method") == arm.get("method")]
    alone = sum(each.get("method") == arm.get("method") for each in ours) == 1
    return of_method[0] if len(of_method) == 1 and alone else None


def _compared(
    called: tuple[str, str, str, str], ours: pd.DataFrame, theirs: pd.DataFrame, seed: int
) -> ArmComparison:
    part, arm, baseline, label = called
    both = ours.merge(theirs, on=_PAIR, suffixes=("_ours", "_theirs"), validate="one_to_one")
    differences = [
        each for measure in MEASURES if (each := _difference(both, measure, seed)) is not None
    ]
    same = [
        np.array_equal(a, b)
        for a, b in zip(_column(both, "tokens_ours"), _column(both, "tokens_theirs"), strict=True)
    ]
    return ArmComparison(
        part=part,
        arm=arm,
        baseline=baseline,
        label=label,
        differences=tuple(differences),
        pairs=len(both),
        unpaired=len(ours) + len(theirs) - 2 * len(both),
        devices=int(both["device"].nunique()),
        same_tokens=float(np.mean(same)) if same else float("nan"),
    )


def _column(frame: pd.DataFrame, name: str) -> list[Any]:
    return list(frame[name]) if name in frame.columns else []


def _difference(both: pd.DataFrame, measure: Measure, seed: int) -> Difference | None:
    names = [f"{measure.key}_{side}" for side in ("ours", "theirs")]
    if not all(name in both.columns for name in names):
        return None
    kept = both.dropna(subset=names)
    if not len(kept):
        return None
    ours, theirs = (kept[name].to_numpy(dtype=np.float64) for name in names)
    if not ours.any() and not theirs.any():
        return None
    devices = kept["device"].to_numpy(dtype=np.int64)
    return Difference(
        measure,
        float(theirs.mean()),
        float(ours.mean()),
        clustered_interval(ours - theirs, devices, seed, _DRAWS),
        len(kept),
    )
