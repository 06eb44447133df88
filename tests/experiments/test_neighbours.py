"""Neighbouring methods as arms: the texts of their published formulas, with bytes, in every way."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actors.models.tokenizer import load_tokenizer
from costeer.errors import ConfigError
from costeer.methods import NEIGHBOURS, Prompt
from experiments.baselines.methods import BASELINES, CLOUD, DEVICE
from experiments.datasets.row import PromptRow
from experiments.evaluation.decode import Branch, greedy
from experiments.planning import check_plan
from experiments.results.run import load
from experiments.scenario import Scenario
from experiments.scoring.likelihood import load_reference
from experiments.workload import load_rows
from tests.experiments.small_runs import digests, random_pair, run, scenario

FLOOR = {"select": {"kind": "floor", "a": 0.1}, "values": "bf16", "layout": "packed"}
TOP = {"select": {"kind": "top_k", "k": 16}, "values": "bf16", "layout": "packed"}
STRENGTHS = {"proxy_tuning": 1.0, "costeer_floor": 1.783, "contrastive": 0.5}
ARMS: list[dict[str, Any]] = [
    {"method": "proxy_tuning", "codec": TOP},
    {"method": "costeer_floor", "strength": 1.783, "codec": FLOOR},
    {"method": "contrastive", "codec": FLOOR},
    {"method": "context_steering"},
]


def on_pair(models: dict[str, Any], **changes: Any) -> Scenario:
    given: dict[str, Any] = {
        "values": "models",
        "models": models,
        "arms": ARMS,
        "workload": {"prompts": "dev", "limit": 2, "max_new_tokens": 8},
        "fleet": {
            "devices": 2,
            "arrivals": {"kind": "closed", "think_s": 0.01, "requests_per_device": 1},
            "classes": [{"share": 1, "link": "cable", "hardware": "laptop-cpu"}],
        },
    }
    return scenario(**(given | changes))


def test_arms_write_what_the_reference_decoder_writes_by_the_same_formula(tmp_path: Path) -> None:
    """The one goes over frames, slots and certificates, the other is batched mixing of logits."""
    exact = [
        arm | {"codec": arm["codec"] | {"values": "fp32"}} if "codec" in arm else arm
        for arm in ARMS
    ]
    given = on_pair({"numerics": "fp32"}, arms=exact)
    run(given, tmp_path / "run")
    found = load(tmp_path / "run")
    rows = load_rows("dev", 2)
    models = {
        CLOUD: load_reference(given.models.hosted_cloud("a test")),
        DEVICE: load_reference(given.models.edge),
    }
    tokenizer = load_tokenizer(given.models.tokenizer_location)
    prompts: dict[Prompt, Callable[[PromptRow], str]] = {
        Prompt.PUBLIC: lambda row: row.input,
        Prompt.PERSONAL: lambda row: row.personalized_input,
    }
    by_key = {each.key: each for each in BASELINES}
    for index, arm in enumerate(ARMS):
        name = str(arm["method"])
        baseline = by_key[name]
        branches = [
            Branch(models[party], [prompts[prompt](row) for row in rows], 1.0)
            for party, prompt in baseline.parts
        ]
        texts = greedy(branches, tokenizer, 8, rule=baseline.rule(STRENGTHS.get(name, 0.5)))
        mine = found.requests[found.requests["arm"] == index].set_index("prompt_id")["text"]
        assert [mine[row.id] for row in rows] == texts, name
    by_method = {row["method"]: row for row in found.arms if row["link_class"] == "all"}
    assert by_method["costeer_floor"]["certified_share"] == 1.0
    assert by_method["contrastive"]["certified_share"] == 1.0
    least = by_method["proxy_tuning"]["frame_bytes_down_per_token"]
    assert by_method["costeer_floor"]["frame_bytes_down_per_token"] < least
    seen = {
        name: row["quality"]["facts_in_prompt_share"]["mean"] for name, row in by_method.items()
    }
    assert seen.pop("context_steering") == 1.0
    assert set(seen.values()) == {0.0}


def test_digests_do_not_depend_on_shards_nor_texts_on_the_way(tmp_path: Path) -> None:
    one = on_pair(random_pair())
    fleet = one.model_dump()["fleet"] | {"shards": 2}
    first = run(one, tmp_path / "one")
    second = run(on_pair(random_pair(), fleet=fleet), tmp_path / "two")
    live = run(on_pair(random_pair(), way="live"), tmp_path / "live")
    assert digests(first) == digests(second)
    assert [each[0] for each in digests(first)] == [each[0] for each in digests(live)]


def test_context_steering_goes_from_the_large_model_without_the_context_to_that_with_it(
    tmp_path: Path,
) -> None:
    """λ = 0 and λ = −1 are its paper's two ends, whatever lies between them."""
    arms = [
        {"method": "context_steering", "strength": 0},
        {"method": "context_steering", "strength": -1},
        {"method": "llm_with"},
        {"method": "llm_without"},
    ]
    whole, none, with_it, without = digests(run(on_pair({}, arms=arms), tmp_path / "run"))
    assert whole[0] == with_it[0] != without[0]
    assert none[0] == without[0]


@pytest.mark.parametrize(
    ("arm", "says"),
    [
        ({"method": "costeer_floor", "codec": {"reference": "exact", "values": "bf16"}}, "rounded"),
        ({"method": "contrastive", "sampling": {"temperature": 1.0}}, "temperature: 0"),
        ({"method": "contrastive", "speculation": {}}, "drafts nothing"),
        ({"method": "context_steering", "codec": TOP}, "codec has no effect"),
        ({"method": "proxy_tuning", "strength": -0.5, "codec": TOP}, "is below 0"),
    ],
)
def test_settings_that_do_not_fit_are_refused(arm: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        on_pair({}, arms=[arm])


def test_a_contrast_needs_models_or_constants_and_fleets_know_guided_clouds() -> None:
    with pytest.raises(ConfigError, match="values: models"):
        check_plan(scenario(arms=[{"method": "contrastive", "codec": "top8-bf16-naive"}]))
    constant = {"way": "fleet", "values": "null", "arms": [{"method": "context_steering"}]}
    check_plan(scenario(**constant))


def test_every_neighbour_is_an_arm_here() -> None:
    assert {method.name for method in NEIGHBOURS} == {str(arm["method"]) for arm in ARMS}
