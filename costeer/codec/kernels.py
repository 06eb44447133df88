"""Compiled inner loops of the codec: scanning a row, ranking, bits in and out.

Rules
-----
1. Imported where it is first needed, never at the top of another module: numba takes half a second
   to import. Machine code is cached beside this file.
2. Compiled code checks no bounds. Every index into a peer's bytes is compared with their length
   here, every allocation follows a comparison of the declared size with the bytes that are there.
3. No fastmath: the same bits on every processor, in a batch or alone.
4. Loops over a whole row are written so that they vectorise: integer reductions, blocks without a
   branch inside.

Legend: V vocabulary, P pool of candidates, K tokens, N numbers.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias, TypeVar, cast

import numpy as np
import numpy.typing as npt
from numba import njit

if TYPE_CHECKING:
    from collections.abc import Callable

F32: TypeAlias = npt.NDArray[np.float32]
I32: TypeAlias = npt.NDArray[np.int32]
I64: TypeAlias = npt.NDArray[np.int64]
U8: TypeAlias = npt.NDArray[np.uint8]
U32: TypeAlias = npt.NDArray[np.uint32]
U64: TypeAlias = npt.NDArray[np.uint64]
Function = TypeVar("Function", bound="Callable[..., object]")

_BLOCK = 64  # of a scan: small, for a block that holds a hit is read twice
_LONG_BLOCK = 1024  # of a reduction
_SCALE_BITS = 42  # fixed point of one exponential: 2^-42 of the largest term
_LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453
_NO_MAGNITUDE = 1 << 40  # above any code
_HEAD_BITS = 10
_LONGEST_VARINT = 5

# What `unpack` found wrong, in the order of its checks.
FINE, COUNT, HEAD, MAGNITUDE, BITS, LONG, NUMBERS, REMAINDERS, PADDING, OUTSIDE, VALUES = range(11)


def compiled(function: Function) -> Function:
    """Machine code for a function, made at its first call and cached on disk."""
    return cast("Function", njit(cache=True, error_model="numpy", nogil=True)(function))


# ------------------------------------------------------------------------------ rows


@compiled
def largest_magnitude_bits(bits_V: U32) -> int:
    """Bits of the largest |x| of a row; at 0x7F800000 or above it holds infinity or NaN."""
    high = np.uint32(0)
    for start in range(0, bits_V.size, _LONG_BLOCK):
        block = bits_V[start : start + _LONG_BLOCK]
        for i in range(block.size):
            magnitude = np.uint32(block[i] & np.uint32(0x7FFFFFFF))
            high = magnitude if magnitude > high else high  # noqa: FURB136 - a select vectorises
    return int(high)


@compiled
def logsumexp(logits_V: F32, high: float) -> float:
    """Logsumexp of a finite row whose largest logit is `high`, to 1e-7 nats, never below it.

    Terms are summed in fixed point, so their order does not matter, and the exponential is a
    polynomial, so no library's or processor's own enters.
    """
    total = 0.0
    for start in range(0, logits_V.size, _LONG_BLOCK):
        block = logits_V[start : start + _LONG_BLOCK]
        fixed = np.int64(0)
        for i in range(block.size):
            power = (np.float64(block[i]) - high) * _LOG2_E
            power = power if power > -60.0 else -60.0  # noqa: FURB136, PLR2004 - far below the unit
            whole = np.int64(power - 0.5)
            x = (power - whole) * _LN_2
            # exp(x) on |x| <= ln 2 / 2 (Taylor, degree 8).
            tail = 1 / 24 + x * (1 / 120 + x * (1 / 720 + x * (1 / 5040 + x / 40320)))
            term = 1.0 + x * (1.0 + x * (1 / 2 + x * (1 / 6 + x * tail)))
            unit = np.int64(1) << (_SCALE_BITS + whole) if whole > -_SCALE_BITS else np.int64(0)
            fixed += np.int64(term * np.float64(unit) + 0.5)
        total += np.float64(fixed)
    return high + math.log(total / np.float64(np.int64(1) << _SCALE_BITS))


@compiled
def pool_keys(logits_V: F32, guess: float, keys_V: U64) -> int:
    """Write the rank keys of all logits >= guess to the front of keys_V, ids ascending.

    The lower the key, the better the rank: falling logits in the high half, the id in the low.
    Zeros of both signs are equal. Returns how many there are.
    """
    bits_V = logits_V.view(np.uint32)
    least = np.float32(guess)
    found = 0
    for start in range(0, logits_V.size, _BLOCK):
        block = logits_V[start : start + _BLOCK]
        hits = 0
        for i in range(block.size):
            hits += block[i] >= least
        if hits:
            for i in range(block.size):
                if block[i] >= least:
                    bits = bits_V[start + i]
                    if bits == np.uint32(0x80000000):
                        bits = np.uint32(0)
                    falling = bits if bits >> np.uint32(31) else ~bits & np.uint32(0x7FFFFFFF)
                    keys_V[found] = np.uint64(falling) << np.uint64(32) | np.uint64(start + i)
                    found += 1
    return found


@compiled
def ids_between(keys_P: U64, low: np.uint64, high: np.uint64) -> I32:
    """Ids, in the pool's order, of keys within [low, high]."""
    count = 0
    for key in keys_P:
        count += low <= key <= high
    ids_K = np.empty(count, np.int32)
    at = 0
    for key in keys_P:
        if low <= key <= high:
            ids_K[at] = np.int32(key & np.uint64(0x7FFFFFFF))
            at += 1
    return ids_K


@compiled
def survey(ids_K: I32, logits_K: F32) -> tuple[bool, bool, float, float]:
    """Whether ids ascend strictly, whether a negative zero is there, least and largest logit.

    Least and largest are NaN if any logit is.
    """
    ascending, negative_zero = True, False
    low, high = math.inf, -math.inf
    bits_K = logits_K.view(np.uint32)
    for i in range(ids_K.size):
        if i and ids_K[i] <= ids_K[i - 1]:
            ascending = False
        value = np.float64(logits_K[i])
        if math.isnan(value):
            return ascending, negative_zero, math.nan, math.nan
        low, high = min(low, value), max(high, value)
        negative_zero |= bits_K[i] == np.uint32(0x80000000)
    return ascending, negative_zero, low, high


# ------------------------------------------------------------------------------ writing


@compiled
def _rice_parameter(numbers_N: I64) -> int:
    """The Rice parameter of fewest bits, found downhill from log2 of the mean."""
    total = 0
    for number in numbers_N:
        total += number
    mean = max(total // numbers_N.size, 1)
    best = 0
    while mean >> (best + 1):
        best += 1
    cost = rice_bits(numbers_N, best)
    while best:
        lower = rice_bits(numbers_N, best - 1)
        if lower > cost:
            break
        best, cost = best - 1, lower
    return best


@compiled
def rice_bits(numbers_N: I64, r: int) -> int:
    """Bits of the numbers at Rice parameter r."""
    bits = numbers_N.size * (r + 1)
    for number in numbers_N:
        bits += number >> r
    return bits


@compiled
def _put(out: U8, bit: int, value: int, width: int) -> int:
    """Write `width` bits, highest first, into zeroed bytes; returns the bit behind them."""
    while width:
        free = 8 - (bit & 7)
        take = min(free, width)
        part = (value >> (width - take)) & ((1 << take) - 1)
        out[bit >> 3] |= np.uint8(part << (free - take))
        bit += take
        width -= take
    return bit


@compiled
def _put_rice(out: U8, bit: int, numbers_N: I64, r: int) -> int:
    """Write unary quotients, then remainders."""
    for number in numbers_N:
        bit += number >> r
        out[bit >> 3] |= np.uint8(0x80 >> (bit & 7))
        bit += 1
    if r:
        for number in numbers_N:
            bit = _put(out, bit, number & ((1 << r) - 1), r)
    return bit


@compiled
def pack(ids_K: I32, words_K: U32, word_bytes: int) -> U8:
    """The packed sparse body of ascending ids and sign-magnitude words of `word_bytes` bytes."""
    count = ids_K.size
    sign = np.int64(1) << (8 * word_bytes - 1)
    gaps_K, steps_K = np.empty(count, np.int64), np.empty(count, np.int64)
    lowest, nearest, before = np.int64(_NO_MAGNITUDE), np.int64(_NO_MAGNITUDE), -1
    for i in range(count):
        gaps_K[i] = ids_K[i] - before - 1
        before = ids_K[i]
        magnitude = np.int64(words_K[i]) & (sign - 1)
        code = -magnitude if np.int64(words_K[i]) & sign else magnitude
        steps_K[i] = code
        lowest = min(lowest, code)
        if magnitude:
            nearest = min(nearest, magnitude)
    hole = nearest - 1 if lowest < 0 else 0
    for i in range(count):
        code = steps_K[i]
        steps_K[i] = code - (lowest + hole) - (hole if code > 0 else (-hole if code < 0 else 0))
    r_ids, r_steps = _rice_parameter(gaps_K), _rice_parameter(steps_K)
    varint_bytes = 1
    while count >> (7 * varint_bytes):
        varint_bytes += 1
    head_bytes = varint_bytes + word_bytes * (2 if lowest < 0 else 1)
    bits = _HEAD_BITS + rice_bits(gaps_K, r_ids) + rice_bits(steps_K, r_steps)
    out = np.zeros(head_bytes + (bits + 7) // 8, np.uint8)
    for place in range(varint_bytes):
        more = 0x80 if place + 1 < varint_bytes else 0
        out[place] = np.uint8((count >> (7 * place)) & 0x7F | more)
    word = -lowest | sign if lowest < 0 else lowest
    for place in range(word_bytes):
        out[varint_bytes + place] = np.uint8((word >> (8 * place)) & 0xFF)
        if lowest < 0:
            out[varint_bytes + word_bytes + place] = np.uint8((nearest >> (8 * place)) & 0xFF)
    bit = _put(out, 8 * head_bytes, r_ids, 5)
    bit = _put(out, bit, r_steps, 5)
    bit = _put_rice(out, bit, gaps_K, r_ids)
    _put_rice(out, bit, steps_K, r_steps)
    return out


# ------------------------------------------------------------------------------ reading


@compiled
def _get_unary(body: U8, bit: int, quotients_N: I64) -> int:
    """Read zeros up to a one, once per number; the bit behind them, or -1 if the body ends."""
    end = 8 * body.size
    for i in range(quotients_N.size):
        start = bit
        while bit < end:
            rest = np.uint8(body[bit >> 3] << (bit & 7))
            if rest:
                while not rest & np.uint8(0x80):
                    rest = np.uint8(rest << 1)
                    bit += 1
                break
            bit = ((bit >> 3) + 1) << 3
        if bit >= end:
            return -1
        quotients_N[i] = bit - start
        bit += 1
    return bit


@compiled
def _get_rests(body: U8, bit: int, numbers_N: I64, r: int) -> int:
    """Join quotients with their remainders; the bit behind them. The caller checked the length."""
    for i in range(numbers_N.size):
        value, width = numbers_N[i], r
        while width:
            free = 8 - (bit & 7)
            take = min(free, width)
            part = (np.int64(body[bit >> 3]) >> (free - take)) & ((1 << take) - 1)
            value = value << take | part
            bit += take
            width -= take
        numbers_N[i] = value
    return bit


@compiled
def unpack(body: U8, vocab_size: int, word_bytes: int) -> tuple[int, int, I32, U32]:
    """Read a packed sparse body: (what is wrong or FINE, a figure for the message, ids, words)."""
    no_ids, no_words = np.empty(0, np.int32), np.empty(0, np.uint32)
    size, at, count = body.size, 0, np.int64(0)
    ended = False
    while at < min(size, _LONGEST_VARINT):
        byte = np.int64(body[at])
        count |= (byte & 0x7F) << (7 * at)
        at += 1
        if byte < 0x80:  # noqa: PLR2004 - the top bit says that more follow
            ended = byte > 0 or at == 1
            break
    if not ended:
        return COUNT, -1, no_ids, no_words
    if not 0 < count <= vocab_size:
        return COUNT, count, no_ids, no_words
    sign = np.int64(1) << (8 * word_bytes - 1)
    if size < at + word_bytes:
        return HEAD, size, no_ids, no_words
    floor = np.int64(0)
    for place in range(word_bytes):
        floor |= np.int64(body[at + place]) << (8 * place)
    at += word_bytes
    if floor == sign:
        return HEAD, size, no_ids, no_words
    nearest = np.int64(1)
    if floor & sign:
        floor = -(floor & (sign - 1))
        if size < at + word_bytes:
            return HEAD, size, no_ids, no_words
        nearest = np.int64(0)
        for place in range(word_bytes):
            nearest |= np.int64(body[at + place]) << (8 * place)
        at += word_bytes
        if not 0 < nearest <= -floor:
            return MAGNITUDE, 0, no_ids, no_words
    hole = nearest - 1
    if size < at + 2:
        return BITS, size, no_ids, no_words
    r_ids = np.int64(body[at]) >> 3
    r_steps = (np.int64(body[at]) & 7) << 2 | np.int64(body[at + 1]) >> 6
    # What a writer can need, and what the numbers need at least, before anything of their size is
    # allocated.
    longest = count * (r_ids + 1 + 8 * word_bytes + 3) + (vocab_size >> r_ids) + 17
    too_wide = r_ids > 0 and vocab_size >> (r_ids - 1) == 0
    if too_wide or 8 * (size - at) > longest:
        return LONG, count, no_ids, no_words
    if 8 * (size - at) < _HEAD_BITS + count * (r_ids + r_steps + 2):
        return NUMBERS, count, no_ids, no_words
    gaps_K, steps_K = np.empty(count, np.int64), np.empty(count, np.int64)
    end = 8 * size
    bit = _get_unary(body, 8 * at + _HEAD_BITS, gaps_K)
    if bit < 0:
        return NUMBERS, count, no_ids, no_words
    if bit + count * r_ids > end:
        return REMAINDERS, 0, no_ids, no_words
    bit = _get_rests(body, bit, gaps_K, r_ids)
    bit = _get_unary(body, bit, steps_K)
    if bit < 0:
        return NUMBERS, count, no_ids, no_words
    if bit + count * r_steps > end:
        return REMAINDERS, 0, no_ids, no_words
    bit = _get_rests(body, bit, steps_K, r_steps)
    if end - bit >= 8 or (bit < end and np.uint8(body[size - 1] << (bit & 7))):  # noqa: PLR2004
        return PADDING, 0, no_ids, no_words
    ids_K, words_K = np.empty(count, np.int32), np.empty(count, np.uint32)
    token = np.int64(-1)
    touched, reached = False, floor >= 0
    for i in range(count):
        token += gaps_K[i] + 1
        if token >= vocab_size:
            return OUTSIDE, token, no_ids, no_words
        ids_K[i] = token
        touched |= steps_K[i] == 0
        code = steps_K[i] + floor + hole
        code += hole if code > 0 else (-hole if code < 0 else 0)
        magnitude = abs(code)
        if magnitude >= sign:
            return VALUES, 0, no_ids, no_words
        reached |= magnitude == nearest
        words_K[i] = np.uint32(magnitude | sign if code < 0 else magnitude)
    if not (touched and reached):
        return VALUES, 0, no_ids, no_words
    return FINE, count, ids_K, words_K
