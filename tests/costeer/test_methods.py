"""The methods are data: who sees which prompt, who chooses, what crosses."""

from __future__ import annotations

import pytest

from costeer.errors import ConfigError
from costeer.methods import (
    ALL,
    METHODS,
    NEIGHBOURS,
    CloudRole,
    Method,
    Prompt,
    method_named,
)


def test_the_six_settings_of_the_paper() -> None:
    assert [method.name for method in METHODS] == [
        "slm_without",
        "slm_with",
        "llm_without",
        "llm_with",
        "light_costeer",
        "costeer",
    ]
    for method in METHODS:
        assert method_named(method.name) is method


def test_only_llm_with_sends_the_private_context() -> None:
    assert [method.name for method in METHODS if method.leaks_context] == ["llm_with"]


def test_every_method_says_where_the_context_has_to_be() -> None:
    found = {method.name: method.context_at for method in ALL}
    assert {name for name, at in found.items() if at == "cloud"} == {"llm_with", "context_steering"}
    assert {name for name, at in found.items() if at == "nowhere"} == {
        "slm_without",
        "llm_without",
        "contrastive",
        "token_speculation",
    }


def test_a_contrast_weighs_delta_beside_logits_of_weight_one() -> None:
    weights = {method.name: method.weight(0.5) for method in NEIGHBOURS}
    assert weights.pop("contrastive") == pytest.approx(0.5 / 1.5)
    assert set(weights.values()) == {0.5}


@pytest.mark.parametrize("one", ALL, ids=lambda method: method.name)
def test_every_method_is_coherent(one: Method) -> None:
    assert (one.cloud is CloudRole.ABSENT) == (one.cloud_prompt is None)
    assert not (one.steered and one.streamed)
    defaults = (one.default_strength is not None) + (one.default_c is not None)
    assert defaults == (one.steered or one.guided)
    assert one.guided == (one.guide is not None)
    if one.steered:
        assert one.edge_branches[0] is Prompt.PUBLIC
        assert one.cloud_prompt is Prompt.PUBLIC
    elif one.streamed:
        assert one.edge_branches == ()
    else:
        assert len(one.edge_branches) == 1


def test_an_unknown_method_is_a_persons_mistake() -> None:
    with pytest.raises(ConfigError, match=r"'cosater' is not known; choose one of slm_without"):
        method_named("cosater")


OWN = Method("own", CloudRole.LOGITS, Prompt.PUBLIC, (Prompt.PUBLIC, Prompt.PERSONAL), 3)
DEAF = Method("deaf", CloudRole.LOGITS, Prompt.PUBLIC, (Prompt.PERSONAL,), 3)
HERE = "tests.costeer.test_methods"


def test_a_method_of_ones_own_is_imported_by_its_path() -> None:
    assert method_named(f"{HERE}:OWN") == OWN


@pytest.mark.parametrize(
    ("path", "says"),
    [
        ("no.such.module:OWN", "cannot be imported: No module named 'no'"),
        (f"{HERE}:NOWHERE", "cannot be imported: module .* has no attribute"),
        (f"{HERE}:HERE", "is no costeer.methods.Method"),
        (f"{HERE}:DEAF", "steers: it needs the public and the personal branch"),
    ],
)
def test_a_method_that_no_machine_can_carry_out_is_refused(path: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        method_named(path)
