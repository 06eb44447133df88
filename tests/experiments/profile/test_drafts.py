"""Drafts of a measured run, in its profile and replayed: right in the same places, one by one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import actors.fleet.machine_code
from actors.fleet.outcomes import Outcomes
from actors.values.order import ReplayOrder
from actors.values.profile import Profile
from costeer.errors import ConfigError
from experiments.planning import plan_workload
from experiments.planning.members import as_it_is
from experiments.profile.record import record_profile
from experiments.profile.statistics import lag1, size_statistics
from experiments.results.run import load
from experiments.scenario import Scenario
from tests.actors.profiles import session, written
from tests.experiments.small_runs import digests, run, scenario

ARM = {"method": "costeer", "codec": "top8-bf16-packed"}
RUNNING_AHEAD = ARM | {"speculation": {"drafts": 1, "ahead": 6}}
TOKENS = {"max_new_tokens": 12}
FAR: dict[str, Any] = {
    "workload": TOKENS,
    "fleet": dict(
        scenario().fleet.model_dump(mode="json"),
        classes=[{"share": 1, "link": "4g-eu", "hardware": "laptop-cpu"}],
    ),
    "timing": {"cloud_model": "qwen2.5-7b", "edge_model": "qwen2.5-0.5b"},
}
"""Devices that have drafted long before the cloud has answered."""


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few tokens are quicker than a compiler."""
    monkeypatch.setattr(actors.fleet.machine_code, "kept_compiler", lambda: as_it_is)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    run(scenario(arms=[ARM, RUNNING_AHEAD], workload=TOKENS), folder / "run")
    record_profile(folder / "run", folder / "profile.parquet")
    return folder


def replaying(recorded: Path, *speculations: dict[str, Any] | None, **changes: Any) -> Scenario:
    arms = [ARM if each is None else ARM | {"speculation": each} for each in speculations]
    profile = {"path": str(recorded / "profile.parquet")}
    given: dict[str, Any] = {"values": "profile", "profile": profile, "workload": TOKENS}
    return scenario(**(given | changes | {"arms": arms}))


def test_a_profile_says_which_drafts_were_right(recorded: Path) -> None:
    profile, tokens = Profile(recorded / "profile.parquet"), load(recorded / "run").tokens
    plain, drafting = profile.parts
    assert plain.right_R is None
    assert drafting.right_R is not None
    for name in ("token_R", "payload_bytes_P", "first_payload_R1"):
        assert np.array_equal(getattr(plain, name), getattr(drafting, name))
    rows = tokens[tokens["arm"] == 1].sort_values(["device", "request", "position"])
    right = drafting.right_R
    assert right[rows["drafted"]].all()
    assert not right[rows["refuted_drafts"] > 0].any()
    assert 0.5 < right.mean() < 1


@pytest.mark.parametrize(
    "workload", [{"max_new_tokens": 12}, {"max_new_tokens": 30, "ignore_eos": True}]
)
def test_both_simulated_ways_replay_drafts_alike(
    recorded: Path, tmp_path: Path, workload: dict[str, Any]
) -> None:
    fleet = dict(scenario().fleet.model_dump(mode="json"), devices=7)
    arms = (None, {"drafts": 3}, {"drafts": 2, "ahead": 5})
    outcomes = [
        run(replaying(recorded, *arms, way=way, fleet=fleet, workload=workload), tmp_path / way)
        for way in ("virtual", "fleet")
    ]
    assert digests(outcomes[0]) == digests(outcomes[1])
    rows = outcomes[1].summary["arms"]
    assert len({row["output_digest"] for row in rows}) == 1
    assert all(0 < row["draft_acceptance"] < 1 for row in rows if row["speculation"])


def test_drafts_that_the_cloud_judges_are_replayed(tmp_path: Path) -> None:
    arms = [
        {"method": "token_speculation", "speculation": {"drafts": 1, "ahead": 6}},
        {"method": "llm_without"},
    ]
    run(scenario(arms=arms, **FAR), tmp_path / "run")
    profile = record_profile(tmp_path / "run", tmp_path / "profile.parquet")
    right = profile.parts[0].right_R
    assert right is not None
    assert 0.5 < right.mean() < 1
    again = [{"method": "token_speculation"}, arms[0], arms[1]]
    given: dict[str, Any] = {"path": str(tmp_path / "profile.parquet"), "order": "own"}
    outcomes = [
        run(
            scenario(values="profile", profile=given, arms=again, way=way, **FAR),
            tmp_path / way,
        )
        for way in ("virtual", "fleet")
    ]
    assert digests(outcomes[0]) == digests(outcomes[1])
    source = run(scenario(arms=arms, **FAR), tmp_path / "source")
    assert digests(outcomes[0])[1:] == digests(source)


def test_answers_that_come_before_a_draft_are_no_measurement(tmp_path: Path) -> None:
    slow = {"share": 1, "link": "cable", "hardware": "phone-npu"}
    fleet = dict(scenario().fleet.model_dump(mode="json"), classes=[slow])
    arms = [{"method": "token_speculation", "speculation": {"drafts": 1, "ahead": 6}}]
    run(scenario(arms=arms, fleet=fleet, workload=TOKENS), tmp_path / "run")
    with pytest.raises(ConfigError, match=r"% of the tokens came before their devices had"):
        record_profile(tmp_path / "run", tmp_path / "profile.parquet")


def test_runs_of_right_drafts_survive(tmp_path: Path) -> None:
    """Lag 1 and p99 of runs of right drafts in what a fleet replays, against the source."""
    rng = np.random.default_rng(3)
    sessions = []
    for number in range(300):
        right, places = True, []
        for _ in range(int(rng.integers(20, 60))):
            right = bool(rng.random() < (0.95 if right else 0.5))
            places.append(right)
        tokens = [3] * len(places)
        sessions.append(session(number, tokens, limit=len(tokens), right=places))
    profile = Profile(written(tmp_path / "p.parquet", [sessions], eos=()))
    part, device_N = profile.parts[0], np.arange(10_000)
    assert part.right_R is not None
    picked = profile.sessions_of(ReplayOrder.DRAWN, 11, device_N, np.zeros_like(device_N))
    outcomes = Outcomes.replayed(
        part, picked, profile.limit_S[picked], to_the_limit=False, drafting=50
    )
    assert outcomes.drafts is not None
    assert outcomes.drafts.token_R is not None
    right_R = (outcomes.drafts.token_R == outcomes.token_R).astype(np.int64)
    replayed = [
        right_R[first : first + length]
        for first, length in zip(outcomes.first_rows, outcomes.lengths, strict=True)
    ]
    source = np.split(part.right_R.astype(np.int64), part.first_row_S1[1:-1])
    assert lag1(source) > 0.3
    assert lag1(replayed) == pytest.approx(lag1(source), abs=0.02)
    assert np.percentile(_runs(replayed), 99) == pytest.approx(
        np.percentile(_runs(source), 99), rel=0.05
    )
    assert size_statistics(part).right == pytest.approx(part.right_R.mean())


def _runs(sessions: list[np.ndarray[Any, np.dtype[np.int64]]]) -> list[int]:
    """Lengths of runs of right drafts, those that a session's end cuts off included."""
    lengths: list[int] = []
    for each in sessions:
        at = np.flatnonzero(np.concatenate(([0], each, [0])) == 0)
        lengths += [int(gap) - 1 for gap in np.diff(at) if gap > 1]
    return lengths


def test_what_a_profile_does_not_know_of_drafts_is_refused(recorded: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"does not know what a device would draft.*generic"):
        plan_workload(replaying(recorded, {"draft": "generic"}))
    with pytest.raises(ConfigError, match=r"the very same `speculation` alone"):
        plan_workload(replaying(recorded, {"theta": 0.1}))
    run(scenario(arms=[RUNNING_AHEAD]), tmp_path / "alone")
    with pytest.raises(ConfigError, match="the same arm without speculation"):
        record_profile(tmp_path / "alone", tmp_path / "p.parquet")
    run(scenario(arms=[ARM, ARM | {"speculation": {"drafts": 4}}]), tmp_path / "waits")
    with pytest.raises(ConfigError, match="leaves tokens without any"):
        record_profile(tmp_path / "waits", tmp_path / "p.parquet")
