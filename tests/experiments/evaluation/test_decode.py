"""The evaluation decoder against plain forwards, and the report built on it."""

import dataclasses
from pathlib import Path

import pytest
import torch
from transformers import PreTrainedModel, PreTrainedTokenizerFast, Qwen2ForCausalLM

from experiments.evaluation import pair
from experiments.evaluation.decode import Branch, greedy
from experiments.pair import tokenizer as pair_tokenizer
from experiments.pair.corpus import rows
from experiments.pair.train import PRESETS, new_model

ROWS = rows("dev", 5)
BASE = [row.input for row in ROWS]
PERSONAL = [row.personalized_input for row in ROWS]
TINY = dataclasses.replace(
    PRESETS["slm"], hidden_size=32, layers=2, intermediate_size=48, embedding_std=0.5
)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return pair_tokenizer.build(rows=200)


@pytest.fixture(scope="module")
def models(tokenizer: PreTrainedTokenizerFast) -> list[Qwen2ForCausalLM]:
    return [new_model(TINY, tokenizer, seed, "cpu") for seed in (0, 1)]


@torch.inference_mode()
def one_by_one(
    terms: list[tuple[PreTrainedModel, str, float]], tokenizer: PreTrainedTokenizerFast, steps: int
) -> str:
    """Whole forwards of one row, no cache and no padding."""
    chosen: list[int] = []
    for _ in range(steps):
        scores_V = torch.stack(
            [
                weight
                * torch.log_softmax(
                    model(torch.tensor([tokenizer(prompt)["input_ids"] + chosen])).logits[0, -1],
                    dim=-1,
                )
                for model, prompt, weight in terms
            ]
        ).sum(0)
        token = int(scores_V.argmax())
        if token == tokenizer.eos_token_id:
            break
        chosen.append(token)
    return str(tokenizer.decode(chosen, skip_special_tokens=True)).strip()


def test_batches_with_caches_choose_what_whole_forwards_of_single_rows_choose(
    tokenizer: PreTrainedTokenizerFast, models: list[Qwen2ForCausalLM]
) -> None:
    llm, slm = models
    branches = [Branch(llm, BASE, 1.0), Branch(slm, PERSONAL, 1.5), Branch(slm, BASE, -1.5)]
    expected = [
        one_by_one([(llm, base, 1.0), (slm, full, 1.5), (slm, base, -1.5)], tokenizer, 8)
        for base, full in zip(BASE, PERSONAL, strict=True)
    ]
    for batch_rows in (2, 5):
        assert greedy(branches, tokenizer, 8, batch_rows) == expected


def test_equal_prompts_cancel_and_strength_zero_is_the_llm(
    tokenizer: PreTrainedTokenizerFast, models: list[Qwen2ForCausalLM]
) -> None:
    llm, slm = models
    alone = greedy([Branch(llm, BASE, 1.0)], tokenizer, 8)
    for other, strength in ((BASE, 1.5), (PERSONAL, 0.0)):
        steered = [
            Branch(llm, BASE, 1.0),
            Branch(slm, other, strength),
            Branch(slm, BASE, -strength),
        ]
        assert greedy(steered, tokenizer, 8) == alone


def save(model: Qwen2ForCausalLM, tokenizer: PreTrainedTokenizerFast, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def test_a_report_covers_methods_differences_curve_and_every_slm(
    tokenizer: PreTrainedTokenizerFast,
    models: list[Qwen2ForCausalLM],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pair, "MAX_NEW_TOKENS", 6)
    llm = save(models[0], tokenizer, tmp_path / "llm")
    slms = [save(models[1], tokenizer, tmp_path / name) for name in ("slm-1", "slm-2")]
    report = pair.evaluate_pair("dev", 4, llm, slms, curve=(0.0, 1.0), samples=1)
    assert (report.split, report.rows) == ("dev", 4)
    assert [slm.slm for slm in report.slms] == ["slm-1", "slm-2"]
    for slm in report.slms:
        assert tuple(slm.methods) == pair.METHODS
        assert slm.curve[0].scores == slm.methods["llm_without"]
        assert [point.strength for point in slm.curve] == [0.0, 1.0]
        assert set(slm.samples[0].texts) == set(pair.METHODS)
    assert report.slms[0].methods == report.slms[1].methods
    text = pair.format_report(report)
    assert all(method in text for method in pair.METHODS)
    assert "costeer - slm_with" in text


def test_the_pair_is_not_judged_on_training_rows() -> None:
    with pytest.raises(ValueError, match="held-out"):
        pair.evaluate_pair("train", 4)
