"""What a tokenizer's tokens are made of: bytes, whatever the vocabulary calls them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from actors.models.tokenizer import load_tokenizer
from costeer.errors import ConfigError
from costeer.vocabularies import longest_match, places

_LINE_END = "\n"
_SPACE = "▁"
"""How SentencePiece's vocabularies write a space."""


class TokenBytes:
    """A tokenizer as bytes: of every token, and of a text in its tokens.

    Args:
        path: a local folder or a hub name.
        size: ids that its model has logits for.

    Raises:
        ConfigError: no tokenizer is there, or none whose tokens' bytes are known.
    """

    def __init__(self, path: str | Path, size: int) -> None:
        tokenizer = load_tokenizer(path)
        self._encode = tokenizer
        self.tokens = _bytes_of(tokenizer, path)[:size]
        self.tokens += [None] * (size - len(self.tokens))
        self._place = places(self.tokens)
        self._longest = max(map(len, self._place), default=0)

    def written(self, data: bytes) -> tuple[int, ...]:
        """Write bytes in this tokenizer's tokens; empty where it has none for them.

        As the tokenizer does where they are text and it gives them back; else, longest token first.
        An unfinished letter at the end is written byte by byte, where there are such tokens.
        """
        whole = _whole_letters(data)
        rest = data[len(whole) :]
        return (*self._text(whole), *longest_match(rest, self._place, self._longest))

    def _text(self, whole: bytes) -> tuple[int, ...]:
        """Write whole letters; as they stand, or behind a line's end.

        A tokenizer that puts a space before what it takes for the beginning of a text does not do
        so behind anything, and what is written here never is the beginning.
        """
        if not whole:
            return ()
        text = whole.decode("utf-8")
        for before in ("", _LINE_END):
            ids = self._encode.encode(before + text, add_special_tokens=False)
            skipped = len(self._encode.encode(before, add_special_tokens=False)) if before else 0
            if b"".join(self.tokens[each] or b"" for each in ids[skipped:]) == whole:
                return tuple(ids[skipped:])
        return longest_match(whole, self._place, self._longest)

    def all_written(self, tokens: list[bytes | None]) -> list[tuple[int, ...]]:
        """Write each of many byte strings; empty for a special token."""
        return [self.written(data) if data else () for data in tokens]


def _whole_letters(data: bytes) -> bytes:
    """The part of some bytes that is UTF-8; nothing where they do not begin with it."""
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as error:
        return data[: error.start]
    return data


def _bytes_of(tokenizer: PreTrainedTokenizerBase, path: str | Path) -> list[bytes | None]:
    """Byte strings by id; special tokens and gaps are None."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    decoder = json.loads(backend.to_str())["decoder"] if backend is not None else None
    to_bytes = _reader(decoder)
    if to_bytes is None:
        kind = decoder["type"] if isinstance(decoder, dict) else "none"
        raise ConfigError(
            f"model {path}: what its tokens are made of is not known (decoder: {kind}); models with"
            " different tokenizers need byte-level ones, or SentencePiece's"
        )
    vocab = tokenizer.get_vocab()
    found: list[bytes | None] = [None] * (max(vocab.values()) + 1)
    added = tokenizer.added_tokens_decoder
    for token, index in vocab.items():
        if index in added:
            found[index] = None if added[index].special else token.encode("utf-8")
        else:
            found[index] = to_bytes(token)
    return found


def _reader(decoder: Any) -> Callable[[str], bytes | None] | None:  # noqa: ANN401 - from JSON
    """What makes bytes of a vocabulary's entry, by the kind of decoder; None for another kind."""
    if not isinstance(decoder, dict):
        return None
    kinds = {decoder["type"]} | {each["type"] for each in decoder.get("decoders", ())}
    if "ByteLevel" in kinds:
        return _byte_level
    if "ByteFallback" in kinds or "Metaspace" in kinds:
        return _sentence_piece
    return None


def _byte_level(token: str) -> bytes | None:
    """Bytes of an entry of GPT-2's alphabet, in which each byte is a printable letter."""
    try:
        return bytes(_ALPHABET[letter] for letter in token)
    except KeyError:
        return None


def _sentence_piece(token: str) -> bytes:
    """Bytes of an entry that is text, or `<0x0A>` for a byte."""
    if len(token) == len("<0x00>") and token.startswith("<0x") and token.endswith(">"):
        return bytes([int(token[3:5], 16)])
    return token.replace(_SPACE, " ").encode("utf-8")


def _alphabet() -> dict[str, int]:
    printable = {*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)}
    others = (byte for byte in range(256) if byte not in printable)
    shifted = {chr(256 + place): byte for place, byte in enumerate(others)}
    return {chr(byte): byte for byte in printable} | shifted


_ALPHABET = _alphabet()
