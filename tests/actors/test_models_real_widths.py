"""Pairs as they come: widths padded differently, cut to the real tokens before any log-softmax."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from actors.models.numerics import Numerics
from actors.models.tokenizer import shared_vocab_size
from actors.values.model_edge import ModelEdgeHost
from actors.values.port import ArmSpec
from costeer.codec.config import CodecConfig
from costeer.machine import EdgeForward
from costeer.methods import method_named
from costeer.sampling import Sampling

REAL, LARGE, SMALL = 151_665, 152_064, 151_936
"""Qwen2.5: tokens of the tokenizer, logits of the 7B and of the 1.5B model."""


def save_model(folder: Path, width: int) -> None:
    torch.manual_seed(width)
    shape: dict[str, Any] = {
        "vocab_size": width,
        "hidden_size": 8,
        "intermediate_size": 16,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 64,
        "tie_word_embeddings": False,
    }
    model = Qwen2ForCausalLM(Qwen2Config(**shape))
    # Rows behind the real tokens are whatever the initialisation left there: here very likely.
    model.lm_head.weight.data[REAL:] = 50.0
    model.lm_head.weight.data[:REAL] *= 30.0
    model.save_pretrained(folder)


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("widths")
    vocab = {f"w{index}": index for index in range(REAL - 1)} | {"<|im_end|>": REAL - 1}
    tokenizer = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated there
        tokenizer_object=Tokenizer(WordLevel(vocab, unk_token="w0")), eos_token="<|im_end|>"
    )
    for name, width in (("large", LARGE), ("small", SMALL)):
        save_model(folder / name, width)
        tokenizer.save_pretrained(folder / name)
    return folder / "large", folder / "small"


def test_a_pair_is_cut_to_its_real_tokens_before_the_log_softmax(pair: tuple[Path, Path]) -> None:
    large, small = pair
    shared = shared_vocab_size(large, small)
    assert shared == REAL
    host = ModelEdgeHost(str(small), Numerics.FP32, vocab_size=shared)
    arm = ArmSpec(method_named("costeer"), 1.0, CodecConfig(), Sampling(), 0)
    assert host.begin_arm(arm) == REAL
    public, personal = (3, 4, 5), (9, 8, 3, 4, 5)
    host.execute([EdgeForward(1, (public, personal), (0, 0))])
    plain = Qwen2ForCausalLM.from_pretrained(small, dtype=torch.float64)

    def log_probs(tokens: tuple[int, ...]) -> np.ndarray:
        with torch.inference_mode():
            logits = plain(torch.tensor([tokens])).logits[0, -1, :REAL]
        result: np.ndarray = torch.log_softmax(logits, -1).numpy()
        return result

    delta_V = host.delta(1, 0)
    assert np.isfinite(delta_V).all()
    np.testing.assert_allclose(delta_V, log_probs(personal) - log_probs(public), atol=2e-4)
