"""Tokenizers, and whether two models share one."""

from __future__ import annotations

import json
from collections.abc import Sequence
from difflib import get_close_matches
from pathlib import Path

from transformers import (
    AutoTokenizer,
    GenerationConfig,
    PreTrainedTokenizerBase,
    PreTrainedTokenizerFast,
)

from actors.models.hub import check_folder, explained
from actors.models.loading import load_config
from costeer.errors import ConfigError

_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json")
"""What a folder must have one of; without them transformers makes up an empty tokenizer."""

_GENERIC = frozenset({"TokenizersBackend", "PreTrainedTokenizerFast"})


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """Load a model's tokenizer.

    Args:
        path: a local folder or a hub name.

    Raises:
        ConfigError: the path is missing, or holds no tokenizer.
    """
    check_folder(path)
    folder = Path(path)
    if folder.is_dir() and not any((folder / name).is_file() for name in _FILES):
        raise ConfigError(f"model {path}: no tokenizer: the folder has none of {', '.join(_FILES)}")
    loader = PreTrainedTokenizerFast if _is_generic(folder) else AutoTokenizer
    try:
        tokenizer: PreTrainedTokenizerBase = loader.from_pretrained(str(path))
    except (OSError, ValueError, KeyError) as error:
        raise explained(path, "no tokenizer", error) from error
    return tokenizer


def _is_generic(folder: Path) -> bool:
    """Whether a folder's tokenizer is all in its ``tokenizer.json``.

    AutoTokenizer would replace it by the class that goes with the model's type, which splits text
    in its own way and adds tokens of its own.
    """
    settings = folder / "tokenizer_config.json"
    if not settings.is_file():
        return False
    try:
        return json.loads(settings.read_text(encoding="utf-8")).get("tokenizer_class") in _GENERIC
    except (ValueError, AttributeError) as error:
        raise ConfigError(f"model {folder}: tokenizer_config.json is no JSON object") from error


def eos_ids(path: str | Path) -> tuple[int, ...]:
    """Return the ids that end a text: the generation configuration's and the tokenizer's.

    Raises:
        ConfigError: the path is missing, or neither names one.
    """
    tokenizer = load_tokenizer(path)
    found: set[int] = set()
    if (Path(path) / "generation_config.json").is_file() or not Path(path).is_dir():
        try:
            stops = GenerationConfig.from_pretrained(str(path)).eos_token_id
        except (OSError, ValueError):
            stops = None
        found.update([stops] if isinstance(stops, int) else stops or [])
    if isinstance(tokenizer.eos_token_id, int):
        found.add(tokenizer.eos_token_id)
    if not found:
        raise ConfigError(
            f"model {path}: neither generation_config.json nor the tokenizer names an end token; "
            "set eos_token_id in one of them"
        )
    return tuple(sorted(found))


def ids_by_text(tokenizer: PreTrainedTokenizerBase) -> dict[str, int]:
    """Return the ids of tokens whose decoded text no other token has."""
    texts: dict[str, list[int]] = {}
    for token in range(len(tokenizer)):
        texts.setdefault(str(tokenizer.decode([token])), []).append(token)
    return {text: ids[0] for text, ids in texts.items() if len(ids) == 1}


def token_ids(path: str | Path, tokens: Sequence[str]) -> tuple[int, ...]:
    """Return the ids of tokens that are named by their text, such as ``<|im_end|>``.

    Raises:
        ConfigError: the tokenizer is missing, or has no such token.
    """
    vocab = load_tokenizer(path).get_vocab()
    for token in tokens:
        if token not in vocab:
            near = get_close_matches(token, vocab, n=1)
            hint = f"did you mean {near[0]!r}?" if near else "give it as the vocabulary writes it"
            raise ConfigError(f"model {path}: its tokenizer has no token {token!r}; {hint}")
    return tuple(vocab[token] for token in tokens)


def check_same_tokenizer(cloud_path: str | Path, edge_path: str | Path) -> int:
    """Check that two models give the same ids to the same tokens; return the number of ids.

    Raises:
        ConfigError: a tokenizer is missing, or the two differ.
    """
    cloud, edge = load_tokenizer(cloud_path).get_vocab(), load_tokenizer(edge_path).get_vocab()
    if cloud != edge:
        differing = {token for token, _ in cloud.items() ^ edge.items()}
        example = min(differing, key=lambda token: (cloud.get(token, edge.get(token, 0)), token))
        raise ConfigError(
            f"models {cloud_path} and {edge_path}: tokenizers differ in {len(differing)} tokens "
            f"(first {example!r}: id {cloud.get(example)} against {edge.get(example)}); "
            "choose models.alignment: {kind: bytes} or {kind: intersection}, or a pair with one "
            "vocabulary where there is no such choice"
        )
    return max(cloud.values()) + 1


def shared_vocab_size(cloud_path: str | Path, edge_path: str | Path) -> int:
    """Return the real tokens that a pair shares: what both models' logits are cut to.

    Padded widths differ inside a family (Qwen2.5: 152,064 and 151,936 logits, 151,665 tokens).

    Raises:
        ConfigError: the tokenizers differ, or a model has fewer logits than tokens.
    """
    tokens = check_same_tokenizer(cloud_path, edge_path)
    for path in (cloud_path, edge_path):
        _check_width(path, tokens)
    return tokens


def own_vocab_size(path: str | Path) -> int:
    """Return the real tokens of one model: what its logits are cut to.

    Raises:
        ConfigError: no tokenizer, or the model has fewer logits than tokens.
    """
    tokens = tokenizer_size(path)
    _check_width(path, tokens)
    return tokens


def tokenizer_size(path: str | Path) -> int:
    """Return how many ids a tokenizer has.

    Raises:
        ConfigError: there is none.
    """
    return max(load_tokenizer(path).get_vocab().values()) + 1


def _check_width(path: str | Path, tokens: int) -> None:
    width = int(load_config(path).get_text_config().vocab_size)
    if width < tokens:
        raise ConfigError(
            f"model {path}: has {width} logits for {tokens} tokens of its tokenizer; "
            "it does not belong to this tokenizer"
        )
