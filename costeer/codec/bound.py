"""Yardsticks: how few bytes a sparse payload could have.

`ids_bits` is the information in which K of V tokens are meant when nothing is known of them.
`adaptive_bits` is the ideal code length of an adaptive arithmetic coder, the kind that a general
compressor with a bit-wise model has: numbers are split into a magnitude class (bit length), coded
by adaptive frequencies, the bit below the leading one, adaptive in each class, and plain bits. It
learns from the frame alone and is charged for it (Krichevsky-Trofimov counts), so it is what one
could build, not a bound that hindsight gives. No coder writes it; it is computed.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

if TYPE_CHECKING:
    from costeer.codec.sparse import SparseLogits
    from costeer.codec.values import Words

Numbers: TypeAlias = npt.NDArray[np.int64]


def ids_bits(vocab_size: int, k: int) -> float:
    """Compute log2 of the number of ways to choose k of V tokens."""
    ways = math.lgamma(vocab_size + 1) - math.lgamma(k + 1) - math.lgamma(vocab_size - k + 1)
    return ways / math.log(2)


def gaps(sent: SparseLogits) -> Numbers:
    """Gaps between ascending ids, less one: what the packed layout writes for them."""
    return np.diff(sent.ids_K, prepend=-1).astype(np.int64) - 1


def steps(words_K: Words) -> Numbers:
    """Codes of wire words above the least of them, without those around zero that none uses."""
    sign = np.int64(1) << (8 * words_K.itemsize - 1)
    codes_K = words_K.astype(np.int64)
    codes_K = np.where(codes_K & sign, sign - codes_K, codes_K)
    if codes_K.min() < 0:
        codes_K = codes_K - np.sign(codes_K) * (np.abs(codes_K[codes_K != 0]).min() - 1)
    lowered: Numbers = codes_K - codes_K.min()
    return lowered


def adaptive_bits(numbers_N: Numbers) -> float:
    """Ideal bits of natural numbers under an adaptive coder that starts knowing nothing."""
    classes_N = [int(number).bit_length() for number in numbers_N]
    bits = _adaptive(classes_N, max(classes_N, default=0) + 1)
    for size in set(classes_N):
        if size > 1:
            second = [
                int(number) >> (size - 2) & 1
                for number, of in zip(numbers_N, classes_N, strict=True)
                if of == size
            ]
            bits += _adaptive(second, 2) + len(second) * (size - 2)
    return bits


def _adaptive(symbols_N: list[int], alphabet: int) -> float:
    """Bits of symbols at adaptive frequencies, half a count for each symbol at first."""
    counts = [0.5] * alphabet
    bits = 0.0
    for seen, symbol in enumerate(symbols_N):
        bits -= math.log2(counts[symbol] / (seen + alphabet / 2))
        counts[symbol] += 1.0
    return bits
