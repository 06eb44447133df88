"""Every method that has a name: as constants, measured, and replayed, in both simulated ways."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import actors.fleet.machine_code
from actors.values.profile import Profile
from costeer.errors import ConfigError
from costeer.methods import ALL
from experiments.planning.members import as_it_is
from experiments.profile.record import record_profile
from experiments.profile.replay import open_profile
from experiments.results.run import load
from experiments.scenario import load_scenario
from tests.experiments.small_runs import digests, random_pair, run, scenario

FAR = {"share": 1, "link": "4g-eu", "hardware": "laptop-cpu"}
SETTING: dict[str, Any] = {
    "workload": {"max_new_tokens": 8, "limit": 2},
    "fleet": dict(scenario().fleet.model_dump(mode="json"), classes=[FAR], devices=2),
    "timing": {"cloud_model": "qwen2.5-7b", "edge_model": "qwen2.5-0.5b"},
}
CODEC: dict[str, Any] = {"codec": "top8-bf16-packed"}
ARMS = [(CODEC if each.steered else {}) | {"method": each.name} for each in ALL]
CHANGED: dict[str, dict[str, Any]] = {
    "adacosteer": {"gate": {"sure": 0.997, "after": 1, "unsure": 0.9975}},
    "token_speculation": {"speculation": {"drafts": 1, "ahead": 24}},
}
MEASURED = [arm | CHANGED.get(arm["method"], {}) for arm in ARMS]


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few tokens are quicker than a compiler."""
    monkeypatch.setattr(actors.fleet.machine_code, "kept_compiler", lambda: as_it_is)


def test_constants(tmp_path: Path) -> None:
    given = SETTING | {"values": "null", "arms": ARMS}
    simulated, compiled = (
        run(scenario(**given, way=way), tmp_path / way) for way in ("virtual", "fleet")
    )
    assert digests(simulated) == digests(compiled)


def test_what_was_measured(tmp_path: Path) -> None:
    source = run(
        scenario(**SETTING, values="models", models=random_pair(), arms=MEASURED), tmp_path / "run"
    )
    record_profile(tmp_path / "run", tmp_path / "profile.parquet")
    assert len(Profile(tmp_path / "profile.parquet").parts) == len(MEASURED)
    profile = {"path": str(tmp_path / "profile.parquet"), "order": "own"}
    given = SETTING | {"values": "profile", "profile": profile, "arms": MEASURED}
    simulated, compiled = (
        run(scenario(**given, way=way), tmp_path / way) for way in ("virtual", "fleet")
    )
    assert digests(simulated) == digests(compiled)
    assert [text for text, _ in digests(compiled)] == [text for text, _ in digests(source)]


def test_the_shipped_profile_of_all_methods_is_replayed(tmp_path: Path) -> None:
    given = load_scenario("methods-crowd")
    assert {arm.method for arm in given.arms} == {method.name for method in ALL}
    profile = open_profile(given)
    assert profile.origin.bytes_origin == "measured"
    assert [arm["method"] for arm in profile.origin.arms] == [
        arm.method for arm in load_scenario("methods").arms
    ]
    fleet = given.fleet.model_copy(update={"devices": 2})
    workload = given.workload.model_copy(update={"max_new_tokens": 6})
    small = given.model_copy(update={"fleet": fleet, "workload": workload})
    simulated, compiled = (
        run(small.model_copy(update={"way": way}), tmp_path / way) for way in ("virtual", "fleet")
    )
    assert digests(simulated) == digests(compiled)


@pytest.mark.parametrize("size", [60, "codec"])
def test_a_learnt_k_of_constant_values(tmp_path: Path, size: Any) -> None:
    learnt = {"method": "costeer", "codec": "adaptive4to32-bf16-packed"}
    drafting = learnt | {"speculation": {"drafts": "adaptive"}}
    values = {"vocab_size": 400, "prompt_tokens": 9, "context_tokens": 11}
    given = SETTING | {
        "values": "null",
        "generated": values | {"needs_ranks": 11, "constant_bytes": size},
        "arms": [learnt, drafting, {"method": "costeer", "codec": "top8-bf16-packed"}],
    }
    simulated, compiled = (
        run(scenario(**given, way=way), tmp_path / way) for way in ("virtual", "fleet")
    )
    assert digests(simulated) == digests(compiled)
    tokens = load(tmp_path / "fleet").tokens
    assert (tokens[tokens["arm"] == 2]["rounds"] == 1).all()
    assert tokens["certified"].all()


LEARNT = {"method": "costeer", "codec": "adaptive8to64-bf16-packed"}
FIXED = [
    {"method": "costeer", "codec": f"top{start}-bf16-packed"}
    for start in (8, 11, 16, 23, 32, 45, 64)
]
"""An arm for each k that may be chosen."""


@pytest.mark.parametrize("more", [{}, {"speculation": {"drafts": "adaptive"}}])
def test_what_was_measured_at_each_k_is_what_a_learnt_k_brings(
    tmp_path: Path, more: dict[str, Any]
) -> None:
    """The replay learns as the real run did, and takes as long, to the nanosecond.

    Of drafts a profile knows which are right, not which wrong ones a small model makes.
    """
    drafting = [arm | {"speculation": {"drafts": 1, "ahead": 24}} for arm in FIXED if more]
    given = SETTING | {"values": "models", "models": random_pair()}
    run(scenario(**given, arms=[*FIXED, *drafting]), tmp_path / "run")
    real = run(scenario(**given, arms=[LEARNT | more]), tmp_path / "real")
    record_profile(tmp_path / "run", tmp_path / "profile.parquet")
    profile = {"path": str(tmp_path / "profile.parquet"), "order": "own"}
    given = SETTING | {"values": "profile", "profile": profile, "arms": [LEARNT | more]}
    simulated, compiled = (
        run(scenario(**given, way=way), tmp_path / way) for way in ("virtual", "fleet")
    )
    assert digests(compiled) == digests(simulated)
    told = slice(0, 1 if more else 2)
    assert digests(simulated)[0][told] == digests(real)[0][told]


def test_a_learnt_k_needs_every_k_that_it_may_choose(tmp_path: Path) -> None:
    run(scenario(arms=[*FIXED[:-1], LEARNT]), tmp_path / "run")
    record_profile(tmp_path / "run", tmp_path / "profile.parquet")
    profile = {"path": str(tmp_path / "profile.parquet")}
    for way in ("virtual", "fleet"):
        given = scenario(values="profile", profile=profile, arms=[LEARNT], way=way)
        with pytest.raises(ConfigError, match=r"no costeer.*top64.* top_k of k = 8, 11, 16, 23"):
            run(given, tmp_path / way)
