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
_FAR_BELOW = np.float64(-60.0)  # powers of two that no sum notices
_LOG2_E = 1.4426950408889634
_LN_2 = 0.6931471805599453
_NO_MAGNITUDE = 1 << 40  # above any code
_HEAD_BITS = 10
_BYTE_BITS = 8
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
            power = power if power > _FAR_BELOW else _FAR_BELOW  # noqa: FURB136 - vectorises
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
    low, high = np.float64(math.inf), np.float64(-math.inf)
    bits_K = logits_K.view(np.uint32)
    for i in range(ids_K.size):
        if i and ids_K[i] <= ids_K[i - 1]:
            ascending = False
        value = np.float64(logits_K[i])
        if math.isnan(value):
            return ascending, negative_zero, math.nan, math.nan
        low = min(low, value)
        high = max(high, value)
        if bits_K[i] == np.uint32(0x80000000):
            negative_zero = True
    return ascending, negative_zero, low, high


# ------------------------------------------------------------------------------ writing


@compiled
def rice_parameter(numbers_N: I64) -> int:
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
    r_ids, r_steps = rice_parameter(gaps_K), rice_parameter(steps_K)
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
def _byte(body: U8, at: int) -> int:
    """A byte as a signed integer: numba makes a float of signed and unsigned ones together."""
    return int(np.int64(body[at]))


@compiled
def _get_numbers(body: U8, bit: int, numbers_N: I64, r: int) -> tuple[int, int]:
    """Read Rice-coded numbers: (what is wrong or FINE, the bit behind them)."""
    end = 8 * body.size
    for i in range(numbers_N.size):
        start = bit
        while bit < end:
            rest = np.uint8(body[bit >> 3] << (bit & 7))
            if rest:
                while not rest & np.uint8(0x80):
                    rest = np.uint8(rest << 1)
                    bit += 1
                break
            bit = ((bit >> 3) + 1) << 3  # a byte of zeros costs one step
        if bit >= end:
            return NUMBERS, bit
        numbers_N[i] = bit - start
        bit += 1
    if bit + numbers_N.size * r > end:
        return REMAINDERS, bit
    for i in range(numbers_N.size):
        value, width = int(numbers_N[i]), r
        while width:
            free = 8 - (bit & 7)
            take = min(free, width)
            part = (_byte(body, bit >> 3) >> (free - take)) & ((1 << take) - 1)
            value = value << take | part
            bit += take
            width -= take
        numbers_N[i] = value
    return FINE, bit


@compiled
def _get_word(body: U8, at: int, word_bytes: int) -> int:
    """A little-endian word. The caller checked the length."""
    word = 0
    for place in range(word_bytes):
        word |= _byte(body, at + place) << (8 * place)
    return word


@compiled
def _get_head(body: U8, vocab_size: int, word_bytes: int) -> tuple[int, int, int, int, int]:
    """Read a packed head: (what is wrong or FINE, count, floor, nearest, the byte behind it)."""
    size, at, count, ended = body.size, 0, 0, False
    while at < min(size, _LONGEST_VARINT) and not ended:
        byte = _byte(body, at)
        count |= (byte & 0x7F) << (7 * at)
        at += 1
        ended = byte <= 0x7F  # noqa: PLR2004 - the top bit says that more follow
    shortest = at == 1 or (at > 1 and body[at - 1] > 0)
    if not (ended and shortest and 0 < count <= vocab_size):
        return COUNT, count, 0, 0, at
    sign = 1 << (8 * word_bytes - 1)
    if size < at + word_bytes:
        return HEAD, size, 0, 0, at
    floor, nearest = _get_word(body, at, word_bytes), 1
    at += word_bytes
    if floor > sign:
        floor = sign - floor
        if size < at + word_bytes:
            return HEAD, size, 0, 0, at
        nearest = _get_word(body, at, word_bytes)
        at += word_bytes
        if not 0 < nearest <= -floor:
            return MAGNITUDE, 0, 0, 0, at
    elif floor == sign:  # negative zero
        return HEAD, size, 0, 0, at
    return (FINE if size >= at + 2 else BITS), count, floor, nearest, at


@compiled
def unpack(body: U8, vocab_size: int, word_bytes: int) -> tuple[int, int, I32, U32]:
    """Read a packed sparse body: (what is wrong or FINE, a figure for the message, ids, words)."""
    ids_K, words_K = np.empty(0, np.int32), np.empty(0, np.uint32)
    wrong, count, floor, nearest, at = _get_head(body, vocab_size, word_bytes)
    if wrong:
        return wrong, count, ids_K, words_K
    r_ids = _byte(body, at) >> 3
    r_steps = (_byte(body, at) & 7) << 2 | _byte(body, at + 1) >> 6
    # What a writer can need, and what the numbers need at least, before anything of their size is
    # allocated.
    room, too_wide = 8 * (body.size - at), r_ids > 0 and vocab_size >> (r_ids - 1) == 0
    if too_wide or room > count * (r_ids + 8 * word_bytes + 4) + (vocab_size >> r_ids) + 17:
        return LONG, count, ids_K, words_K
    if room < _HEAD_BITS + count * (r_ids + r_steps + 2):
        return NUMBERS, count, ids_K, words_K
    gaps_K, steps_K = np.empty(count, np.int64), np.empty(count, np.int64)
    wrong, bit = _get_numbers(body, 8 * at + _HEAD_BITS, gaps_K, r_ids)
    if not wrong:
        wrong, bit = _get_numbers(body, bit, steps_K, r_steps)
    left = 8 * body.size - bit
    if not wrong and (left >= _BYTE_BITS or (left and np.uint8(body[-1] << (_BYTE_BITS - left)))):
        wrong = PADDING
    if wrong:
        return wrong, count, ids_K, words_K
    ids_K, words_K = np.empty(count, np.int32), np.empty(count, np.uint32)
    return _rebuild(gaps_K, steps_K, vocab_size, floor, nearest, word_bytes, ids_K, words_K)


@compiled
def _rebuild(
    gaps_K: I64,
    steps_K: I64,
    vocab_size: int,
    floor: int,
    nearest: int,
    word_bytes: int,
    ids_K: I32,
    words_K: U32,
) -> tuple[int, int, I32, U32]:
    """Fill ids and words from gaps and steps; returns what `unpack` does."""
    sign, hole, token = 1 << (8 * word_bytes - 1), nearest - 1, -1
    touched, reached = False, floor >= 0
    for i in range(gaps_K.size):
        token += int(gaps_K[i]) + 1
        if token >= vocab_size:
            return OUTSIDE, token, ids_K, words_K
        ids_K[i] = token
        code = int(steps_K[i]) + floor + hole
        code += hole if code > 0 else (-hole if code < 0 else 0)
        magnitude = abs(code)
        if magnitude >= sign:
            return VALUES, 0, ids_K, words_K
        touched = touched or code == floor
        reached = reached or magnitude == nearest
        words_K[i] = magnitude | sign if code < 0 else magnitude
    return (FINE if touched and reached else VALUES), gaps_K.size, ids_K, words_K
