"""What crosses a connection between a device and the cloud: a handshake, then frames in records.

A record is ``kind (1 byte) | length (4 bytes, big endian) | body``. One connection is one device.

========  ====  =============================================================================
kind      way   body
========  ====  =============================================================================
GREETING  down  version (1 byte), nonce (16 bytes)
HELLO     up    proof (32 bytes), then JSON: ``Hello``
WELCOME   down  JSON: ``Welcome``
UP        up    a frame
DOWN      down  what the cloud's part took (``CloudTrace``) and the size of the codec's payload, as
                four big-endian numbers, then a frame
BYE       any   UTF-8 text: why the connection ends
========  ====  =============================================================================

The proof is HMAC-SHA256 under the shared token over nonce and JSON (RFC 2104), so the token itself
never crosses. What follows is neither encrypted nor authenticated: between machines, let it run
inside a tunnel.

What the cloud's part took is the laboratory's side channel. It crosses the socket, 28 bytes a
frame, where a deployment would have TLS records and HTTP/2 headers of 31 bytes.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.plan import ArmPlan, CodecTerms
from costeer.errors import FrameError, RemoteProtocolError
from costeer.machine import CloudTrace
from costeer.messages import MAX_FRAME_BYTES

VERSION = 1
NONCE_BYTES = 16
HEADER_BYTES = 5
MAX_HANDSHAKE_BYTES = 4096
MAX_BYE_BYTES = 512
_PROOF_BYTES = 32
_DOWN = struct.Struct("!QQQI")
MAX_RECORD_BYTES = MAX_FRAME_BYTES + _DOWN.size


class RecordKind(IntEnum):
    """What a record is."""

    GREETING = 1
    HELLO = 2
    WELCOME = 3
    UP = 4
    DOWN = 5
    BYE = 6


_KINDS = {int(kind): kind for kind in RecordKind}


class _Message(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)


class Hello(_Message):
    """What a device says first."""

    device: int = Field(ge=0, lt=2**20)
    """Its id; one connection at a time has it."""


class Welcome(_Message):
    """What the cloud serves; a device with other ideas would decode nonsense."""

    epoch: int = Field(ge=0, lt=2**32)
    """Of this connection's sessions: one more each time the device connects."""
    method: str
    """Name of the method."""
    codec: str
    """Short name of the codec."""
    codec_fingerprint: int
    """Of the codec's configuration."""
    vocab_size: int
    """Ids are below it."""
    sampling: str
    """How tokens are chosen."""
    seed: int
    """Of the noise that tokens are drawn with."""


def welcome(plan: ArmPlan, terms: CodecTerms, epoch: int = 0) -> Welcome:
    """Return how an arm introduces itself."""
    return Welcome(
        epoch=epoch,
        method=plan.arm.method.name,
        codec=terms.name,
        codec_fingerprint=terms.fingerprint,
        vocab_size=terms.vocab_size,
        sampling=str(plan.arm.sampling),
        seed=plan.arm.seed,
    )


def difference(ours: Welcome, theirs: Welcome) -> str | None:
    """Return in words where two arms differ first; None where they agree."""
    for name in Welcome.model_fields:
        here, there = getattr(ours, name), getattr(theirs, name)
        if name != "epoch" and here != there:
            return f"{name} is {there} at the cloud and {here} here"
    return None


@dataclass(frozen=True, slots=True)
class DownRecord:
    """Body of a DOWN record.

    Args:
        frame: the frame.
        payload_bytes: its codec payload.
        trace: how long the cloud's part took; zeros where the frame answers nothing.
    """

    frame: bytes
    payload_bytes: int
    trace: CloudTrace


def encode_record(kind: RecordKind, body: bytes) -> bytes:
    """Return the bytes of a record."""
    return struct.pack("!BI", kind, len(body)) + body


def decode_header(header: bytes, limit_bytes: int) -> tuple[RecordKind, int]:
    """Return a record's kind and the size of its body.

    Raises:
        FrameError: no such kind, or a body above the limit.
    """
    number, size = struct.unpack("!BI", header)
    kind = _KINDS.get(number)
    if kind is None:
        raise FrameError(f"record kind {number} is not known; is the peer a costeer program?")
    if size > limit_bytes:
        raise FrameError(f"{kind.name} record of {size} bytes exceeds {limit_bytes}")
    return kind, size


def decode_greeting(body: bytes) -> bytes:
    """Return the nonce of a greeting.

    Raises:
        RemoteProtocolError: another version, or no greeting.
    """
    if len(body) != 1 + NONCE_BYTES or body[0] != VERSION:
        spoken = body[0] if body else "none"
        raise RemoteProtocolError(f"the cloud speaks version {spoken}, this device {VERSION}")
    return body[1:]


def encode_hello(hello: Hello, token: bytes, nonce: bytes) -> bytes:
    """Return the body of a HELLO, with the proof that the token is known."""
    text = hello.model_dump_json().encode()
    return _proof(token, nonce, text) + text


def decode_hello(body: bytes, token: bytes, nonce: bytes) -> Hello:
    """Return who says hello.

    Raises:
        RemoteProtocolError: another token, or no hello.
    """
    proof, text = body[:_PROOF_BYTES], body[_PROOF_BYTES:]
    if not hmac.compare_digest(proof, _proof(token, nonce, text)):
        raise RemoteProtocolError("the token is not the one that is served here")
    try:
        return Hello.model_validate_json(text)
    except ValidationError as error:
        raise RemoteProtocolError(f"HELLO: {error.error_count()} fields are wrong") from error


def decode_welcome(body: bytes) -> Welcome:
    """Return what the cloud serves.

    Raises:
        RemoteProtocolError: not the body of a WELCOME.
    """
    try:
        return Welcome.model_validate_json(body)
    except ValidationError as error:
        raise RemoteProtocolError(f"WELCOME: {error.error_count()} fields are wrong") from error


def encode_down(frame: bytes, payload_bytes: int, trace: CloudTrace | None) -> bytes:
    """Return the body of a DOWN record."""
    spent = (0, 0, 0) if trace is None else (trace.queue_ns, trace.compute_ns, trace.select_ns)
    return _DOWN.pack(*spent, payload_bytes) + frame


def decode_down(body: bytes) -> DownRecord:
    """Return what a DOWN record holds; the frame itself is the machine's to check.

    Raises:
        FrameError: too short.
    """
    if len(body) < _DOWN.size:
        raise FrameError(f"DOWN record of {len(body)} bytes; at least {_DOWN.size} are needed")
    queue_ns, compute_ns, select_ns, payload_bytes = _DOWN.unpack_from(body)
    trace = CloudTrace(0, queue_ns, compute_ns, select_ns)
    return DownRecord(body[_DOWN.size :], payload_bytes, trace)


def encode_bye(reason: str) -> bytes:
    """Return the body of a BYE, cut to its bound between two characters."""
    return reason.encode(errors="replace")[:MAX_BYE_BYTES].decode(errors="ignore").encode()


def decode_bye(body: bytes) -> str:
    """Return why a peer ended the connection, whatever the bytes."""
    return body[:MAX_BYE_BYTES].decode(errors="replace")


def _proof(token: bytes, nonce: bytes, text: bytes) -> bytes:
    return hmac.digest(token, nonce + text, "sha256")
