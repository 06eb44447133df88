"""Scores of a real run: of its words, by its own models, by a reward model, by a judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    AutoModelForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForSequenceClassification,
)

from costeer.errors import ConfigError
from experiments.cli import main
from experiments.evaluation.bootstrap import sign_flip_p
from experiments.evaluation.wordnet import NoWordNet
from experiments.results.run import Run, load
from experiments.scenario import load_scenario
from experiments.scenario.models import SHIPPED_MODELS
from experiments.scoring.measure import Scorers, score
from experiments.scoring.reward import RewardModel
from tests.actors.tiny_pair import VOCAB, tiny_tokenizer
from tests.experiments.scoring.judge_server import RuleJudge, judging
from tests.experiments.small_runs import run as run_small


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three arms over three prompts that four devices ask: one prompt is asked twice."""
    folder = tmp_path_factory.mktemp("scoring") / "run"
    run_small(load_scenario("tiny", ["fleet.devices=4"]), folder)
    return folder


@pytest.fixture(scope="module")
def run(run_dir: Path) -> Run:
    return load(run_dir)


def test_a_prompt_counts_once_however_many_devices_ask_it(run: Run) -> None:
    scores = score(run, Scorers(NoWordNet()), lambda _: None)
    assert len(scores.frame) == 12
    keys = [metric.key for metric in scores.metrics]
    assert keys[:3] == ["rouge_1", "rouge_l", "meteor"]
    for metric in scores.metrics:
        assert len(scores.per_prompt(0, metric)) == 3
    rouge_l = scores.metrics[1]
    kept = run.requests.set_index(["arm", "device"])["rouge_l"]
    ours = scores.frame.set_index(["arm", "device"])["rouge_l"]
    np.testing.assert_allclose(ours, kept.loc[ours.index])
    interval, p = scores.difference(2, 1, rouge_l) or pytest.fail("no pairs")
    pairs = scores.per_prompt(2, rouge_l) - scores.per_prompt(1, rouge_l)
    assert interval.mean == pytest.approx(pairs.mean())
    assert 0 < p <= 1


def test_its_own_models_read_the_texts_back(run: Run) -> None:
    scores = score(run, Scorers(NoWordNet(), read=True), lambda _: None)
    costeer = scores.frame[scores.frame["arm"] == 2]
    # Along its own texts full CoSteer is itself, and chose what it chose.
    np.testing.assert_allclose(costeer["kl_nats"], 0, atol=1e-6)
    assert (costeer["agreement"] == 1).all()
    others = scores.frame[scores.frame["arm"] != 2]
    assert (others["kl_nats"] > 0).all()
    row = run.requests[(run.requests["arm"] == 2) & (run.requests["device"] == 0)].iloc[0]
    found = costeer[costeer["device"] == 0]["nats_per_token"].iloc[0]
    assert found == pytest.approx(_nats(row), rel=1e-4)


def _nats(row: Any) -> float:
    from actors.models.tokenizer import load_tokenizer

    folder = SHIPPED_MODELS / "llm"
    prompt = load_tokenizer(folder).encode(row["personal_prompt"])
    model = AutoModelForCausalLM.from_pretrained(folder, dtype="float64")
    ids = torch.tensor([[*prompt, *row["tokens"]]])
    with torch.inference_mode():
        log_p = torch.log_softmax(model(ids).logits[0], -1)
    chosen = [log_p[len(prompt) + t - 1, token] for t, token in enumerate(row["tokens"])]
    return -float(torch.stack(chosen).mean())


def save_reward(folder: Path, labels: int) -> str:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "vocab_size": VOCAB,
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "pad_token_id": 0,
    }
    config = Qwen2Config(**shape)
    config.num_labels = labels
    model: PreTrainedModel = Qwen2ForSequenceClassification(config)  # type: ignore[no-untyped-call]  # not annotated there
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return str(folder)


def test_a_reward_model_of_ones_own_scores(tmp_path: Path) -> None:
    model = RewardModel(save_reward(tmp_path / "one", 1))
    rewards = model.scores(["w3", "w3", "w3"], ["w5", "w9", "w5"])
    assert rewards[0] == rewards[2] != rewards[1]
    with pytest.raises(ConfigError, match="gives 3 scores an answer"):
        RewardModel(save_reward(tmp_path / "three", 3)).scores(["w3"], ["w4"])
    with pytest.raises(ConfigError, match="no such folder"):
        RewardModel(str(tmp_path / "none"))


def test_the_command_scores_and_keeps(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reward = save_reward(tmp_path / "reward", 1)
    judge = RuleJudge()
    with judging(judge) as url:
        options = ["--baseline", "llm_without", "--reward", reward, "--judge", url]
        assert main(["score", str(run_dir), *options, "--judge-price", "1,2"]) == 0
        shown = capsys.readouterr()
        asked = len(judge.prompts)
        assert main(["score", str(run_dir), *options, "--json"]) == 0
    again = capsys.readouterr()
    assert len(judge.prompts) == asked
    assert "Paired differences to llm_without" in shown.out
    assert "each asked in both orders; the order changed 0 of 8" in shown.out
    assert "in the currency of --judge-price" in shown.err
    arms = json.loads(again.out)["arms"]
    assert set(arms[0]["metrics"]) >= {"reward", "judge_overall", "judge_wins", "distinct_2"}
    assert arms[1]["metrics"]["judge_wins"]["mean"] is None
    assert (run_dir / "scores.parquet").exists()
    assert len((run_dir / "verdicts.jsonl").read_text().splitlines()) == asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--baseline", "nobody"], "is not one arm; give one of 1: slm_with, 2: llm_without"),
        (["--judge", "http://127.0.0.1:9/v1"], "--judge: no answer from"),
        (["--reward", "./nothing"], "no such folder"),
    ],
)
def test_what_the_user_got_wrong_is_one_line(
    run_dir: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["score", str(run_dir), *options]) == 2
    assert message in capsys.readouterr().err


def test_signs_are_flipped_by_chance() -> None:
    assert sign_flip_p(np.zeros(8)) == 1
    assert sign_flip_p(np.ones(3)) == pytest.approx(0.25, abs=0.02)
    assert sign_flip_p(np.ones(16)) < 0.001
    with pytest.raises(ValueError, match="no differences"):
        sign_flip_p(np.zeros(0))
