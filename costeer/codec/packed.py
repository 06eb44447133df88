"""The packed layout: ids as Rice-coded gaps, values as Rice-coded steps above the floor.

Sparse body (words little endian, bits from the highest of each byte):

    count varint · floor word · if the floor is negative: word of the smallest magnitude but zero
    · bits: 5 id parameter, 5 step parameter, unary id quotients, id remainders,
    unary step quotients, step remainders, zeros to a byte

A number x with parameter r is its quotient x >> r in unary (that many zeros, then a one) and its r
low bits. Quotients and remainders lie in blocks, not interleaved.

Ids are coded as the gaps between them, less one. Values are coded as codes (a wire word is sign and
magnitude of its code, which is monotone in the number and 0 for zero) less the floor's, so a coarse
grid costs few bits wherever it lies. Around zero a floating grid is very fine; codes between zero
and the smallest magnitude in use are left out of the count, so a row that crosses zero does not pay
for them.

Why Rice: gaps of scattered ids are geometric, and with logits falling by the logarithm of the rank
so are the steps above the floor. For ids it stays within 4 % of log2 C(V, K) bits.

The dense body is that of byte planes: there are no ids to pack, and an entropy stage does better on
planes than a fixed code does.

A body is read only if it is what the writer could have written but for the two parameters: count in
shortest form, floor and smallest magnitude in use, padding zero and shorter than a byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from costeer.codec.layout import Planar
from costeer.errors import CodecError

if TYPE_CHECKING:
    from costeer.codec.layout import Ids
    from costeer.codec.values import Values, Words

_WRONG = (
    "",
    "packed count {} is cut off, not in shortest form or not within the vocabulary",
    "packed body of {} bytes ends in its head or has a floor that no encoder writes",
    "packed body has a smallest magnitude that its floor excludes",
    "packed body of {} bytes ends before its bits",
    "packed body is too long for {} tokens",
    "packed body ends before the last of {} numbers",
    "packed body ends within its remainders",
    "packed body does not end in zero bits to the next byte",
    "packed id {} is outside the vocabulary",
    "packed values miss what their head says or leave their format",
)
"""By the codes of `costeer.codec.kernels.unpack`."""


@dataclass(frozen=True, slots=True)
class Packed:
    """Rice-coded gaps and steps; dense: byte planes."""

    values: Values
    vocab_size: int
    name: str = "packed"

    def write_sparse(self, ids_K: Ids, words_K: Words) -> bytes:
        """Head and one bit string."""
        from costeer.codec import kernels  # noqa: PLC0415 - numba takes half a second to import

        return kernels.pack(ids_K, words_K.astype(np.uint32), words_K.itemsize).tobytes()

    def read_sparse(self, body: memoryview) -> tuple[Ids, Words]:
        """The inverse, over any bytes. Raises CodecError."""
        from costeer.codec import kernels  # noqa: PLC0415 - numba takes half a second to import

        word = self.values.word
        wrong, figure, ids_K, words_K = kernels.unpack(
            np.frombuffer(body, np.uint8), self.vocab_size, word.itemsize
        )
        if wrong:
            raise CodecError(_WRONG[wrong].format(figure))
        return ids_K, words_K.astype(word)

    def write_dense(self, words_V: Words) -> bytes:
        """Byte planes."""
        return Planar(self.values, self.vocab_size).write_dense(words_V)

    def read_dense(self, body: memoryview) -> Words:
        """Byte planes."""
        return Planar(self.values, self.vocab_size).read_dense(body)
