"""The packed layout: ids as Rice-coded gaps, values as Rice-coded bins above the lowest.

Sparse body (bits from the highest of each byte):

    count varint · id parameter r u8 · bin exponent p i8 · lowest bin, zigzag varint · bits:
    unary id quotients, id remainders, unary bin numbers, places in bins, zeros to a byte

Ids: the gap x between ascending ids, less one, is the quotient x >> r in unary (that many zeros,
then a one) and its r low bits.

Values: bin b holds the numbers in [b·2^p, (b+1)·2^p). What is coded is b less the lowest bin, in
unary, and the place among the wire codes (`Values.order`) of that bin in as many bits as the bin's
codes need: both sides count them, so a grid that is coarse at 20 and fine at 2 costs what it holds.
2^p is at least the grid's step at the largest value; then every edge of a bin lies on the grid.

Quotients and remainders lie in blocks, not interleaved: numpy reads and writes all at once.

Why Rice: gaps of scattered ids are geometric, and with logits falling by the logarithm of the rank
so are the bins above the floor. For ids it stays within 4 % of log2 C(V, K) bits.

The dense body is that of byte planes: there are no ids to pack, and an entropy stage does better on
planes than a fixed code does.

A body is read only if it is what the writer could have written: shortest varints, the lowest bin
in use, places within their bins, padding zero and shorter than a byte.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.codec.layout import Planar
from costeer.errors import CodecError

if TYPE_CHECKING:
    from costeer.codec.layout import Ids
    from costeer.codec.values import Values, Words

F64: TypeAlias = npt.NDArray[np.float64]
Numbers: TypeAlias = npt.NDArray[np.int64]
Bits: TypeAlias = npt.NDArray[np.uint8]

_PARAMETERS = struct.Struct("<Bb")
_WIDEST = 32  # bits of a remainder
_PLACES = np.arange(_WIDEST)


@dataclass(frozen=True, slots=True)
class Packed:
    """Rice-coded gaps and bins; dense: byte planes."""

    values: Values
    vocab_size: int
    name: str = "packed"

    def write_sparse(self, ids_K: Ids, words_K: Words) -> bytes:
        """Head and one bit string."""
        gaps_K = np.diff(ids_K, prepend=-1).astype(np.int64) - 1
        r = _id_parameter(gaps_K)
        logits_K = self.values.numbers(words_K).astype(np.float64)
        p = self._bin_exponent(logits_K)
        bins_K = np.floor(np.ldexp(logits_K, -p)).astype(np.int64)
        lowest = int(bins_K.min())
        bases_K, widths_K = self._bins(bins_K, p)
        places_K = self.values.order(words_K).astype(np.int64) - bases_K
        bits = (
            _unary(gaps_K >> r),
            _binary(gaps_K, np.full(gaps_K.size, r)),
            _unary(bins_K - lowest),
            _binary(places_K, widths_K),
        )
        head = write_varint(ids_K.size) + _PARAMETERS.pack(r, p) + write_varint(_zigzag(lowest))
        return head + np.packbits(np.concatenate(bits)).tobytes()

    def read_sparse(self, body: memoryview) -> tuple[Ids, Words]:
        """The inverse, over any bytes. Raises CodecError."""
        count, at = read_varint(body, 0)
        if not 0 < count <= self.vocab_size or len(body) < at + _PARAMETERS.size:
            raise CodecError(f"packed body of {len(body)} bytes cannot hold {count} tokens")
        r, p = _PARAMETERS.unpack_from(body, at)
        zigzag, at = read_varint(body, at + _PARAMETERS.size)
        lowest = zigzag >> 1 ^ -(zigzag & 1)
        word_bits = 8 * self.values.word.itemsize
        # What a writer can need, before anything of that size is allocated.
        longest = count * (r + 1 + word_bits + 4) + (self.vocab_size >> min(r, _WIDEST)) + 8
        if r > self.vocab_size.bit_length() or 8 * (len(body) - at) > longest:
            raise CodecError(f"packed body of {len(body)} bytes is too long for {count} tokens")
        bits = np.unpackbits(np.frombuffer(body[at:], dtype=np.uint8))
        quotients_K, at = _read_unary(bits, 0, count)
        rests_K, at = _read_binary(bits, at, np.full(count, r))
        ids_K = np.cumsum((quotients_K << r) + rests_K + 1) - 1
        if int(ids_K[-1]) >= self.vocab_size:
            raise CodecError(f"packed id {int(ids_K[-1])} is outside {self.vocab_size} tokens")
        above_K, at = _read_unary(bits, at, count)
        bases_K, widths_K = self._bins(above_K + lowest, p)
        places_K, at = _read_binary(bits, at, widths_K)
        if bits.size - at >= 8 or bits[at:].any():  # noqa: PLR2004 - bits of a byte
            raise CodecError("packed body does not end in zero bits to the next byte")
        codes_K = bases_K + places_K
        if int(above_K.min()) or int(codes_K.max()) >> word_bits:
            raise CodecError("packed values miss their lowest bin or leave their format")
        words_K = self.values.disorder(codes_K.astype(self.values.word))
        if (np.floor(np.ldexp(self.values.numbers(words_K).astype(np.float64), -p)) != above_K + lowest).any():
            raise CodecError("packed values lie outside their bins")
        return ids_K.astype(np.int32), words_K

    def write_dense(self, words_V: Words) -> bytes:
        """Byte planes."""
        return Planar(self.values, self.vocab_size).write_dense(words_V)

    def read_dense(self, body: memoryview) -> Words:
        """Byte planes."""
        return Planar(self.values, self.vocab_size).read_dense(body)
