"""Unsigned LEB128 in its shortest form: how frames write numbers and token ids."""

from __future__ import annotations

import numpy as np

from costeer.errors import FrameError, LocalProtocolError

MAX_NUMBER = 2**32 - 1
_MAX_BYTES = 5
_MORE_FOLLOWS = 0x80
_LOW_BITS = 0x7F
SHORT = 0x80
"""Numbers below take one byte, which is the number."""


def number_bytes(number: int) -> int:
    """Return how many bytes a number takes in a frame."""
    size = 1
    while number > _LOW_BITS:
        number >>= 7
        size += 1
    return size


def put_number(out: bytearray, number: int) -> None:
    """Append a number.

    Raises:
        LocalProtocolError: it is negative or too large.
    """
    if not 0 <= number <= MAX_NUMBER:
        raise LocalProtocolError(f"{number} is not in a frame's range 0..{MAX_NUMBER}")
    while number > _LOW_BITS:
        out.append(number & _LOW_BITS | _MORE_FOLLOWS)
        number >>= 7
    out.append(number)


def get_number(data: bytes, at: int, end: int) -> tuple[int, int]:
    """Return (number, index behind it).

    Raises:
        FrameError: no number of the shortest form starts there.
    """
    if at < end and data[at] < _MORE_FOLLOWS:  # most numbers are short
        return data[at], at + 1
    value = shift = 0
    for index in range(at, min(at + _MAX_BYTES, end)):
        byte = data[index]
        value |= (byte & _LOW_BITS) << shift
        if byte < _MORE_FOLLOWS:
            if (byte == 0 and shift) or value > MAX_NUMBER:
                raise FrameError(f"number at byte {at} is not in its shortest form or too large")
            return value, index + 1
        shift += 7
    raise FrameError(f"number at byte {at} does not end")


def one_number(number: int) -> bytes:
    """Return a body that is one number.

    Raises:
        LocalProtocolError: it is negative or too large.
    """
    if 0 <= number < SHORT:
        return bytes((number,))
    out = bytearray()
    put_number(out, number)
    return bytes(out)


def only_number(data: bytes, what: str) -> int:
    """Return the number that a body is; ``what`` names the body.

    Raises:
        FrameError: it is not one number.
    """
    number, at = get_number(data, 0, len(data))
    if at != len(data):
        raise FrameError(f"{what} body: {len(data) - at} bytes too many")
    return number


def get_numbers(data: bytes, at: int) -> list[int]:
    """Return all numbers from ``at`` to the end; as ``get_number``, but a prompt at a time.

    Raises:
        FrameError: they are not all in their shortest form.
    """
    octets_N = np.frombuffer(data, np.uint8, offset=at)
    if not octets_N.size:
        return []
    ends_T = np.flatnonzero(octets_N < _MORE_FOLLOWS)
    if not ends_T.size or ends_T[-1] != octets_N.size - 1:
        raise FrameError("the last number does not end")
    starts_T = np.concatenate(([0], ends_T[:-1] + 1))
    lengths_T = ends_T - starts_T + 1
    if lengths_T.max() > _MAX_BYTES:
        raise FrameError(f"a number does not end within {_MAX_BYTES} bytes")
    if bool(((octets_N[ends_T] == 0) & (lengths_T > 1)).any()):
        raise FrameError("a number is not in its shortest form")
    shifts_N = 7 * (np.arange(octets_N.size) - np.repeat(starts_T, lengths_T))
    parts_N = (octets_N & _LOW_BITS).astype(np.int64) << shifts_N
    values_T = np.add.reduceat(parts_N, starts_T)
    if values_T.max() > MAX_NUMBER:
        raise FrameError(f"a number is too large, above {MAX_NUMBER}")
    numbers: list[int] = values_T.tolist()
    return numbers
