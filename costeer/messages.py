"""The frames between a device and the cloud, byte for byte.

A frame is ``kind | session | epoch | position | round | length | body | filling | crc32``. The
first byte holds the version in its high and the kind in its low half; the five numbers are unsigned
LEB128 in their shortest form; the filling is zeros, none unless sizes are to be hidden; the CRC-32
(little endian) covers all before it. A LOGITS frame typically spends 9 bytes on the header and 4 on
the checksum; no frame spends more than 30 beside its body and filling.

Every number is bounded and every encoding is canonical, so that decoding any bytes either gives
the one frame that encodes to them or raises ``FrameError``. No pickle, no allocation beyond the
bytes given.

========  ====  =============================================================================
kind      way   body
========  ====  =============================================================================
OPEN      up    role, max new tokens, codec fingerprint, bytes per round trip of the link (0 where
                no starting k learns), number of tokens already chosen (GUIDED: and of the second
                prompt's), prompt ids (those of the second), the tokens chosen
TOKEN     up    the id chosen at ``position``
MORE      up    empty: the next ranks of ``position``, as round ``round``
CLOSE     up    empty
DRAFT     up    the id chosen at ``position``, then the ids drafted for the positions behind it;
                ``round`` counts the session's DRAFT frames: the version of its text
REFINE    up    a version: the next ranks of ``position`` in that text, as round ``round``
LOGITS    down  codec payload for ``position``, ``round``
ROWS      down  a version, then codec payloads of round ``round`` for ``position`` and those behind
                it in that text, each with its drafted token's logit where it is not among them
STREAM    down  the id that the cloud chose at ``position``
ERROR     down  UTF-8 text
========  ====  =============================================================================

A session of role LOGITS speaks TOKEN, MORE and LOGITS, one of role GATED is sent STREAM as well
(``costeer.gate``), one of role DRAFTS speaks DRAFT, REFINE and ROWS (``costeer.drafting``).
One of role CHOICES speaks like DRAFTS, but each row of ROWS is the id that the cloud chose.
Neither MORE nor REFINE names a token: a device that asked for ids would reveal Δ.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import IntEnum
from zlib import crc32

from costeer.errors import FrameError, LocalProtocolError
from costeer.padding import fill_bytes
from costeer.varint import (
    SHORT,
    get_number,
    get_numbers,
    number_bytes,
    one_number,
    only_number,
    put_number,
)

VERSION = 2
MAX_FRAME_BYTES = 8 * 2**20
MAX_OPEN_BYTES = 3 * 2**15
"""Of an OPEN body: 32,768 ids of three bytes, read in less than 5 ms."""
MAX_ERROR_BYTES = 512
_CRC_BYTES = 4
_MIN_FRAME_BYTES = 6 + _CRC_BYTES


class FrameKind(IntEnum):
    """What a frame is."""

    OPEN = 1
    TOKEN = 2
    MORE = 3
    CLOSE = 4
    DRAFT = 5
    REFINE = 6
    LOGITS = 8
    STREAM = 9
    ERROR = 10
    ROWS = 11


class Role(IntEnum):
    """What a device asks of the cloud when it opens a session."""

    LOGITS = 0
    STREAM = 1
    DRAFTS = 2
    GATED = 3
    CHOICES = 4
    GUIDED = 5


STREAMS = frozenset((Role.STREAM, Role.GUIDED))
"""Roles in which the cloud chooses every token."""


@dataclass(frozen=True, slots=True)
class Frame:
    """One decoded frame; see the table above for its body. ``filling`` is in bytes."""

    kind: FrameKind
    session: int
    epoch: int
    position: int
    round: int
    body: bytes = b""
    filling: int = 0


@dataclass(frozen=True, slots=True)
class Open:
    """Body of OPEN.

    Args:
        role: logits down, tokens, or logits for drafts.
        max_new_tokens: the session's limit, tokens already chosen included.
        codec_fingerprint: of the codec that the device expects; 0 for streams.
        round_trip_bytes: what the device's link could carry in a round trip, for a starting k that
            learns; 0 where none does.
        prompt: token ids.
        chosen: ids already chosen before (a resumed session), continued after the prompt.
        guide: ids of the second prompt of a GUIDED session; no other has one.
    """

    role: Role
    max_new_tokens: int
    codec_fingerprint: int
    prompt: tuple[int, ...]
    chosen: tuple[int, ...] = ()
    round_trip_bytes: int = 0
    guide: tuple[int, ...] = ()


_KINDS = {int(kind): kind for kind in FrameKind}
_BODILESS = frozenset((FrameKind.MORE, FrameKind.CLOSE))


def encode_frame(frame: Frame) -> bytes:
    """Return the bytes of a frame.

    Raises:
        LocalProtocolError: a number or the body exceeds its bound.
    """
    if frame.body and frame.kind in _BODILESS:
        raise LocalProtocolError(f"{frame.kind.name} frame with a body of {len(frame.body)} bytes")
    out = bytearray((VERSION << 4 | frame.kind,))
    for number in (frame.session, frame.epoch, frame.position, frame.round, len(frame.body)):
        if 0 <= number < SHORT:  # most numbers are
            out.append(number)
        else:
            put_number(out, number)
    out += frame.body
    out += bytes(frame.filling)
    out += crc32(out).to_bytes(_CRC_BYTES, "little")
    if len(out) > MAX_FRAME_BYTES:
        raise LocalProtocolError(
            f"{frame.kind.name} frame of {len(out)} bytes exceeds {MAX_FRAME_BYTES}"
        )
    return bytes(out)


def filled(frame: Frame, bucket_bytes: int) -> bytes:
    """Return the bytes of a frame that is filled up to a multiple of a bucket.

    A frame so large that its next multiple would exceed the limit stays as it is.

    Raises:
        LocalProtocolError: a number or the body exceeds its bound.
    """
    plain = encode_frame(frame)
    filling = fill_bytes(len(plain), bucket_bytes)
    if not filling or len(plain) + filling > MAX_FRAME_BYTES:
        return plain
    return encode_frame(replace(frame, filling=filling))


def frame_bytes(
    session: int, position: int, round_: int, body_bytes: int, bucket_bytes: int
) -> int:
    """Return the size of a first epoch's frame, without making it; ``filled`` makes it.

    Integers only, so that compiled code can call it.
    """
    plain = 2 + number_bytes(session) + number_bytes(position) + number_bytes(round_)
    plain += number_bytes(body_bytes) + body_bytes + _CRC_BYTES
    size = plain if bucket_bytes == 1 else plain + -plain % bucket_bytes
    return plain if size > MAX_FRAME_BYTES else size


def decode_frame(data: bytes) -> Frame:
    """Return the frame that these bytes are.

    Raises:
        FrameError: they are none.
    """
    size = len(data)
    if not _MIN_FRAME_BYTES <= size <= MAX_FRAME_BYTES:
        raise FrameError(f"a frame has {_MIN_FRAME_BYTES} to {MAX_FRAME_BYTES} bytes, not {size}")
    end = size - _CRC_BYTES
    if crc32(memoryview(data)[:end]) != int.from_bytes(data[end:], "little"):
        raise FrameError(f"checksum of a {size} B frame does not match")
    first = data[0]
    kind = _KINDS.get(first & 15)
    if first >> 4 != VERSION or kind is None:
        raise FrameError(f"first byte {first:#04x} is no frame kind of version {VERSION}")
    at = 1
    session, at = get_number(data, at, end)
    epoch, at = get_number(data, at, end)
    position, at = get_number(data, at, end)
    round_, at = get_number(data, at, end)
    length, at = get_number(data, at, end)
    filling = end - at - length
    if filling < 0:
        raise FrameError(f"{kind.name} body: {length} bytes declared, {end - at} there")
    if filling and data.count(0, at + length, end) != filling:
        raise FrameError(f"{kind.name} frame: its {filling} bytes of filling are not zero")
    if length and kind in _BODILESS:
        raise FrameError(f"{kind.name} frame with a body of {length} bytes")
    return Frame(kind, session, epoch, position, round_, data[at : at + length], filling)


def peek(data: bytes) -> tuple[FrameKind, int]:
    """Return the kind and the session that bytes claim; whether they are a frame is not checked.

    Raises:
        FrameError: not even that is there.
    """
    kind = _KINDS.get(data[0] & 15) if data else None
    if kind is None:
        raise FrameError("bytes that name no frame kind")
    return kind, get_number(data, 1, len(data))[0]


def encode_open(body: Open) -> bytes:
    """Return the body of an OPEN frame.

    Raises:
        LocalProtocolError: no prompt, or a number or the body exceeds its bound.
    """
    guided = body.role is Role.GUIDED
    if not body.prompt or guided != bool(body.guide):
        raise LocalProtocolError("OPEN body: a prompt is empty, or there is one too many")
    out = bytearray((body.role,))
    for number in (
        body.max_new_tokens,
        body.codec_fingerprint,
        body.round_trip_bytes,
        len(body.chosen),
        *([len(body.guide)] if guided else []),
    ):
        put_number(out, number)
    for token in (*body.prompt, *body.guide, *body.chosen):
        put_number(out, token)
    if len(out) > MAX_OPEN_BYTES:
        raise LocalProtocolError(f"OPEN body of {len(out)} bytes exceeds {MAX_OPEN_BYTES}")
    return bytes(out)


def open_bytes(
    max_new_tokens: int, codec_fingerprint: int, round_trip_bytes: int, prompt_bytes: int
) -> int:
    """Return the size of the body of a first epoch's OPEN, without making it.

    Args:
        max_new_tokens: as in ``Open``, and so the next two.
        codec_fingerprint: ...
        round_trip_bytes: ...
        prompt_bytes: ``number_bytes`` of all ids of the prompt.
    """
    numbers = (max_new_tokens, codec_fingerprint, round_trip_bytes, 0)
    return 1 + sum(map(number_bytes, numbers)) + prompt_bytes


def decode_open(data: bytes) -> Open:
    """Return what an OPEN frame asks for.

    Raises:
        FrameError: not the body of an OPEN frame.
    """
    end = len(data)
    if end > MAX_OPEN_BYTES:
        raise FrameError(f"OPEN body of {end} bytes exceeds {MAX_OPEN_BYTES}")
    if not data or data[0] > max(Role):
        raise FrameError("OPEN body: no role")
    max_new_tokens, at = get_number(data, 1, end)
    fingerprint, at = get_number(data, at, end)
    round_trip_bytes, at = get_number(data, at, end)
    chosen, at = get_number(data, at, end)
    role, guide = Role(data[0]), 0
    if role is Role.GUIDED:
        guide, at = get_number(data, at, end)
        if not guide:
            raise FrameError("OPEN body: guided, and no second prompt")
    tokens = get_numbers(data, at)
    prompt = len(tokens) - chosen - guide
    if prompt < 1:
        raise FrameError(f"OPEN body: {len(tokens)} ids, {chosen} of them chosen: no prompt")
    return Open(
        role,
        max_new_tokens,
        fingerprint,
        tuple(tokens[:prompt]),
        tuple(tokens[prompt + guide :]),
        round_trip_bytes,
        tuple(tokens[prompt : prompt + guide]),
    )


def encode_token(token: int) -> bytes:
    """Return the body of a TOKEN or STREAM frame.

    Raises:
        LocalProtocolError: an id that no frame can hold.
    """
    return one_number(token)


def decode_token(data: bytes) -> int:
    """Return the id in a TOKEN or STREAM body.

    Raises:
        FrameError: not one number.
    """
    return only_number(data, "token")


def encode_error(text: str) -> bytes:
    """Return the body of an ERROR frame, cut to its bound between two characters."""
    cut = text.encode(errors="replace")[:MAX_ERROR_BYTES]
    return cut.decode(errors="ignore").encode()


def decode_error(data: bytes) -> str:
    """Return the text of an ERROR frame, whatever its bytes."""
    return data[:MAX_ERROR_BYTES].decode(errors="replace")
