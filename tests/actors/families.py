"""Two families of small random models, with tokenizers trained on the spot as real ones are made.

*ml*: bytes joined in pairs, with ChatML (Qwen2's). *turn*: SentencePiece's, a unigram model that
falls back to bytes, with turns (Gemma's) or with a space before every text (Llama 2's).
"""

from __future__ import annotations

import atexit
import json
import shutil
from collections.abc import Iterable
from functools import cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from experiments.workload import load_rows
from tests.actors.tiny_pair import untrained

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (
    "<bos>{% for m in messages %}{% if m.role == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}"
    "<start_of_turn>{{ m.role }}\n{{ m.content }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


@cache
def family(name: str) -> Path:
    """The folder of one family's model: `ml`, `turn`, or `spaced` (`turn`, a space first)."""
    folder = Path(mkdtemp(prefix=f"family-{name}-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    tokenizer = _pairs() if name == "ml" else _pieces(spaced=name == "spaced")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(len(name))
    shape: dict[str, Any] = {
        "vocab_size": len(tokenizer) + 7,  # padded, as real ones are
        "hidden_size": 16,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "max_position_embeddings": 1024,
        "bos_token_id": 0,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": None,
    }
    model = untrained("llama", shape)  # untied: a tied one repeats itself
    for parameter in model.parameters():
        if parameter.ndim == 2:
            parameter.data.mul_(5.0)
    model.save_pretrained(folder)
    return folder


def _texts() -> Iterable[str]:
    for row in load_rows("dev", 48):
        yield row.personalized_input
        yield row.output


def _pairs() -> PreTrainedTokenizerFast:
    core = Tokenizer(models.BPE())
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=marks, initial_alphabet=alphabet, show_progress=False
    )
    core.train_from_iterator(_texts(), trainer)
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated there
        tokenizer_object=core, eos_token="<|im_end|>"
    )
    made.chat_template = CHATML
    return made


def _pieces(*, spaced: bool) -> PreTrainedTokenizerFast:
    marks = ["<bos>", "<unk>", "<start_of_turn>", "<end_of_turn>"]
    core = Tokenizer(models.Unigram())
    core.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=True)
    trainer = trainers.UnigramTrainer(
        vocab_size=400, special_tokens=marks, unk_token="<unk>", show_progress=False
    )
    core.train_from_iterator(_texts(), trainer)
    learnt = [tuple(each) for each in json.loads(core.to_str())["model"]["vocab"]]
    in_bytes = [(f"<0x{byte:02X}>", -20.0) for byte in range(256)]
    whole = Tokenizer(models.Unigram([*learnt, *in_bytes], unk_id=1, byte_fallback=True))
    spaces: list[Any] = [normalizers.Replace(" ", "▁")]
    steps: list[Any] = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
    if spaced:
        spaces.insert(0, normalizers.Prepend("▁"))
        steps.append(decoders.Strip(" ", 1, 0))
    whole.normalizer = normalizers.Sequence(spaces)
    whole.decoder = decoders.Sequence(steps)
    whole.add_special_tokens(marks)
    made = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]  # not annotated there
        tokenizer_object=whole, bos_token="<bos>", eos_token="<end_of_turn>", unk_token="<unk>"
    )
    made.chat_template = TURNS
    return made
