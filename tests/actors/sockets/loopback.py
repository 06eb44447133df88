"""A cloud that listens on this machine, in a thread of its own, and peers that misbehave."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Thread
from time import monotonic_ns
from typing import Any, TypeVar

from actors.cloud import CloudActor
from actors.plan import ArmPlan, CodecTerms, engine_spec
from actors.port import LocalHandle
from actors.sockets.connecting import CloudAddress
from actors.sockets.devices import DeviceHost
from actors.sockets.protocol import (
    Hello,
    RecordKind,
    decode_bye,
    decode_greeting,
    decode_header,
    encode_hello,
    encode_record,
    welcome,
)
from actors.sockets.server import CloudServer, ServeLimits
from tests.actors.fleets import Hosts, begin, generated_hosts

TOKEN = b"a token that both sides know"
T = TypeVar("T")


@dataclass
class Served:
    """A server that listens, and its hosts."""

    server: CloudServer
    loop: asyncio.AbstractEventLoop
    port: int
    hosts: Hosts
    plan: ArmPlan
    terms: CodecTerms
    peers: list[socket.socket] = field(default_factory=list)

    def address(self, token: bytes = TOKEN) -> CloudAddress:
        return CloudAddress("127.0.0.1", self.port, token)

    def devices(self, token: bytes = TOKEN) -> LocalHandle:
        """What a driver runs against it."""
        shard = self.hosts[1][0]
        assert isinstance(shard, LocalHandle)
        return LocalHandle(DeviceHost(shard.host, self.address(token), monotonic_ns))  # type: ignore[arg-type]  # an EdgeActor has execute

    def ask(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the server's loop do something, and wait for it."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(60)

    def until(self, condition: Callable[[CloudServer], bool]) -> None:
        """Wait until something is so at the server."""

        async def wait() -> None:
            while not condition(self.server):  # noqa: ASYNC110 - the server tells nobody
                await asyncio.sleep(0.001)

        self.ask(wait())

    def stranger(self) -> Peer:
        """Connect, and say nothing."""
        self.peers.append(socket.create_connection(("127.0.0.1", self.port), timeout=60))
        return Peer(self.peers[-1])

    def known(self, device: int) -> Peer:
        """Connect and say hello as a device that knows the token."""
        peer = self.stranger()
        peer.hello(device)
        kind, body = peer.record()
        assert kind is RecordKind.WELCOME, body
        return peer


@dataclass
class Peer:
    """A connection whose every byte is a test's own."""

    socket: socket.socket

    def send(self, data: bytes) -> None:
        self.socket.sendall(data)

    def hello(self, device: int, token: bytes = TOKEN) -> None:
        kind, body = self.record()
        assert kind is RecordKind.GREETING
        nonce = decode_greeting(body)
        self.send(encode_record(RecordKind.HELLO, encode_hello(Hello(device=device), token, nonce)))

    def frame(self, frame: bytes) -> None:
        self.send(encode_record(RecordKind.UP, frame))

    def record(self) -> tuple[RecordKind, bytes]:
        kind, size = decode_header(self._exactly(5), 2**24)
        return kind, self._exactly(size)

    def goodbye(self) -> str:
        """Read to the end; return the reason that was given, empty for none."""
        try:
            while True:
                kind, body = self.record()
                if kind is RecordKind.BYE:
                    return decode_bye(body)
        except (EOFError, ConnectionError):
            return ""

    def close(self) -> None:
        self.socket.close()

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            more = self.socket.recv(size - len(data))
            if not more:
                raise EOFError
            data += more
        return data


@contextmanager
def served(
    plan: ArmPlan, hosts: Hosts | None = None, limits: ServeLimits | None = None
) -> Iterator[Served]:
    """Serve an arm in a thread while the block runs; what failed there is raised here."""
    hosts = hosts or generated_hosts()
    terms = begin(plan, hosts)
    cloud = hosts[0]
    assert isinstance(cloud, LocalHandle)
    assert isinstance(cloud.host, CloudActor)
    server = CloudServer(
        cloud.host,
        engine_spec(plan, terms),
        welcome(plan, terms),
        TOKEN,
        limits or ServeLimits(),
        monotonic_ns,
    )
    loop = asyncio.new_event_loop()
    port: Future[int] = Future()
    stop = asyncio.Event()

    async def listen() -> None:
        try:
            async with server.listening("127.0.0.1", 0) as chosen:
                port.set_result(chosen)
                failing = asyncio.ensure_future(server.failure())
                stopping = asyncio.ensure_future(stop.wait())
                await asyncio.wait((failing, stopping), return_when=asyncio.FIRST_COMPLETED)
                stopping.cancel()
                if failing.done():
                    failing.result()
                failing.cancel()
        except BaseException as failure:
            if not port.done():
                port.set_exception(failure)
            raise

    failures: list[BaseException] = []

    def run() -> None:
        try:
            loop.run_until_complete(listen())
        except BaseException as failure:  # noqa: BLE001 - raised by the test's thread
            failures.append(failure)
        finally:
            loop.close()

    thread = Thread(target=run, name="test-server")
    thread.start()
    try:
        cloud_served = Served(server, loop, port.result(60), hosts, plan, terms)
        try:
            yield cloud_served
        finally:
            for peer in cloud_served.peers:
                peer.close()
    finally:
        if not loop.is_closed():
            loop.call_soon_threadsafe(stop.set)
        thread.join()
    if failures:
        raise failures[0]
