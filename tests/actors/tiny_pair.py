"""Tiny random models and tokenizers, made on the spot."""

from __future__ import annotations

import atexit
import shutil
from collections.abc import Callable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from transformers import (
    Gemma2Config,
    Gemma2ForCausalLM,
    Gemma3ForCausalLM,
    Gemma3TextConfig,
    GemmaConfig,
    GemmaForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MistralConfig,
    MistralForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
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
    model = untrained(family, shape)
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(6.0)
    module: torch.nn.Module = model
    module.eval()
    return model


def untrained(family: str, shape: dict[str, Any]) -> PreTrainedModel:
    """A model of a family, in the way of its real ones: heads, ties and windows."""
    tied, untied = shape | {"tie_word_embeddings": True}, shape | {"tie_word_embeddings": False}
    gemma = tied | {"head_dim": 16, "sliding_window": 7}  # not hidden size / heads
    some_slide = gemma | {"layer_types": ["sliding_attention", "full_attention"]}
    capped = some_slide | {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
    capped |= {"attn_implementation": "eager"}
    sliding = tied | {"use_sliding_window": True, "sliding_window": 7, "max_window_layers": 1}
    padded = untied | {"pad_token_id": 0, "sliding_window": 7}
    builders: dict[str, Callable[[], PreTrainedModel]] = {
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**tied)),
        "qwen3": lambda: Qwen3ForCausalLM(Qwen3Config(**tied, head_dim=16)),
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**untied)),
        "sliding": lambda: Qwen2ForCausalLM(Qwen2Config(**sliding)),
        "mistral": lambda: MistralForCausalLM(MistralConfig(**untied, sliding_window=7)),
        "phi3": lambda: Phi3ForCausalLM(Phi3Config(**padded)),
        "gemma": lambda: GemmaForCausalLM(GemmaConfig(**tied, head_dim=16)),
        "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**capped)),
        "gemma3": lambda: Gemma3ForCausalLM(Gemma3TextConfig(**some_slide)),
    }
    return builders[family]()


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
