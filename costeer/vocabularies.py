"""A pair's tokens as what they are made of: bytes; what both have, and how text is cut into them.

Legend: V the cloud's vocabulary, N pairs.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import ConfigError

Ints: TypeAlias = npt.NDArray[np.int64]
Bytes: TypeAlias = Sequence[bytes | None]
"""Byte strings of tokens, by id; None for a special token."""

ALONE, REPEATED = -1, -2
"""Stems of tokens that continue no other, and of tokens whose bytes a lower id has."""


@dataclass(frozen=True, slots=True)
class Vocabularies:
    """What is known of a pair's tokens.

    Args:
        cloud: of the large model.
        own: of the small one.
        cloud_ends: ids that end a text of the large model.
        own_ends: ids that end a text of the small one.
    """

    cloud: Bytes
    own: Bytes
    cloud_ends: tuple[int, ...]
    own_ends: tuple[int, ...]

    def specials(self) -> Ints:
        """Return the cloud's ids that are no text."""
        return np.array([each for each, data in enumerate(self.cloud) if not data], dtype=np.int64)

    def shared(self) -> tuple[Ints, Ints]:
        """Return the cloud's ids whose bytes are a token of both, and their ids in the other.

        Of two tokens with the same bytes the lower id counts.

        Raises:
            ConfigError: no token is shared.
        """
        place = places(self.own)
        pairs = [
            (token, place[data])
            for token, data in enumerate(self.cloud)
            if data and data in place and token not in self.cloud_ends
        ]
        if not pairs:
            raise ConfigError(
                "models.alignment: the two vocabularies share no token; choose kind: bytes, or"
                " another pair"
            )
        cloud_N, own_N = np.array(pairs, dtype=np.int64).T
        return cloud_N, own_N


def places(tokens: Bytes) -> dict[bytes, int]:
    """Return the lowest id of each byte string."""
    place: dict[bytes, int] = {}
    for token, data in enumerate(tokens):
        if data:
            place.setdefault(data, token)
    return place


def stems(tokens: Bytes) -> Ints:
    """Return, for each token, the longest other token that its bytes begin with, or what it is."""
    place = places(tokens)
    stem_V = np.full(len(tokens), ALONE, dtype=np.int64)
    for token, data in enumerate(tokens):
        if not data:
            continue
        if place[data] != token:
            stem_V[token] = REPEATED
            continue
        beginnings = (data[:length] for length in range(len(data) - 1, 0, -1))
        stem_V[token] = next((place[each] for each in beginnings if each in place), ALONE)
    return stem_V


def longest_match(data: bytes, place: Mapping[bytes, int], longest: int) -> tuple[int, ...]:
    """Write bytes in a vocabulary from left to right, the longest token first.

    For what a tokenizer does not take: bytes that are no text. Empty where a byte has no token.

    Args:
        data: what to write.
        place: the vocabulary's ids (``places``).
        longest: bytes of its longest token.
    """
    written: list[int] = []
    at = 0
    while at < len(data):
        sizes = range(min(longest, len(data) - at), 0, -1)
        size = next((size for size in sizes if data[at : at + size] in place), 0)
        if not size:
            return ()
        written.append(place[data[at : at + size]])
        at += size
    return tuple(written)


def rewritten(before: Sequence[int], after: Sequence[int]) -> int:
    """Return how many tokens of a sequence stay when it becomes another one.

    At least one token of the other is new, unless nothing changes: a model has to read it.
    """
    same = 0
    for one, other in zip(before, after, strict=False):
        if one != other:
            break
        same += 1
    if len(before) == len(after) == same:
        return same
    return min(same, max(len(after) - 1, 0))
