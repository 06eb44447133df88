"""A pair of two vocabularies: chosen per scenario, checked at load, the same in every way."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.plan import codec_terms
from costeer.errors import ConfigError
from costeer.machine import EdgeForward
from experiments.planning import check_plan, plan_workload
from experiments.planning.arms import plan_arm, plan_costs
from experiments.progress import NoProgress
from experiments.results.run import load
from experiments.scenario import Scenario
from tests.experiments.small_runs import digests, run, scenario

TOP = {"select": {"kind": "top_k", "k": 16}, "values": "bf16", "layout": "packed"}
BYTES = {"kind": "bytes", "depth": 1, "width": 2}
LLM = {"method": "llm_without"}


def other(alignment: dict[str, Any] | None, **changes: Any) -> Scenario:
    """The shipped large model with the small one of another tokenizer, on two devices."""
    models: dict[str, Any] = {"edge": {"path": "pair/slm-other"}}
    if alignment is not None:
        models["alignment"] = alignment
    given: dict[str, Any] = {
        "values": "models",
        "models": models,
        "arms": [{"method": "light_costeer", "codec": TOP}],
        "workload": {"prompts": "dev", "limit": 2, "max_new_tokens": 8},
    }
    given["fleet"] = {
        "devices": 2,
        "arrivals": {"kind": "closed", "think_s": 0.01, "requests_per_device": 1},
        "classes": [{"share": 1, "link": "cable", "hardware": "laptop-cpu"}],
    }
    given |= changes
    return scenario(**{key: value for key, value in given.items() if key != "generated"})


def test_different_tokenizers_without_a_choice_are_refused_with_the_choice() -> None:
    with pytest.raises(ConfigError, match=r"models\.alignment: \{kind: bytes\}"):
        plan_workload(other(None))


def test_a_contrast_needs_all_tokens() -> None:
    arm = {"method": "contrastive", "codec": TOP}
    with pytest.raises(ConfigError, match=r"\{kind: bytes\}"):
        check_plan(other({"kind": "intersection"}, arms=[arm]))


@pytest.mark.parametrize("alignment", [{"kind": "intersection"}, BYTES])
def test_drafts_change_no_text_in_another_vocabulary_either(
    alignment: dict[str, Any], tmp_path: Path
) -> None:
    drafting = {"method": "light_costeer", "codec": TOP, "speculation": {"drafts": 3}}
    plain = other(alignment).model_dump()["arms"][0]
    given = other(alignment, arms=[plain, drafting, {"method": "token_speculation"}, LLM])
    simulated = digests(run(given, tmp_path / "virtual"))
    assert simulated[0][0] == simulated[1][0]
    assert simulated[2][0] == simulated[3][0]
    tokens = load(tmp_path / "virtual").tokens
    assert tokens[tokens["arm"] == 1]["drafted"].any()
    real = digests(run(other(alignment, arms=[drafting], way="live"), tmp_path / "live"))
    assert real[0][0] == simulated[0][0]


def test_the_lossy_rule_and_a_contrast_run_in_two_vocabularies(tmp_path: Path) -> None:
    arms = [{"method": "specsteer", "codec": TOP}, {"method": "contrastive", "codec": TOP}]
    virtual = digests(run(other(BYTES, arms=arms), tmp_path / "virtual"))
    live = digests(run(other(BYTES, arms=arms[1:], way="live"), tmp_path / "live"))
    assert virtual[1][0] == live[0][0]
    texts = load(tmp_path / "virtual").requests["text"]
    assert all(texts.str.len() > 0)


def test_an_answer_is_finished_alone_in_the_clouds_tokens(tmp_path: Path) -> None:
    """A cloud goes silent for good: the small model goes on in tokens that are not its own."""
    silent = {"kind": "cloud_stalls", "at_s": 0.3, "for_s": 1e4, "frames": "lost"}
    retry = {"timeout_s": 0.1, "tries": 1, "fallback": "slm_with"}
    drafting = {"method": "light_costeer", "codec": TOP, "speculation": {"drafts": 2}}
    plain = other(BYTES).model_dump()["arms"][0]
    cloud = other(BYTES).model_dump()["cloud"] | {"retry": retry}
    given = other(BYTES, arms=[plain, drafting], cloud=cloud, events=[silent])
    run(given, tmp_path / "run")
    found = load(tmp_path / "run")
    for _, tokens in found.tokens.groupby("arm"):
        assert tokens["fallback"].any()
        assert not tokens["fallback"].all()
    assert not found.requests["failed"].any()
    assert all(" " in text and "<" not in text for text in found.requests["text"])


def test_prompts_are_in_both_vocabularies_and_the_cloud_is_asked_in_its_own() -> None:
    plain = plan_workload(other({"kind": "same"}, models={}))
    aligned = plan_workload(other(BYTES))
    for one, both in zip(plain.devices, aligned.devices, strict=True):
        assert both.requests[0].public == one.requests[0].public
        own = both.requests[0].own
        assert own is not None
        assert own[0] != both.requests[0].public
    assert aligned.own_eos == frozenset({0})


def test_the_digest_does_not_depend_on_shards(tmp_path: Path) -> None:
    one = other({"kind": "intersection"})
    fleet = one.model_dump()["fleet"] | {"shards": 2}
    first = run(one, tmp_path / "one")
    second = run(other({"kind": "intersection"}, fleet=fleet), tmp_path / "two")
    assert digests(first) == digests(second)
    (arm,) = [row for row in load(tmp_path / "one").arms if row["link_class"] == "all"]
    assert arm["frame_bytes_down_per_token"] > 0


def test_live_and_virtual_write_the_same_texts(tmp_path: Path) -> None:
    simulated = run(other(BYTES), tmp_path / "virtual")
    real = run(other(BYTES, way="live"), tmp_path / "live")
    assert digests(simulated)[0][0] == digests(real)[0][0]


def test_the_small_model_alone_writes_in_its_own_tokens(tmp_path: Path) -> None:
    run(other(BYTES, arms=[{"method": "slm_with"}]), tmp_path / "run")
    texts = load(tmp_path / "run").requests["text"]
    assert all(" " in text and "<" not in text for text in texts)


def test_looking_ahead_is_charged() -> None:
    def costs_ns(alignment: dict[str, Any]) -> int:
        planned = other(alignment)
        workload = plan_workload(planned)
        terms = codec_terms(plan_arm(planned, workload, planned.arms[0]), workload.vocab_size)
        forward = EdgeForward(1, ((1,), (1,)), (9, 20))
        return plan_costs(planned, terms).edge_ns(forward, "laptop-cpu")

    plain_ns = costs_ns({"kind": "intersection"})
    assert costs_ns(BYTES | {"depth": 0}) == plain_ns
    assert costs_ns(BYTES | {"depth": 2}) > costs_ns(BYTES) > plain_ns


def test_calibration_refuses_two_vocabularies() -> None:
    from experiments.calibration import calibrate

    with pytest.raises(ConfigError, match=r"models\.alignment"):
        calibrate(other(BYTES).models, NoProgress())
