"""Retrieval orders a history by its words; a reranker by its own scores."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace
from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

from costeer.errors import ConfigError
from experiments.datasets.history import Bm25, retrieve, words
from experiments.datasets.reranker import load_reranker

WORDS = ["owl", "river", "bread", "night", "glass"]
documents = st.lists(st.lists(st.sampled_from(WORDS), min_size=1, max_size=8), min_size=1)


def test_a_score_is_that_of_the_formula() -> None:
    texts = ["owl owl river", "bread", "owl"]
    rarity = math.log1p((3 - 2 + 0.5) / (2 + 0.5))
    mean = 5 / 3
    expected = rarity * 2 * 2.5 / (2 + 1.5 * (0.25 + 0.75 * 3 / mean))
    assert Bm25().scores("the owl", texts)[0] == pytest.approx(expected)
    assert Bm25().scores("the owl", texts)[1] == 0


@given(documents, st.lists(st.sampled_from(WORDS), max_size=4), st.integers(1, 6))
def test_what_is_retrieved_fits_best(texts: list[list[str]], query: list[str], count: int) -> None:
    joined = [" ".join(text) for text in texts]
    asked = " ".join(query)
    found = retrieve(asked, joined, count)
    assert len(found) == len(set(found)) == min(count, len(joined))
    scores = Bm25().scores(asked, joined)
    worst = min(scores[index] for index in found)
    assert all(scores[index] <= worst for index in set(range(len(joined))) - set(found))
    assert [scores[index] for index in found] == sorted(
        (scores[index] for index in found), reverse=True
    )


@given(documents)
def test_words_that_nobody_has_change_no_order(texts: list[list[str]]) -> None:
    joined = [" ".join(text) for text in texts]
    assert retrieve("owl zebra", joined, 3) == retrieve("owl", joined, 3)


def test_words_are_told_apart_by_case_and_signs_no_more() -> None:
    assert words("It's an Owl—owl!") == ["it", "s", "an", "owl", "owl"]


def test_a_reranker_orders_the_best_again() -> None:
    texts = ["owl owl", "owl", "owl river", "bread"]
    assert retrieve("owl", texts, 2, lambda _, kept: [len(text) for text in kept]) == [2, 0]


def save_reranker(folder: Path, labels: int) -> None:
    torch.manual_seed(0)
    shape: dict[str, Any] = {
        "hidden_size": 16,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
    }
    config = BertConfig(vocab_size=9, **shape)
    config.num_labels = labels
    model = BertForSequenceClassification(config)
    for parameter in model.parameters():  # so that different words have different scores
        parameter.data.mul_(8.0 if parameter.ndim == 2 else 1.0)
    model.save_pretrained(folder)
    vocab = {word: index for index, word in enumerate(["[PAD]", "[UNK]", "[SEP]", *WORDS])}
    core = Tokenizer(WordLevel(vocab, unk_token="[UNK]"))
    core.pre_tokenizer = Whitespace()
    PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated there
        tokenizer_object=core, pad_token="[PAD]", sep_token="[SEP]", unk_token="[UNK]"
    ).save_pretrained(folder)


def test_a_cross_encoder_of_ones_own_reranks(tmp_path: Path) -> None:
    save_reranker(tmp_path, labels=1)
    rank = load_reranker(str(tmp_path))
    texts = [f"{word} river" for word in WORDS] * 4
    scores = rank("owl", texts)
    assert len(scores) == 20
    assert len({round(score, 4) for score in scores}) > 1
    assert scores[0] == pytest.approx(rank("owl", texts[:1])[0], abs=1e-5)


def test_a_classifier_of_several_labels_is_no_reranker(tmp_path: Path) -> None:
    save_reranker(tmp_path, labels=3)
    with pytest.raises(ConfigError, match="3 scores a pair, a reranker gives one"):
        load_reranker(str(tmp_path))
