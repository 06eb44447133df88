"""Tokenizers as bytes, and a small model that reads a text in its own tokens."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models
from transformers import PreTrainedTokenizerFast

from actors.models.token_bytes import TokenBytes
from costeer.errors import ConfigError
from experiments.scenario.models import SHIPPED_MODELS
from tests.actors.tiny_pair import tiny_folder

LARGE = TokenBytes(SHIPPED_MODELS / "llm", 4456)
SMALL = TokenBytes(SHIPPED_MODELS / "slm-other", 2048)
TOKENIZER = PreTrainedTokenizerFast.from_pretrained(SHIPPED_MODELS / "slm-other")


@given(st.binary(max_size=24))
def test_any_bytes_are_written_and_read_back(data: bytes) -> None:
    for each in (LARGE, SMALL):
        assert b"".join(each.tokens[token] or b"" for token in each.written(data)) == data


@given(st.text(max_size=24))
def test_text_is_written_as_the_tokenizer_writes_it(text: str) -> None:
    if not any(special in text for special in TOKENIZER.all_special_tokens):
        ids = TOKENIZER.encode(text, add_special_tokens=False)
        assert SMALL.written(text.encode()) == tuple(ids)


def test_special_tokens_are_no_text_and_gaps_are_nothing() -> None:
    assert SMALL.tokens[:3] == [None, None, None]
    assert TokenBytes(SHIPPED_MODELS / "slm-other", 2050).tokens[2048:] == [None, None]
    assert SMALL.all_written([None, b" rose"])[0] == ()


def test_sentence_piece_vocabularies_are_read(tmp_path: Path) -> None:
    vocab = [("<unk>", 0.0), ("<0x0A>", -1.0), ("▁red", -1.0), ("rose", -1.0)]
    core = Tokenizer(models.Unigram(vocab, unk_id=0, byte_fallback=True))
    core.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    )
    PreTrainedTokenizerFast(tokenizer_object=core).save_pretrained(tmp_path)  # type: ignore[no-untyped-call]
    (tmp_path / "config.json").write_text("{}")
    found = TokenBytes(tmp_path, 4)
    assert found.tokens[1:] == [b"\n", b" red", b"rose"]
    assert found.written(b"rose red\n") == (3, 2, 1)


def test_a_tokenizer_of_another_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="what its tokens are made of"):
        TokenBytes(tiny_folder("qwen2"), 96)
