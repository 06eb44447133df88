"""Pauses of a measured run, in its profile and replayed: steering pauses where it did."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

import actors.fleet.machine_code
from actors.values.profile import Profile
from costeer.errors import ConfigError
from costeer.gate import Gate, GateConfig
from experiments.planning.members import as_it_is
from experiments.profile.record import record_profile
from experiments.results.run import load
from tests.actors.profiles import session, written
from tests.experiments.small_runs import digests, run, scenario

GATE = {"sure": 0.6, "after": 2, "unsure": 0.8}
ARM = {"method": "adacosteer", "codec": "top8-bf16-packed", "gate": GATE}
TOKENS = {"max_new_tokens": 14}
FLEET = dict(scenario().fleet.model_dump(mode="json"), devices=7)


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few tokens are quicker than a compiler."""
    monkeypatch.setattr(actors.fleet.machine_code, "kept_compiler", lambda: as_it_is)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    run(scenario(arms=[ARM], workload=TOKENS), folder / "run")
    record_profile(folder / "run", folder / "profile.parquet")
    return folder


def said(folder: Path) -> pd.DataFrame:
    return load(folder).tokens.sort_values(["device", "request", "position"])


def test_a_profile_says_where_steering_paused(recorded: Path) -> None:
    (part,) = Profile(recorded / "profile.parquet").parts
    rows = said(recorded / "run")
    assert part.own_R is not None
    assert part.sure_R is not None
    assert 0 < part.own_R.mean() < 1
    assert not part.certified_R[part.own_R].any()
    assert part.rounds_R.tolist() == rows["rounds"].tolist()
    assert part.payload_bytes_P.sum() == rows["payload_bytes_down"].sum()
    assert (part.total_bytes_R[part.own_R] == 0).all()
    assert (part.total_bytes_R[~part.own_R] > 0).all()


@pytest.mark.parametrize("workload", [TOKENS, {"max_new_tokens": 30, "ignore_eos": True}])
def test_both_simulated_ways_pause_where_it_was_measured(
    recorded: Path, tmp_path: Path, workload: dict[str, Any]
) -> None:
    given: dict[str, Any] = {
        "values": "profile",
        "profile": {"path": str(recorded / "profile.parquet")},
        "arms": [ARM],
        "workload": workload,
        "fleet": FLEET,
    }
    outcomes = [run(scenario(**given, way=way), tmp_path / way) for way in ("virtual", "fleet")]
    assert digests(outcomes[0]) == digests(outcomes[1])
    unsteered = said(tmp_path / "fleet")["payload_bytes_down"] == 0
    assert 0 < unsteered.mean() < 1


def test_replayed_as_it_was_measured_the_text_is_the_same(recorded: Path, tmp_path: Path) -> None:
    given: dict[str, Any] = {
        "values": "profile",
        "profile": {"path": str(recorded / "profile.parquet"), "order": "own"},
        "arms": [ARM],
        "workload": TOKENS,
    }
    run(scenario(**given, way="fleet"), tmp_path / "again")
    again, before = said(tmp_path / "again"), said(recorded / "run")
    for name in ("token", "rounds", "certified"):
        assert again[name].tolist() == before[name].tolist()
    assert again["payload_bytes_down"].sum() == before["payload_bytes_down"].sum()


def test_another_gate_is_refused_by_what_differs(recorded: Path, tmp_path: Path) -> None:
    profile = {"path": str(recorded / "profile.parquet")}
    arm = ARM | {"gate": GATE | {"after": 5}}
    with pytest.raises(ConfigError, match=r"has no .*5 below 0\.6.* it has .*2 below 0\.6"):
        run(scenario(values="profile", profile=profile, arms=[arm]), tmp_path / "run")


def test_constant_values_are_sure_as_often_as_is_said(tmp_path: Path) -> None:
    given: dict[str, Any] = {"values": "null", "arms": [ARM], "fleet": FLEET, "workload": TOKENS}
    always = {"vocab_size": 400, "prompt_tokens": 9, "context_tokens": 11, "sure": 1.0}
    outcomes = [
        run(scenario(**given, way=way, generated=always), tmp_path / way)
        for way in ("virtual", "fleet")
    ]
    assert digests(outcomes[0]) == digests(outcomes[1])
    steered = said(tmp_path / "fleet")["certified"]
    assert steered.sum() == GATE["after"] * len(steered) / TOKENS["max_new_tokens"]


@pytest.mark.parametrize("after", [1, 2, 4])
@pytest.mark.parametrize("unsure", [0.3, 1.0])
def test_a_gate_that_sees_what_a_profile_says_does_as_the_measured_one(
    after: int, unsure: float, tmp_path: Path
) -> None:
    rng = np.random.default_rng(after)
    config = GateConfig(after=after, unsure=unsure)
    sessions = []
    for number in range(30):
        gate, own = Gate(config), []
        for _ in range(int(rng.integers(1, 40))):
            doubt = float(rng.choice([0.05, 0.2, 0.4], p=[0.7, 0.2, 0.1]))
            own.append(doubt < gate.unless)
            gate.saw(doubt)
        flat: dict[str, Any] = {"rounds": [0] * len(own), "payload_bytes": [0] * len(own)}
        sessions.append(session(number, [3] * len(own), limit=len(own), own=own, **flat))
    arm = {"method": "adacosteer", "gate": config.model_dump()}
    (part,) = Profile(written(tmp_path / "p.parquet", [sessions], (arm,), eos=())).parts
    assert part.sure_R is not None
    for number, first in enumerate(part.first_row_S1[:-1]):
        gate = Gate(config)
        for at, was_own in enumerate(sessions[number].own):
            doubt = 0.0 if part.sure_R[first + at] else 1.0 - 2.0**-53
            assert (doubt < gate.unless) == was_own
            gate.saw(doubt)


def test_pauses_of_an_arm_without_a_gate_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no gate"):
        Profile(written(tmp_path / "p.parquet", [[session(0, [10, 2], own=[False, True])]]))
