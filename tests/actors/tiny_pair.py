"""Tiny random models and tokenizers, made on the spot."""

from __future__ import annotations

import atexit
import shutil
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    LlamaConfig,
    LlamaForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)

VOCAB = 96
WIDTH = 101
CONTEXT = 128


def tiny_model(family: str, seed: int = 0, *, hidden: int = 32, layers: int = 2) -> PreTrainedModel:
    """A model whose attention matters: weights well above the usual initialisation."""
    torch.manual_seed(seed)
    shape: dict[str, Any] = {
        "vocab_size": WIDTH,
        "hidden_size": hidden,
        "intermediate_size": 3 * hidden,
        "num_hidden_layers": layers,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": CONTEXT,
        "bos_token_id": 0,
        "eos_token_id": 1,
        "pad_token_id": None,
    }
    if family == "llama":
        model: PreTrainedModel = LlamaForCausalLM(LlamaConfig(**shape, tie_word_embeddings=False))
    elif family == "sliding":
        sliding: dict[str, Any] = {
            "use_sliding_window": True,
            "sliding_window": 7,
            "max_window_layers": 1,
        }
        model = Qwen2ForCausalLM(Qwen2Config(**shape, **sliding, tie_word_embeddings=True))
    else:
        model = Qwen2ForCausalLM(Qwen2Config(**shape, tie_word_embeddings=True))
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(6.0)
    module: torch.nn.Module = model
    module.eval()
    return model


def tiny_tokenizer(*, swapped: bool = False) -> PreTrainedTokenizerFast:
    """Ids 0 and 1 are the usual marks, the rest are words."""
    vocab = {"<s>": 0, "</s>": 1, **{f"w{index}": index for index in range(2, VOCAB)}}
    if swapped:
        vocab["w5"], vocab["w6"] = 6, 5
    core = Tokenizer(WordLevel(vocab, unk_token="<s>"))
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated there
        tokenizer_object=core, bos_token="<s>", eos_token="</s>"
    )


@cache
def tiny_folder(family: str, seed: int = 0) -> Path:
    """A folder with a model and its tokenizer, kept for the whole test run."""
    folder = Path(mkdtemp(prefix=f"tiny-{family}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tiny_model(family, seed).save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return folder
