"""How a device reaches the cloud: connect, prove the token, agree on the arm."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeAlias

from actors.plan import ArmPlan, CodecTerms
from actors.sockets.protocol import (
    HEADER_BYTES,
    MAX_HANDSHAKE_BYTES,
    MAX_RECORD_BYTES,
    Hello,
    RecordKind,
    Welcome,
    decode_bye,
    decode_greeting,
    decode_header,
    decode_welcome,
    difference,
    encode_hello,
    encode_record,
    welcome,
)
from costeer.errors import ConfigError, FrameError, RemoteProtocolError

_HELLO_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class CloudAddress:
    """Where the cloud listens, and what it wants to hear."""

    host: str
    port: int
    token: bytes

    def __str__(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"


Opened: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter, Welcome]
"""A connection, and what is served on it."""


async def connect(device: int, cloud: CloudAddress, ours: Welcome) -> Opened:
    """Connect one device and agree on what is served.

    Args:
        device: its id.
        cloud: where to connect.
        ours: what the device expects to be served.

    Raises:
        ConfigError: nobody listens there, another arm is served, or the cloud refuses.
    """
    try:
        async with asyncio.timeout(_HELLO_TIMEOUT_S):
            reader, writer = await asyncio.open_connection(cloud.host, cloud.port)
            try:
                nonce = decode_greeting(await expect(reader, RecordKind.GREETING))
                hello = encode_hello(Hello(device=device), cloud.token, nonce)
                writer.write(encode_record(RecordKind.HELLO, hello))
                theirs = decode_welcome(await expect(reader, RecordKind.WELCOME))
            except BaseException:
                writer.close()
                raise
    except TimeoutError as error:
        raise ConfigError(
            f"{cloud}: no answer for {_HELLO_TIMEOUT_S:g} s; is `costeer serve` there?"
        ) from error
    except asyncio.IncompleteReadError as error:
        raise ConfigError(f"{cloud}: closed the connection without a word") from error
    except RemoteProtocolError as error:
        raise ConfigError(f"{cloud}: {error}") from error
    except OSError as error:
        raise ConfigError(
            f"{cloud}: cannot be reached ({error.strerror or error}); start `costeer serve`"
            " there first"
        ) from error
    differs = difference(ours, theirs)
    if differs is not None:
        writer.close()
        raise ConfigError(f"{cloud}: {differs}; give both sides the same scenario and arm")
    return reader, writer, theirs


def knock(plan: ArmPlan, terms: CodecTerms, cloud: CloudAddress) -> None:
    """Find out whether an arm's first device could connect, and leave again.

    Raises:
        ConfigError: nobody listens there, another arm is served, or the cloud refuses.
    """

    async def come_and_go() -> None:
        device = plan.devices[0].device
        _, writer, _ = await connect(device, cloud, welcome(plan, terms))
        writer.write(encode_record(RecordKind.BYE, b""))
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    asyncio.run(come_and_go())


async def expect(reader: asyncio.StreamReader, expected: RecordKind) -> bytes:
    """Return the body of the next record.

    Raises:
        RemoteProtocolError: the peer says goodbye, or something else.
    """
    kind, size = decode_header(await reader.readexactly(HEADER_BYTES), _limit(expected))
    body = await reader.readexactly(size)
    if kind is RecordKind.BYE:
        raise RemoteProtocolError(f"the cloud ends the connection: {decode_bye(body)}")
    if kind is not expected:
        raise FrameError(f"{kind.name} record where {expected.name} was expected")
    return body


def _limit(expected: RecordKind) -> int:
    return MAX_RECORD_BYTES if expected is RecordKind.DOWN else MAX_HANDSHAKE_BYTES
