"""The cloud's end: a port that devices connect to, one engine behind it.

What a peer does costs itself alone
-----------------------------------
* Before it has proven that it knows the token, it may send one small record, within seconds. When
  too many have not, the one that has waited longest goes.
* A connection is one device and has one session at a time; a second OPEN ends the first. Frames
  for sessions of other devices are not passed on.
* A record that was begun has to end within seconds, and may be as large as the largest OPEN.
* After a few frames of one connection, the others have their turn. One that goes on sending what
  the engine has no use for is closed.
* What a device does not read is kept up to a bound. A device that vanished is found out by the
  kernel (keep-alive, unacknowledged data), a silent one by ``idle_timeout_s``.

Whatever ends a connection ends its session, and frees its memory at once.
"""

from __future__ import annotations

import asyncio
import secrets
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from weakref import WeakSet

from actors.plan import device_and_request
from actors.sockets.engine import EngineLoop
from actors.sockets.protocol import (
    HEADER_BYTES,
    MAX_HANDSHAKE_BYTES,
    NONCE_BYTES,
    VERSION,
    RecordKind,
    Welcome,
    decode_header,
    decode_hello,
    encode_bye,
    encode_down,
    encode_record,
)
from actors.values.port import CloudHost
from costeer.cloud import EngineCounters, EngineSpec
from costeer.errors import ConfigError, FrameError, RemoteProtocolError
from costeer.machine import Send
from costeer.messages import MAX_OPEN_BYTES, FrameKind, peek

_TURN_FRAMES = 16
"""Frames of one connection between two turns of the others."""
_LINGER_S = 1.0
"""How long a closed connection may still deliver why."""


@dataclass(frozen=True, slots=True)
class ServeLimits:
    """What peers may use.

    Args:
        max_devices: connections that have said hello.
        max_strangers: connections that have not.
        hello_timeout_s: from the connection to the end of HELLO.
        record_timeout_s: from a record's header to its end.
        idle_timeout_s: between two records.
        max_record_bytes: body of a record that comes up.
        max_unsent_bytes: what one device has not read yet.
        max_useless_frames: of one connection: broken, refused, repeated, late, of other devices, or
            an OPEN before the last session's end.
    """

    max_devices: int = 1024
    max_strangers: int = 64
    hello_timeout_s: float = 5.0
    record_timeout_s: float = 10.0
    idle_timeout_s: float = 600.0
    max_record_bytes: int = MAX_OPEN_BYTES + 64
    max_unsent_bytes: int = 64 * 2**20
    max_useless_frames: int = 64


@dataclass(slots=True)
class ServeCounters:
    """What a server saw.

    Args:
        connections: that said hello.
        refused: that did not get that far.
        closed: that the server ended for what their peers did.
        frames_down: frames that were handed to connections.
    """

    connections: int = 0
    refused: int = 0
    closed: int = 0
    frames_down: int = 0


@dataclass(slots=True, eq=False)
class _Connection:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    task: asyncio.Task[None]
    device: int = -1
    session: int | None = None
    useless_frames: int = 0
    ended: bool = False

    def send(self, kind: RecordKind, body: bytes) -> None:
        self.writer.write(encode_record(kind, body))

    def end(self, reason: str) -> None:
        """Say why, and go a little later: what the peer still sends would cut its reading short."""
        if self.ended or self.writer.is_closing():
            return
        self.ended = True
        self.send(RecordKind.BYE, encode_bye(reason))
        self.writer.write_eof()
        asyncio.get_running_loop().call_later(_LINGER_S, self.writer.transport.abort)


class CloudServer:
    """Serves one arm to whoever connects and knows the token."""

    def __init__(
        self,
        host: CloudHost,
        spec: EngineSpec,
        introduction: Welcome,
        token: bytes,
        limits: ServeLimits,
        clock_ns: Callable[[], int],
    ) -> None:
        """Make a server that does not listen yet.

        Args:
            host: the model, ready for the arm.
            spec: what the engine serves.
            introduction: what devices are told of it.
            token: what they have to know.
            limits: what they may use.
            clock_ns: a monotone clock.
        """
        self._host = host
        self._spec = spec
        self._introduction = introduction
        self._token = token
        self._limits = limits
        self._clock_ns = clock_ns
        self._strangers: dict[_Connection, None] = {}
        self._devices: dict[int, _Connection] = {}
        self._epochs: dict[int, int] = {}
        self._leaving: WeakSet[asyncio.WriteTransport] = WeakSet()
        self._engine: EngineLoop | None = None
        self.counters = ServeCounters()

    @asynccontextmanager
    async def listening(self, address: str, port: int) -> AsyncIterator[int]:
        """Listen while the block runs; the value is the port (a free one was taken for 0).

        Raises:
            ConfigError: the address cannot be listened on.
        """
        self._engine = EngineLoop(self._host, self._spec, self._deliver, self._clock_ns)
        try:
            server = await asyncio.start_server(self._accept, address, port)
        except OSError as error:
            self._engine.close()
            raise ConfigError(
                f"{address}:{port} cannot be listened on ({error.strerror or error});"
                " choose another --host or --port"
            ) from error
        try:
            yield server.sockets[0].getsockname()[1]
        finally:
            server.close()
            await self._end_all()
            self._engine.close()

    async def failure(self) -> None:
        """Wait until the engine or its model fails.

        Raises:
            Exception: what it raised.
        """
        await asyncio.shield(self._running.failed)

    @property
    def engine(self) -> EngineCounters:
        """What the engine counted."""
        return self._running.counters

    @property
    def open_sessions(self) -> int:
        """Sessions that hold or wait for memory."""
        return self._running.open_sessions

    @property
    def connected(self) -> int:
        """Devices that are connected."""
        return len(self._devices)

    def hang_up(self) -> None:
        """End every connection; the server goes on listening."""
        for connection in (*self._strangers, *self._devices.values()):
            connection.end("the server hangs up")
            connection.task.cancel()

    @property
    def _running(self) -> EngineLoop:
        if self._engine is None:
            raise RuntimeError("the server does not listen")
        return self._engine

    async def _end_all(self) -> None:
        tasks = [each.task for each in (*self._strangers, *self._devices.values())]
        self.hang_up()
        await asyncio.gather(*tasks, return_exceptions=True)
        for transport in self._leaving:
            transport.abort()

    # ------------------------------------------------------------------ connections

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - a handler runs in one
        connection = _Connection(reader, writer, task)
        _watch_for_death(writer)
        if len(self._strangers) >= self._limits.max_strangers:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            self.counters.refused += 1
            oldest.end("others wait to say hello")
            oldest.task.cancel()
        self._strangers[connection] = None
        try:
            await self._greet(connection)
            await self._serve(connection)
        except TimeoutError:
            self._close(connection, "nothing was heard in time")
        except RemoteProtocolError as error:
            self._close(connection, str(error))
        except (ConnectionError, asyncio.IncompleteReadError):
            pass  # the peer is gone
        except asyncio.CancelledError:
            pass  # the server ended it, and said so
        except Exception as failure:  # noqa: BLE001 - our bug: the server stops with it
            self._running.fail(failure)
        finally:
            self._forget(connection)

    def _close(self, connection: _Connection, reason: str) -> None:
        if connection.device < 0:
            self.counters.refused += 1
        else:
            self.counters.closed += 1
        connection.end(reason)

    def _forget(self, connection: _Connection) -> None:
        self._strangers.pop(connection, None)
        if connection.device >= 0:
            del self._devices[connection.device]
        if connection.session is not None:
            self._running.abandon(connection.session)
        if connection.ended:
            self._leaving.add(connection.writer.transport)
        else:
            connection.writer.close()

    async def _greet(self, connection: _Connection) -> None:
        nonce = secrets.token_bytes(NONCE_BYTES)
        connection.send(RecordKind.GREETING, bytes((VERSION,)) + nonce)
        async with asyncio.timeout(self._limits.hello_timeout_s):
            kind, body = await _record(connection.reader, MAX_HANDSHAKE_BYTES)
        if kind is not RecordKind.HELLO:
            raise FrameError(f"{kind.name} record before HELLO")
        device = decode_hello(body, self._token, nonce).device
        if device in self._devices:
            raise RemoteProtocolError(f"device {device} is connected already")
        if len(self._devices) >= self._limits.max_devices:
            raise RemoteProtocolError(f"{len(self._devices)} devices are connected; try later")
        del self._strangers[connection]
        connection.device = device
        self._devices[device] = connection
        self.counters.connections += 1
        epoch = self._epochs.get(device, -1) + 1
        self._epochs[device] = epoch
        told = self._introduction.model_copy(update={"epoch": epoch})
        connection.send(RecordKind.WELCOME, told.model_dump_json().encode())

    async def _serve(self, connection: _Connection) -> None:
        limits = self._limits
        taken = 0
        while True:
            async with asyncio.timeout(limits.idle_timeout_s):
                header = await connection.reader.readexactly(HEADER_BYTES)
            kind, size = decode_header(header, limits.max_record_bytes)
            async with asyncio.timeout(limits.record_timeout_s):
                body = await connection.reader.readexactly(size)
            if kind is RecordKind.BYE:
                return
            if kind is not RecordKind.UP:
                raise FrameError(f"{kind.name} record came up")
            if not self._take(connection, body):
                connection.useless_frames += 1
                if connection.useless_frames > limits.max_useless_frames:
                    raise RemoteProtocolError(
                        f"{connection.useless_frames} frames that the cloud has no use for"
                    )
            taken += 1
            if taken % _TURN_FRAMES == 0:
                await asyncio.sleep(0)

    # ------------------------------------------------------------------ frames

    def _take(self, connection: _Connection, frame: bytes) -> bool:
        """Pass a frame on; return whether anybody had a use for it."""
        try:
            kind, session = peek(frame)
        except FrameError:
            return False
        if device_and_request(session)[0] != connection.device:
            return False
        cut_short = False
        if kind is FrameKind.OPEN and session != connection.session:
            if connection.session is not None:
                cut_short = self._running.abandon(connection.session)
            connection.session = session
        used = session == connection.session and self._running.frame(frame)
        return used and not cut_short

    def _deliver(self, command: Send) -> None:
        device, _ = device_and_request(command.session)
        connection = self._devices.get(device)
        if connection is None or connection.session != command.session:
            return  # whoever asked is gone
        self.counters.frames_down += 1
        body = encode_down(command.frame, command.payload_bytes, command.trace)
        connection.send(RecordKind.DOWN, body)
        unsent_bytes = connection.writer.transport.get_write_buffer_size()
        if unsent_bytes > self._limits.max_unsent_bytes:
            self.counters.closed += 1
            connection.writer.transport.abort()
            connection.task.cancel()


async def _record(reader: asyncio.StreamReader, limit_bytes: int) -> tuple[RecordKind, bytes]:
    kind, size = decode_header(await reader.readexactly(HEADER_BYTES), limit_bytes)
    return kind, await reader.readexactly(size)


def _watch_for_death(writer: asyncio.StreamWriter) -> None:
    """Have the kernel find out within half a minute that a peer is gone without a word."""
    connection: socket.socket = writer.get_extra_info("socket")
    options = {"TCP_KEEPIDLE": 10, "TCP_KEEPINTVL": 5, "TCP_KEEPCNT": 4, "TCP_USER_TIMEOUT": 30_000}
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in options.items():
        number = getattr(socket, name, None)  # Linux has all of them, others some
        if number is not None:
            with suppress(OSError):
                connection.setsockopt(socket.IPPROTO_TCP, number, value)
