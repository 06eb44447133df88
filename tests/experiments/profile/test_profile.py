"""From a run to its profile and back: the same sizes, in the same order, in both simulated ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from actors.fleet.outcomes import Outcomes
from actors.values.order import ReplayOrder
from actors.values.profile import Profile
from actors.values.profile_file import ProfiledSession
from costeer.errors import ConfigError
from costeer.methods import METHODS
from experiments.cli import main
from experiments.planning import plan_workload
from experiments.profile.record import record_profile
from experiments.profile.replay import open_profile
from experiments.profile.statistics import lag1, size_statistics
from experiments.results.run import load
from experiments.scenario import Scenario, load_scenario
from tests.actors.profiles import written
from tests.experiments.small_runs import digests, run, scenario

ARMS = [
    {"method": method.name, "codec": "top8-bf16-packed"}
    if method.steered
    else {"method": method.name}
    for method in METHODS
]


BYTES = [
    f"{kind}_bytes_{way}_per_token"
    for kind, way in (("payload", "down"), ("frame", "down"), ("frame", "up"), ("wire", "up"))
]


def source(**changes: Any) -> Scenario:
    return scenario(arms=ARMS, **changes)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("source")
    run(source(workload={"max_new_tokens": 12}), folder / "run")
    record_profile(folder / "run", folder / "profile.parquet")
    return folder


def replaying(recorded: Path, **changes: Any) -> Scenario:
    profile = {"path": str(recorded / "profile.parquet")} | changes.pop("profile", {})
    given: dict[str, Any] = {"values": "profile", "profile": profile}
    return source(**(given | {"workload": {"max_new_tokens": 12}} | changes))


def test_a_profile_holds_what_the_run_moved(recorded: Path) -> None:
    profile, tokens = Profile(recorded / "profile.parquet"), load(recorded / "run").tokens
    assert profile.origin.bytes_origin == "synthetic"
    assert profile.sessions == 6
    for index, part in enumerate(profile.parts):
        rows = tokens[tokens["arm"] == index].sort_values(["device", "request", "position"])
        assert part.token_R.tolist() == rows["token"].tolist()
        assert part.rounds_R.tolist() == rows["rounds"].tolist()
        assert part.total_bytes_R.tolist() == rows["payload_bytes_down"].tolist()
        assert part.certified_R.tolist() == rows["certified"].tolist()


def test_its_own_sessions_are_the_run_again(recorded: Path, tmp_path: Path) -> None:
    """Replayed by the devices that had them, sessions take the time that they took."""
    own = replaying(recorded, profile={"order": "own"})
    first = load(recorded / "run").summary
    again = run(own, tmp_path / "virtual").summary
    figures = ("tokens", "itl_s", "ttft_s", "breakdown_s", *BYTES)
    for name in ("output_digest", *figures):
        assert [row[name] for row in again["arms"]] == [row[name] for row in first["arms"]]


@pytest.mark.parametrize(
    "workload", [{"max_new_tokens": 12}, {"max_new_tokens": 30, "ignore_eos": True}]
)
def test_both_simulated_ways_replay_alike(
    recorded: Path, tmp_path: Path, workload: dict[str, Any]
) -> None:
    fleet = dict(scenario().fleet.model_dump(mode="json"), devices=9)
    outcomes = [
        run(replaying(recorded, way=way, fleet=fleet, workload=workload), tmp_path / way)
        for way in ("virtual", "fleet")
    ]
    assert digests(outcomes[0]) == digests(outcomes[1])
    arms = outcomes[1].summary["arms"]
    assert {arm["origins"]["bytes"] for arm in arms} == {"synthetic"}


def test_correlation_in_time_survives(tmp_path: Path) -> None:
    """Lag 1 and p99 of what a fleet replays, against the source; shuffled tokens lose lag 1."""
    rng = np.random.default_rng(5)
    sessions = []
    for number in range(300):
        level = rng.normal()
        sizes = []
        for _ in range(int(rng.integers(20, 60))):
            level = 0.8 * level + rng.normal()
            sizes.append(165 + round(40 * np.exp(level)))
        sessions.append(_of_sizes(number, sizes))
    profile = Profile(written(tmp_path / "p.parquet", [sessions], eos=()))
    part, device_N = profile.parts[0], np.arange(20_000)
    picked = profile.sessions_of(ReplayOrder.DRAWN, 11, device_N, np.zeros_like(device_N))
    outcomes = Outcomes.replayed(part, picked, profile.limit_S[picked], to_the_limit=False)
    replayed = [
        outcomes.payload_bytes_P[first : first + length]
        for first, length in zip(outcomes.first_rows, outcomes.lengths, strict=True)
    ]
    told = size_statistics(part)
    assert told.lag1 > 0.5
    assert lag1(replayed) == pytest.approx(told.lag1, abs=0.02)
    everything = np.concatenate(replayed)
    assert np.percentile(everything, 99) == pytest.approx(told.p99_bytes, rel=0.03)
    assert everything.mean() == pytest.approx(told.mean_bytes, rel=0.02)
    shuffled = np.split(rng.permutation(everything), np.cumsum(outcomes.lengths)[:-1])
    assert abs(lag1(shuffled)) < 0.05


def test_lag_one_by_hand() -> None:
    # Mean 2, variance 1; products of neighbours: -1, -1 and 1.
    assert lag1([np.array([1, 3, 1]), np.array([3, 3]), np.array([1])]) == pytest.approx(-1 / 3)
    assert lag1([np.array([4, 4])]) == lag1([np.array([1]), np.array([2])]) == 0


def _of_sizes(number: int, sizes: list[int]) -> ProfiledSession:
    count = len(sizes)
    return ProfiledSession(
        device=number,
        request=0,
        prompt_id="made",
        public_tokens=9,
        personal_tokens=20,
        public_bytes=12,
        personal_bytes=30,
        limit=count,
        tokens=[3] * count,
        rounds=[0] * count,
        payload_bytes=sizes,
        certified=[True] * count,
        margin=[1.0] * count,
    )


def test_an_arm_that_was_not_measured_is_refused(recorded: Path) -> None:
    unmeasured = scenario(arms=[{"method": "costeer", "codec": "top9-bf16-packed"}])
    other = replaying(recorded).model_copy(update={"arms": unmeasured.arms})
    with pytest.raises(ConfigError, match=r"no costeer, c = 1.783, top9.*it has slm_without; "):
        plan_workload(other)


def test_what_a_scenario_cannot_ask_for(recorded: Path) -> None:
    with pytest.raises(ConfigError, match=r"profile: \{path"):
        load_scenario("tiny", ["values=profile"])
    with pytest.raises(ConfigError, match="there is no nowhere"):
        load_scenario("tiny", ["values=profile", "profile.path=nowhere.parquet"])
    path = recorded / "profile.parquet"
    with pytest.raises(ConfigError, match="choose way: virtual or way: fleet"):
        load_scenario("live", ["values=profile", f"profile.path={path}"])


def test_the_command_says_what_it_recorded(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "again.parquet"
    assert main(["record-profile", str(recorded / "run"), "--out", str(out)]) == 0
    said = capsys.readouterr().out
    assert "6 sessions of small, V = 400, sizes synthetic" in said
    assert "costeer, c = 1.783, top8-bf16-packed" in said
    assert f"profile.path={out}" in said
    assert main(["record-profile", str(tmp_path / "none"), "--out", str(out)]) == 2
    assert "no manifest.json" in capsys.readouterr().err


def test_constants_have_no_profile(tmp_path: Path) -> None:
    run(source(values="null"), tmp_path / "run")
    with pytest.raises(ConfigError, match="values are 'null'"):
        record_profile(tmp_path / "run", tmp_path / "p.parquet")


def test_the_shipped_profile_is_measured() -> None:
    profile = open_profile(load_scenario("measured-crowd"))
    assert profile.origin.bytes_origin == "measured"
    assert profile.sessions == 1_000
    steered = size_statistics(profile.parts[0])
    assert steered.mean_bytes == pytest.approx(150, rel=0.02)
    assert steered.certified == 1.0
