"""The tokenizer: a word is a token, any text encodes, prompts open with <bos>."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from experiments.pair import lexicon, tokenizer
from experiments.pair.corpus import rows

TOKENIZER = tokenizer.build(rows=4000)


@given(st.text(max_size=40))
def test_any_text_survives_encoding(text: str) -> None:
    ids = TOKENIZER(text, add_special_tokens=False)["input_ids"]
    assert TOKENIZER.decode(ids) == text or any(t in text for t in ("<bos>", "<eos>", "<pad>"))


def test_prompts_open_with_bos() -> None:
    assert TOKENIZER("a")["input_ids"][0] == TOKENIZER.bos_token_id == 1
    assert (TOKENIZER.pad_token_id, TOKENIZER.eos_token_id) == (0, 2)


def test_prompt_and_text_encode_apart_as_they_do_together() -> None:
    for row in rows("dev", 50):
        prompt = TOKENIZER(row.personalized_input)["input_ids"]
        text = TOKENIZER(f" {row.output}", add_special_tokens=False)["input_ids"]
        assert TOKENIZER(f"{row.personalized_input} {row.output}")["input_ids"] == prompt + text


def test_the_other_tokenizer_is_the_one_that_is_built() -> None:
    from experiments.evaluation.pair import MODELS

    shipped = PreTrainedTokenizerFast.from_pretrained(MODELS / "slm-other")
    other = tokenizer.build(recipe=tokenizer.OTHER)
    assert shipped.get_vocab() == other.get_vocab()
    assert (other.eos_token_id, other.pad_token_id, other.bos_token_id) == (0, 1, 2)
    assert other("a")["input_ids"][0] == other.bos_token_id
    large = PreTrainedTokenizerFast.from_pretrained(MODELS / "llm").get_vocab()
    assert len(large) - len(large.keys() & other.get_vocab().keys()) > 2400


@pytest.mark.parametrize("folder", ["llm", "slm"])
def test_the_shipped_tokenizer_is_the_one_that_is_built(folder: str) -> None:
    from experiments.evaluation.pair import MODELS

    shipped = PreTrainedTokenizerFast.from_pretrained(MODELS / folder)
    assert shipped.get_vocab() == tokenizer.build().get_vocab()
    words = [
        *lexicon.NAMES,
        *lexicon.CITIES,
        *lexicon.JOBS,
        *lexicon.MAKERS,
        *lexicon.MATERIALS,
        *lexicon.THING_NOUNS,
    ]
    assert all(len(shipped(f" {w}", add_special_tokens=False)["input_ids"]) == 1 for w in words)
