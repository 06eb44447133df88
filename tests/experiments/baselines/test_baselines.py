"""Baselines are their formulas, and are tuned on rows that they are not compared on."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from experiments.baselines.methods import BASELINES, CLOUD, FLOOR, plausible
from experiments.cli import main

BY_KEY = {baseline.key: baseline for baseline in BASELINES}
GOING = torch.ones(2, dtype=torch.bool)


def log_probs(seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.log_softmax(3 * torch.randn(2, 40, generator=generator), dim=-1)


L, LC, S, SC = (log_probs(seed) for seed in range(4))


def choice(key: str, strength: float, *parts: torch.Tensor) -> list[int]:
    scores = BY_KEY[key].rule(strength)(parts, GOING)
    return [int(index) for index in scores.argmax(-1)]


def test_those_that_keep_the_context_private_are_marked() -> None:
    private = {key for key, baseline in BY_KEY.items() if baseline.private}
    assert private == BY_KEY.keys() - {"llm_with", "context_steering"}
    for baseline in BASELINES:
        leaks = any(
            party == CLOUD and prompt.value == "personal" for party, prompt in baseline.parts
        )
        assert leaks is not baseline.private


def test_steering_with_no_strength_is_the_large_model() -> None:
    assert choice("costeer", 0.0, L, SC, S) == L.argmax(-1).tolist()
    assert choice("proxy_tuning", 1.0, L, SC, S) == (L + SC - S).argmax(-1).tolist()


def test_the_floor_keeps_plausible_tokens_alone() -> None:
    kept = plausible(torch.zeros_like(L), L, FLOOR) > -math.inf
    expected = L.exp() >= FLOOR * L.exp().max(-1, keepdim=True).values
    assert torch.equal(kept, expected)
    # However strong the steering, the choice stays among them.
    for row, token in enumerate(choice("costeer_floor", 50.0, L, SC, S)):
        assert expected[row, token]


def test_context_steering_starts_from_the_whole_context() -> None:
    assert choice("context_steering", 0.0, LC, L) == LC.argmax(-1).tolist()
    assert choice("context_steering", -1.0, LC, L) == L.argmax(-1).tolist()


def test_contrastive_decoding_is_its_formula() -> None:
    scores = (1.5 * L - 0.5 * S).masked_fill(
        L.exp() < FLOOR * L.exp().max(-1, keepdim=True).values, -math.inf
    )
    assert choice("contrastive", 0.5, L, S) == scores.argmax(-1).tolist()


def test_strengths_are_tuned_on_other_rows(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    few = tuple(
        replace(BY_KEY[key], strengths=BY_KEY[key].strengths[:2])
        for key in ("costeer", "contrastive", "llm_with")
    )
    monkeypatch.setattr("experiments.baselines.study.BASELINES", few)
    options = ["--pair", "tiny", "--dev", "2", "--limit", "3", "--runs", "1", "--json"]
    options += ["--out", str(tmp_path / "run")]
    assert main(["evaluate", "baselines", *options]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["dev_rows"], found["test_rows"]) == (2, 3)
    standings = {each["key"]: each for each in found["standings"]}
    assert list(standings) == ["costeer", "contrastive", "llm_with"]
    best = max(standings["costeer"]["tried"], key=lambda each: each["rouge_l"])
    assert standings["costeer"]["strength"] == best["strength"]
    assert standings["costeer"]["difference"] is None
    assert standings["llm_with"]["strength"] is None
    crossed = {key: each["crossing"] for key, each in standings.items()}
    assert all(each["certified"] == 1.0 for each in crossed.values())
    down = {key: each["bytes_down"] for key, each in crossed.items()}
    assert down["llm_with"] < down["contrastive"] < down["costeer"]


def test_noise_is_borne_method_by_method(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.baselines.noise.RATES", (0.0, 2.0))
    assert main(["evaluate", "noise", "--pair", "tiny", "--limit", "3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert [each["rate"] for each in found] == [0.0] * 4 + [2.0] * 4
    assert all((each["lost"] is None) == (each["rate"] == 0) for each in found)
    assert {each["title"] for each in found} == {
        *("SLM w/", "CoSteer, c = 0.476", "CoSteer, c = 1.783", "LLM w/")
    }
