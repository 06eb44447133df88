"""The packed layout: ids as Rice-coded gaps, values as Rice-coded steps above the floor.

Sparse body (words little endian, bits from the highest of each byte):

    count varint · floor word · if the floor is negative: word of the smallest magnitude but zero
    · bits: 5 id parameter, 5 step parameter, unary id quotients, id remainders,
    unary step quotients, step remainders, zeros to a byte

A number x with parameter r is its quotient x >> r in unary (that many zeros, then a one) and its r
low bits. Quotients and remainders lie in blocks, not interleaved: numpy then reads and writes all
numbers at once.

Ids are coded as the gaps between them, less one. Values are coded as signed codes (`Values.signed`,
monotone, 0 for zero) less the floor's, so a coarse grid costs few bits wherever it lies. Around
zero a floating grid is very fine; codes between zero and the smallest magnitude in use are left out
of the count, so a row that crosses zero does not pay for them.

Why Rice: gaps of scattered ids are geometric, and with logits falling by the logarithm of the rank
so are the steps above the floor. For ids it stays within 4 % of log2 C(V, K) bits.

The dense body is that of byte planes: there are no ids to pack, and an entropy stage does better on
planes than a fixed code does.

A body is read only if it is what the writer could have written but for the two parameters: count in
shortest form, floor and smallest magnitude in use, padding zero and shorter than a byte.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.codec.layout import Planar
from costeer.errors import CodecError

if TYPE_CHECKING:
    from costeer.codec.layout import Ids
    from costeer.codec.values import Values, Words

Numbers: TypeAlias = npt.NDArray[np.int64]
Bits: TypeAlias = npt.NDArray[np.uint8]

_PARAMETER_BITS = 5
_WIDEST = 32  # bits of a remainder
_VARINT_BYTES = 5
_NO_MAGNITUDE = 1 << 40  # above any code


@dataclass(frozen=True, slots=True)
class Packed:
    """Rice-coded gaps and steps; dense: byte planes."""

    values: Values
    vocab_size: int
    name: str = "packed"

    def write_sparse(self, ids_K: Ids, words_K: Words) -> bytes:
        """Head and one bit string."""
        gaps_K = np.diff(ids_K, prepend=-1).astype(np.int64) - 1
        codes_K = self.values.signed(words_K)
        lowest = int(codes_K.argmin())
        head = write_varint(ids_K.size) + words_K[lowest : lowest + 1].tobytes()
        hole = 0
        if codes_K[lowest] < 0:
            magnitudes_K = np.where(codes_K, np.abs(codes_K), _NO_MAGNITUDE)
            nearest = int(magnitudes_K.argmin())
            hole = int(magnitudes_K[nearest]) - 1
            head += self.values.unsigned(magnitudes_K[nearest : nearest + 1]).tobytes()
        closed_K = codes_K - np.sign(codes_K) * hole
        steps_K = closed_K - closed_K[lowest]
        r_ids, r_steps = _parameter(gaps_K), _parameter(steps_K)
        bits = (
            np.unpackbits(np.array([r_ids << 3], np.uint8))[:_PARAMETER_BITS],
            np.unpackbits(np.array([r_steps << 3], np.uint8))[:_PARAMETER_BITS],
            *_rice(gaps_K, r_ids),
            *_rice(steps_K, r_steps),
        )
        return head + np.packbits(np.concatenate(bits)).tobytes()

    def read_sparse(self, body: memoryview) -> tuple[Ids, Words]:
        """The inverse, over any bytes. Raises CodecError."""
        word = self.values.word
        count, at = read_varint(body)
        if not 0 < count <= self.vocab_size:
            raise CodecError(f"packed count {count} is not within {self.vocab_size} tokens")
        floor, at = self._read_code(body, at)
        nearest = 1
        if floor < 0:
            nearest, at = self._read_code(body, at)
            if not 0 < nearest <= -floor:
                raise CodecError("packed body has a smallest magnitude that its floor excludes")
        hole = nearest - 1
        if len(body) < at + 2:
            raise CodecError(f"packed body of {len(body)} bytes ends before its bits")
        r_ids = body[at] >> 3
        r_steps = (body[at] & 7) << 2 | body[at + 1] >> 6
        # What a writer can need, before anything of that size is allocated.
        longest = count * (r_ids + 1 + 8 * word.itemsize + 3) + (self.vocab_size >> r_ids) + 17
        if r_ids > self.vocab_size.bit_length() or 8 * (len(body) - at) > longest:
            raise CodecError(f"packed body of {len(body)} bytes is too long for {count} tokens")
        bits = np.unpackbits(np.frombuffer(body[at:], dtype=np.uint8))
        gaps_K, end = _unrice(bits, 2 * _PARAMETER_BITS, count, r_ids)
        steps_K, end = _unrice(bits, end, count, r_steps)
        if bits.size - end >= 8 or bits[end:].any():  # noqa: PLR2004 - bits of a byte
            raise CodecError("packed body does not end in zero bits to the next byte")
        ids_K = np.cumsum(gaps_K + 1) - 1
        if int(ids_K[-1]) >= self.vocab_size:
            raise CodecError(f"packed id {int(ids_K[-1])} is outside {self.vocab_size} tokens")
        closed_K = steps_K + (floor + hole)
        codes_K = closed_K + np.sign(closed_K) * hole
        used = floor >= 0 or bool((np.abs(codes_K) == nearest).any())
        if int(steps_K.min()) or not used or int(codes_K.max()) >= 1 << (8 * word.itemsize - 1):
            raise CodecError("packed values miss what their head says or leave their format")
        return ids_K.astype(np.int32), self.values.unsigned(codes_K)

    def _read_code(self, body: memoryview, at: int) -> tuple[int, int]:
        """The code of the word at `at`, and where it ends. Raises CodecError."""
        end = at + self.values.word.itemsize
        if len(body) < end:
            raise CodecError(f"packed body of {len(body)} bytes ends in its head")
        return int(self.values.signed(np.frombuffer(body, self.values.word, 1, at))[0]), end

    def write_dense(self, words_V: Words) -> bytes:
        """Byte planes."""
        return Planar(self.values, self.vocab_size).write_dense(words_V)

    def read_dense(self, body: memoryview) -> Words:
        """Byte planes."""
        return Planar(self.values, self.vocab_size).read_dense(body)


def _parameter(numbers_K: Numbers) -> int:
    """The Rice parameter of fewest bits, found downhill from log2 of the mean."""
    count = numbers_K.size
    best = max(int(numbers_K.sum()) // count, 1).bit_length() - 1
    cost = int((numbers_K >> best).sum()) + count * best
    while best:
        lower = int((numbers_K >> (best - 1)).sum()) + count * (best - 1)
        if lower > cost:
            break
        best, cost = best - 1, lower
    return best


def _rice(numbers_K: Numbers, r: int) -> tuple[Bits, Bits]:
    """Bits of the quotients in unary and of the remainders."""
    ends_K = np.cumsum((numbers_K >> r) + 1) - 1
    unary = np.zeros(int(ends_K[-1]) + 1, dtype=np.uint8)
    unary[ends_K] = 1
    bytes_K4 = numbers_K.astype(">u4").view(np.uint8).reshape(-1, 4)
    return unary, np.unpackbits(bytes_K4, axis=1)[:, _WIDEST - r :].ravel()


def _unrice(bits: Bits, at: int, count: int, r: int) -> tuple[Numbers, int]:
    """`count` numbers from bit `at` on, and the bit after them. Raises CodecError."""
    ends_K = np.flatnonzero(bits[at:])[:count]
    if ends_K.size < count:
        raise CodecError(f"packed body holds {ends_K.size} of {count} numbers")
    first = at + int(ends_K[-1]) + 1
    last = first + count * r
    if last > bits.size:
        raise CodecError("packed body ends within its remainders")
    bits_KW = np.zeros((count, _WIDEST), dtype=np.uint8)
    bits_KW[:, _WIDEST - r :] = bits[first:last].reshape(count, r)
    rests_K = np.packbits(bits_KW, axis=1).view(">u4").ravel()
    return (np.diff(ends_K, prepend=-1) - 1 << r) + rests_K, last


def write_varint(number: int) -> bytes:
    """Seven bits a byte, lowest first, the top bit on all but the last."""
    out = bytearray()
    while number >> 7:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def read_varint(body: memoryview) -> tuple[int, int]:
    """A natural number in its shortest form and where it ends. Raises CodecError."""
    number = 0
    for place, byte in enumerate(body[:_VARINT_BYTES]):
        number |= (byte & 0x7F) << (7 * place)
        if not byte >> 7:
            if not byte and place:
                break
            return number, place + 1
    raise CodecError("packed body has a number that is cut off, too long or not in shortest form")
