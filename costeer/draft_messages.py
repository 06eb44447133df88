"""Bodies of the frames that speculation adds: DRAFT, REFINE and ROWS; see ``costeer.messages``.

A ROWS body is ``version | (2 · payload length + 1 if a logit follows | payload | logit)…``: the
logit, an IEEE float32, is that of the token drafted at the row's position. It is there only where
the payload does not hold that token, so it is out of rank.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from costeer.errors import FrameError, LocalProtocolError
from costeer.varint import get_number, get_numbers, one_number, only_number, put_number

if TYPE_CHECKING:
    from collections.abc import Sequence

_LOGIT = struct.Struct("<f")


@dataclass(frozen=True, slots=True)
class Row:
    """What is sent of one position's logits.

    Args:
        payload: the codec's.
        draft_logit: of the token that was drafted there, if it is not in the payload.
    """

    payload: bytes
    draft_logit: float | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """Body of ROWS.

    Args:
        version: of the text that the logits belong to.
        rows: of the frame's position, the next one, and so on.
    """

    version: int
    rows: tuple[Row, ...]


def encode_draft(tokens: Sequence[int]) -> bytes:
    """Return the body of a DRAFT frame: a chosen id and those drafted behind it.

    Raises:
        LocalProtocolError: no id, or one that no frame can hold.
    """
    if not tokens:
        raise LocalProtocolError("DRAFT body: no token was chosen")
    out = bytearray()
    for token in tokens:
        put_number(out, token)
    return bytes(out)


def decode_draft(data: bytes) -> tuple[int, ...]:
    """Return the ids of a DRAFT frame, the chosen one first.

    Raises:
        FrameError: not the body of a DRAFT frame.
    """
    tokens = get_numbers(data, 0)
    if not tokens:
        raise FrameError("DRAFT body: no token")
    return tuple(tokens)


def encode_version(version: int) -> bytes:
    """Return the body of a REFINE frame.

    Raises:
        LocalProtocolError: a number that no frame can hold.
    """
    return one_number(version)


def decode_version(data: bytes) -> int:
    """Return the version that a REFINE frame names.

    Raises:
        FrameError: not one number.
    """
    return only_number(data, "REFINE")


def encode_rows(body: Rows) -> bytes:
    """Return the body of a ROWS frame.

    Raises:
        LocalProtocolError: no row, or a number that no frame can hold.
    """
    if not body.rows:
        raise LocalProtocolError("ROWS body: no row")
    out = bytearray()
    put_number(out, body.version)
    for row in body.rows:
        extra = row.draft_logit is not None
        put_number(out, 2 * len(row.payload) + extra)
        out += row.payload
        if row.draft_logit is not None:
            out += _LOGIT.pack(row.draft_logit)
    return bytes(out)


def decode_rows(data: bytes) -> Rows:
    """Return what a ROWS frame holds; its payloads are not looked into.

    Raises:
        FrameError: not the body of a ROWS frame.
    """
    end = len(data)
    version, at = get_number(data, 0, end)
    rows = []
    while at < end:
        size, at = get_number(data, at, end)
        length, extra = size >> 1, size & 1
        after = at + length + extra * _LOGIT.size
        if after > end:
            raise FrameError(f"ROWS body: a row of {after - at} bytes declared, {end - at} there")
        payload = data[at : at + length]
        logit = _LOGIT.unpack_from(data, at + length)[0] if extra else None
        if logit is not None and not math.isfinite(logit):
            raise FrameError("ROWS body: a drafted token's logit is not finite")
        rows.append(Row(payload, logit))
        at = after
    if not rows:
        raise FrameError("ROWS body: no row")
    return Rows(version, tuple(rows))
