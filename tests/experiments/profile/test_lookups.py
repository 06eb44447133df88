"""What a cloud could have looked up, in a profile and replayed: as it does with the model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import actors.fleet.machine_code
from actors.values.profile import Profile
from costeer.errors import ConfigError
from costeer.lookup import looked_up
from experiments.planning import plan_workload
from experiments.planning.members import as_it_is
from experiments.profile.lookups import lookups
from experiments.profile.record import record_profile
from tests.experiments.small_runs import digests, random_pair, run, scenario

PLAIN = {"method": "llm_without"}
WARM = PLAIN | {"sampling": {"temperature": 0.1}}
DRAFTING = [arm | {"cloud_drafts": {"drafts": 4}} for arm in (PLAIN, WARM)]
DRAFTING.append(PLAIN | {"cloud_drafts": {"drafts": 1}})
WORKLOAD = {"max_new_tokens": 16, "limit": 6, "ignore_eos": True}


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few tokens are quicker than a compiler."""
    monkeypatch.setattr(actors.fleet.machine_code, "kept_compiler", lambda: as_it_is)


def test_drafts_of_any_cloud_are_replayed_from_a_run_that_had_none(tmp_path: Path) -> None:
    models: dict[str, Any] = {"values": "models", "models": random_pair(), "workload": WORKLOAD}
    run(scenario(arms=[PLAIN, WARM], **models), tmp_path / "run")
    cold, warm = record_profile(tmp_path / "run", tmp_path / "profile.parquet").parts
    assert cold.followed_R is not None
    assert warm.found_R is not None
    assert warm.followed_R is not None
    assert cold.followed_R.max() > 0
    assert (warm.followed_R < warm.found_R).any()
    source = run(scenario(arms=DRAFTING, **models), tmp_path / "source")
    profile = {"path": str(tmp_path / "profile.parquet"), "order": "own"}
    for way in ("virtual", "fleet"):
        again = scenario(
            values="profile", profile=profile, arms=DRAFTING, way=way, workload=WORKLOAD
        )
        outcome = run(again, tmp_path / way)
        assert digests(outcome) == digests(source)
        for mine, other in zip(outcome.summary["arms"], source.summary["arms"], strict=True):
            for name in ("wasted_tokens", "cloud_draft_acceptance"):
                assert mine.get(name) == other.get(name)


def test_what_a_profile_does_not_know_of_lookups_is_refused(tmp_path: Path) -> None:
    run(scenario(arms=[PLAIN]), tmp_path / "run")
    profile = record_profile(tmp_path / "run", tmp_path / "profile.parquet")
    assert profile.parts[0].found_R is None
    given: dict[str, Any] = {"values": "profile", "profile": {"path": str(profile.path)}}
    plan_workload(scenario(arms=[PLAIN], **given))
    with pytest.raises(ConfigError, match=r"\(model\); .* `token_speculation`"):
        plan_workload(scenario(arms=[PLAIN | {"cloud_drafts": {"kind": "model"}}], **given))
    with pytest.raises(ConfigError, match=r"does not say what the cloud would draft \(lookup\)"):
        plan_workload(scenario(arms=DRAFTING[:1], **given))


def test_a_small_model_beside_the_cloud_drafts_what_devices_would(tmp_path: Path) -> None:
    models: dict[str, Any] = {"values": "models", "models": random_pair(), "workload": WORKLOAD}
    device = {"method": "token_speculation", "speculation": {"drafts": 1, "ahead": 24}}
    far = {"share": 1, "link": "4g-eu", "hardware": "laptop-cpu"}
    models["fleet"] = dict(scenario().fleet.model_dump(mode="json"), classes=[far])
    models["timing"] = {"cloud_model": "qwen2.5-7b", "edge_model": "qwen2.5-0.5b"}
    run(scenario(arms=[PLAIN, device], **models), tmp_path / "run")
    record_profile(tmp_path / "run", tmp_path / "profile.parquet")
    beside = [PLAIN | {"cloud_drafts": {"kind": "model", "drafts": 3}}]
    source = run(scenario(arms=beside, **models), tmp_path / "source")
    profile = {"path": str(tmp_path / "profile.parquet"), "order": "own"}
    given = {"profile": profile, "arms": beside} | {
        name: models[name] for name in ("workload", "fleet", "timing")
    }
    for way in ("virtual", "fleet"):
        outcome = run(scenario(values="profile", way=way, **given), tmp_path / way)
        assert digests(outcome) == digests(source)


@given(
    st.lists(st.integers(0, 3), max_size=8),
    st.lists(st.integers(0, 3), min_size=1, max_size=20),
    st.integers(1, 5),
)
def test_fewer_drafts_are_the_first_of_more(
    prompt: list[int], tokens: list[int], count: int
) -> None:
    found, followed = lookups(prompt, tokens)
    for position in range(len(tokens)):
        drafts = looked_up([*prompt, *tokens[:position]], count)
        right = np.cumprod(
            [a == b for a, b in zip(drafts, tokens[position:], strict=False)], dtype=int
        )
        assert len(drafts) == min(count, found[position])
        assert right.sum() == min(len(right), followed[position], count)


def test_a_profile_whose_lookups_make_no_sense_is_refused(tmp_path: Path) -> None:
    from tests.actors.profiles import session, written

    torn = session(0, [10, 2], found=[1, 1], followed=[0, 2])
    with pytest.raises(ConfigError, match="out of its range"):
        Profile(written(tmp_path / "p.parquet", [[torn]]))
