"""Both ends of a TCP connection that is timed: the project's frames, in its records.

A request is a record of 100 bytes that names the size of its answer, which is a record of that
size. ``python -m experiments.validation.peer server ADDRESS`` prints its port and answers for ever;
``... client ADDRESS PORT`` reads one job (JSON) a line and prints what each exchange took, in
nanoseconds, from the first byte of the request to the last byte of the answer.
"""

from __future__ import annotations

import json
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from threading import Barrier, Thread

from actors.sockets.protocol import HEADER_BYTES, RecordKind, decode_header, encode_record
from costeer.messages import Frame, FrameKind, decode_frame, encode_frame
from experiments.validation.hosts import CONGESTION

REQUEST_BYTES = 100
LEAST_ANSWER_BYTES = 40


@dataclass(frozen=True, slots=True)
class Job:
    """Exchanges to be timed.

    Args:
        answer_bytes: size of each answer.
        repeats: exchanges that count, of each client.
        lead: exchanges at the start of each client that do not count.
        warmups: exchanges before each that counts, which do not.
        idle_s: pause before each exchange that counts.
        fresh: whether each exchange has a connection of its own.
        settle_s: pause between a connection's set-up and its first request.
        clients: connections that are used at the same time.
    """

    answer_bytes: int
    repeats: int
    lead: int = 0
    warmups: int = 0
    idle_s: float = 0.0
    fresh: bool = False
    settle_s: float = 0.0
    clients: int = 1


@dataclass(frozen=True, slots=True)
class Timed:
    """What a job's exchanges took.

    Args:
        exchange_ns: of each exchange that counts.
        connect_ns: of each connection's set-up.
    """

    exchange_ns: list[int]
    connect_ns: list[int]


def request(answer_bytes: int) -> bytes:
    """Return a record of ``REQUEST_BYTES`` that asks for an answer of a size."""
    frame = Frame(FrameKind.TOKEN, 1, 0, answer_bytes, 0)
    filling = REQUEST_BYTES - HEADER_BYTES - len(encode_frame(frame))
    padded = Frame(FrameKind.TOKEN, 1, 0, answer_bytes, 0, filling=filling)
    return encode_record(RecordKind.UP, encode_frame(padded))


def answer(answer_bytes: int) -> bytes:
    """Return a record of a size."""
    filling = answer_bytes - HEADER_BYTES - len(encode_frame(Frame(FrameKind.LOGITS, 1, 0, 0, 0)))
    frame = Frame(FrameKind.LOGITS, 1, 0, 0, 0, filling=filling)
    return encode_record(RecordKind.DOWN, encode_frame(frame))


def _read(connection: socket.socket) -> bytes:
    _, size = decode_header(_exactly(connection, HEADER_BYTES), 2**30)
    return _exactly(connection, size)


def _exactly(connection: socket.socket, size: int) -> bytes:
    data = bytearray(size)
    view, had = memoryview(data), 0
    while had < size:
        more = connection.recv_into(view[had:])
        if not more:
            raise ConnectionError("the peer has gone")
        had += more
    return bytes(data)


def _prepare(connection: socket.socket) -> None:
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    # Before listen(): connections that are accepted have what their listener has.
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_CONGESTION, CONGESTION.encode())


def serve(address: str) -> None:
    """Answer requests until killed; print the port first."""
    listener = socket.socket()
    _prepare(listener)
    listener.bind((address, 0))
    listener.listen(64)
    print(listener.getsockname()[1], flush=True)
    while True:
        connection, _ = listener.accept()
        Thread(target=_answer, args=(connection,), daemon=True).start()


def _answer(connection: socket.socket) -> None:
    answers: dict[int, bytes] = {}
    with connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            while True:
                size = decode_frame(_read(connection)).position
                if size not in answers:
                    answers[size] = answer(size)
                connection.sendall(answers[size])
        except ConnectionError:
            return


def carry_out(job: Job, address: str, port: int) -> Timed:
    """Time a job's exchanges."""
    together = Barrier(job.clients)
    with ThreadPoolExecutor(job.clients) as pool:
        parts = list(pool.map(lambda _: _client(job, address, port, together), range(job.clients)))
    return Timed(
        [one for part in parts for one in part.exchange_ns],
        [one for part in parts for one in part.connect_ns],
    )


def _client(job: Job, address: str, port: int, together: Barrier) -> Timed:
    timed = Timed([], [])
    connection = _connect(job, address, port, timed)
    together.wait()
    for _ in range(job.lead):
        _exchange(connection, job.answer_bytes)
    for repeat in range(job.repeats):
        if job.fresh and repeat:
            connection.close()
            connection = _connect(job, address, port, timed)
        for _ in range(job.warmups):
            _exchange(connection, job.answer_bytes)
        if job.idle_s:
            time.sleep(job.idle_s)
        timed.exchange_ns.append(_exchange(connection, job.answer_bytes))
    connection.close()
    return timed


def _connect(job: Job, address: str, port: int, timed: Timed) -> socket.socket:
    connection = socket.socket()
    _prepare(connection)
    began_ns = time.monotonic_ns()
    connection.connect((address, port))
    timed.connect_ns.append(time.monotonic_ns() - began_ns)
    time.sleep(job.settle_s)
    return connection


def _exchange(connection: socket.socket, answer_bytes: int) -> int:
    asked = request(answer_bytes)
    began_ns = time.monotonic_ns()
    connection.sendall(asked)
    _read(connection)
    return time.monotonic_ns() - began_ns


def _main(role: str, address: str, port: str = "0") -> None:
    if role == "server":
        serve(address)
    for line in sys.stdin:
        timed = carry_out(Job(**json.loads(line)), address, int(port))
        print(json.dumps(asdict(timed)), flush=True)


if __name__ == "__main__":
    _main(*sys.argv[1:])
