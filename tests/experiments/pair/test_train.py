"""Training: same seed same weights, resuming changes nothing, loss on the text alone."""

import dataclasses
import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedTokenizerFast,
    Qwen2ForCausalLM,
)

from experiments.pair import tokenizer as pair_tokenizer
from experiments.pair import train
from experiments.pair.corpus import Corpus

STAGES = (train.Stage(0, 1, 1, 1),)
TINY = train.Preset(16, 1, 2, 1, 32, "muon", 2e-3, 1e-3, STAGES, steps=4, warmup_steps=2)


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    return pair_tokenizer.build(rows=200)


def run(
    tokenizer: PreTrainedTokenizerFast, folder: Path, preset: train.Preset, resume: bool = False
) -> dict[str, torch.Tensor]:
    folder.mkdir(exist_ok=True)
    train.train(preset, tokenizer, "tiny", 3, folder, folder / "state.pt", resume=resume)
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_a_resumed_run_ends_with_the_weights_of_an_unbroken_one(
    tokenizer: PreTrainedTokenizerFast,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    optimizer: str,
) -> None:
    preset = dataclasses.replace(TINY, optimizer=optimizer)
    whole = run(tokenizer, tmp_path / "whole", preset)
    monkeypatch.setattr(train, "CHECKPOINT_EVERY", 2)

    real = train.train_step
    done: list[int] = []

    def fail_at_the_fourth(
        model: Qwen2ForCausalLM, batches: list[tuple[torch.Tensor, torch.Tensor]], device: str
    ) -> tuple[float, int]:
        if len(done) == 3:
            raise KeyboardInterrupt
        done.append(1)
        return real(model, batches, device)

    with monkeypatch.context() as patch:
        patch.setattr(train, "train_step", fail_at_the_fourth)
        with pytest.raises(KeyboardInterrupt):
            run(tokenizer, tmp_path / "broken", preset)
    assert not json.loads((tmp_path / "broken" / "training.json").read_text())["complete"]
    resumed = run(tokenizer, tmp_path / "broken", preset, resume=True)
    assert all(torch.equal(whole[name], resumed[name]) for name in whole)
    record = json.loads((tmp_path / "broken" / "training.json").read_text())
    assert record["complete"]
    assert (record["steps"], record["seed"]) == (4, 3)


def test_the_folder_loads_by_path_alone(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    run(tokenizer, tmp_path, TINY)
    model = AutoModelForCausalLM.from_pretrained(tmp_path)
    loaded = AutoTokenizer.from_pretrained(tmp_path)
    assert model.config.model_type == "qwen2"
    assert model.config.tie_word_embeddings
    assert loaded("Note about the amber jug:")["input_ids"][0] == model.config.bos_token_id


def test_loss_counts_the_text_and_its_end_alone(tokenizer: PreTrainedTokenizerFast) -> None:
    stream = iter(train.Stream(tokenizer, TINY, seed=0))
    corpus = Corpus()
    prompts = [
        {row.input for row in (corpus.row("train", i) for i in range(32))},
        {row.personalized_input for row in (corpus.row("train", i) for i in range(32))},
        {corpus.card(i)[0] for i in range(16)},
    ]
    for (ids_BT, labels_BT), expected in zip(next(stream), prompts, strict=True):
        ids = ids_BT[0].tolist()
        counted = [t for t, label in enumerate(labels_BT[0].tolist()) if label != train.IGNORED]
        assert counted == list(range(counted[0], counted[-1] + 1))
        assert tokenizer.decode(ids[1 : counted[0] + 1]) in expected
        assert [labels_BT[0, t].item() for t in counted] == ids[counted[0] + 1 : counted[-1] + 2]
        assert labels_BT[0, counted[-1]].item() == tokenizer.eos_token_id


def test_the_rate_warms_up_holds_and_decays_to_zero() -> None:
    preset = dataclasses.replace(TINY, steps=100, warmup_steps=10, decay_share=0.4)
    factors = [train.rate_factor(step, preset) for step in range(101)]
    assert factors[0] == pytest.approx(0.1)
    assert set(factors[10:60]) == {1.0}
    assert factors[80] == pytest.approx(0.5)
    assert factors[100] == 0.0


def test_the_llm_is_4_to_10_times_the_slm() -> None:
    from experiments.evaluation.pair import MODELS

    shipped = PreTrainedTokenizerFast.from_pretrained(MODELS / "llm")
    sizes = {
        name: sum(p.numel() for p in train.new_model(preset, shipped, 0, "meta").parameters())
        for name, preset in train.PRESETS.items()
    }
    assert 4 <= sizes["llm"] / sizes["slm"] <= 10
    assert 4 * sum(sizes.values()) < 30e6
