"""The machines on real sockets: the tokens of the simulated run, whoever else is connected."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from actors.live.driver import run_live
from actors.plan import session_id
from actors.records import ArmRun
from actors.retry import RetryPolicy
from actors.sockets.protocol import RecordKind, decode_down, encode_record
from actors.sockets.server import CloudServer, ServeLimits
from actors.values.port import CloudHost
from costeer.errors import ConfigError, CosteerError
from costeer.machine import CloudOp, Release
from costeer.messages import Frame, FrameKind, Open, Role, encode_frame, encode_open, encode_token
from costeer.methods import METHODS, CloudRole
from costeer.sampling import Sampling
from experiments.results import output_digest
from tests.actors.fleets import MS, arm_plan, device, generated_hosts, recorder_of, run_virtual
from tests.actors.sockets.loopback import Served, served

CONNECTED = [each.name for each in METHODS if each.cloud is not CloudRole.ABSENT]
LARGEST_DEVICE = 2**20 - 1


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    yield
    names = ("live", "costeer-compute", "test-server")
    assert [one for one in threading.enumerate() if one.name.startswith(names)] == []


def wait_s(_: float) -> None:
    threading.Event().wait(0.01)


def drive(cloud: Served) -> ArmRun:
    """Run the plan's devices against a server."""
    shards = (cloud.devices(),)
    return run_live(cloud.plan, cloud.terms, (), shards, recorder_of(cloud.plan), wait_s)


def is_empty(server: CloudServer) -> bool:
    return server.open_sessions == 0


def opening(session: int, *, role: Role = Role.STREAM, tokens: int = 5, epoch: int = 0) -> bytes:
    body = encode_open(Open(role, tokens, 0, (1, 2, 3)))
    return encode_frame(Frame(FrameKind.OPEN, session, epoch, 0, 0, body))


# --------------------------------------------------------------------------- the same tokens


@pytest.mark.parametrize("method", CONNECTED)
def test_sockets_choose_what_virtual_chooses(method: str) -> None:
    devices = [device(number, 2) for number in range(3)]
    plan = arm_plan(method, devices, codec="top1-bf16-naive", max_new_tokens=3)
    expected = run_virtual(plan)
    with served(plan) as cloud:
        run = drive(cloud)
        assert run.complete
        cloud.until(is_empty)
    assert output_digest(run.tokens) == output_digest(expected.tokens)
    assert all(sum(row.record.stages_ns) == row.record.latency_ns for row in run.tokens)
    for name in ("frame_bytes_up", "payload_bytes_down"):
        assert [getattr(row.moved, name) for row in run.requests] == [
            getattr(row.moved, name) for row in expected.requests
        ]


def test_shared_noise_is_shared_across_sockets() -> None:
    plan = arm_plan(sampling=Sampling(0.9, 0.8), max_new_tokens=4)
    with served(plan) as cloud:
        run = drive(cloud)
    assert output_digest(run.tokens) == output_digest(run_virtual(plan).tokens)


def test_a_device_that_comes_again_begins_a_new_epoch() -> None:
    plan = arm_plan(max_new_tokens=3)
    with served(plan) as cloud:
        digests = set()
        for _ in range(3):
            digests.add(output_digest(drive(cloud).tokens))
            cloud.until(lambda server: not server.connected)
        assert cloud.server.counters.connections == 9
    assert digests == {output_digest(run_virtual(plan).tokens)}


# --------------------------------------------------------------------------- what goes wrong


class Deaf:
    """A host that does not come back until it is let go."""

    def __init__(self, host: CloudHost) -> None:
        self._host = host
        self.let_go = threading.Event()

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        self.let_go.wait()
        return self._host.execute(ops)


def test_devices_whose_server_does_not_answer_finish_alone() -> None:
    retry = RetryPolicy(2 * MS, 2, falls_back=True)
    plan = replace(arm_plan(max_new_tokens=3), retry=retry)
    with served(plan) as cloud:
        worker = cloud.server._running._worker
        deaf = Deaf(worker._host)  # type: ignore[arg-type]  # a cloud's
        worker._host = deaf
        run = drive(cloud)
        deaf.let_go.set()
    assert [row.reason for row in run.requests] == ["length"] * 3
    assert all(row.record.fallback for row in run.tokens)
    assert sum(row.record.repeats for row in run.tokens) == 3


def test_a_wrong_token_a_wrong_arm_and_nobody_there_are_told() -> None:
    plan = arm_plan()
    with served(plan) as cloud:
        where = cloud.address()
        with pytest.raises(ConfigError, match="token is not the one"):
            cloud.devices(token=b"another").call("live_begin", plan, cloud.terms, 0, ())
        other = arm_plan(seed=8)
        with pytest.raises(ConfigError, match="seed is 7 at the cloud and 8 here"):
            cloud.devices().call("live_begin", other, cloud.terms, 0, ())
        cloud.until(lambda server: not server.connected)
        gone = cloud.devices()
    with pytest.raises(ConfigError, match=f"{where.port}: cannot be reached .*costeer serve"):
        gone.call("live_begin", plan, cloud.terms, 0, ())


def test_a_port_in_use_is_told() -> None:
    plan = arm_plan()
    with served(plan) as cloud:
        again = CloudServer(
            cloud.server._host, cloud.server._spec, cloud.server._introduction,
            b"t", ServeLimits(), lambda: 0,
        )  # fmt: skip

        async def listen() -> None:
            async with again.listening("127.0.0.1", cloud.port):
                pass

        with pytest.raises(ConfigError, match=f"{cloud.port} cannot be listened on .*--port"):
            cloud.ask(listen())


def test_a_server_that_stops_ends_the_run_and_keeps_its_rows() -> None:
    plan = arm_plan(devices=[device(0, 2, think_ns=5 * MS)], max_new_tokens=3)
    recorder = recorder_of(plan)
    with served(plan) as cloud:
        victim = cloud

        def cut(_: float) -> None:
            if recorder.run.requests:
                victim.loop.call_soon_threadsafe(victim.server.hang_up)
            threading.Event().wait(0.001)

        many = arm_plan(devices=[device(0, 400, think_ns=5 * MS)], max_new_tokens=3)
        with pytest.raises(CosteerError, match="connection"):
            run_live(many, cloud.terms, (), (cloud.devices(),), recorder, cut)
    assert recorder.run.requests
    assert not recorder.run.complete


class Failing:
    """A host that breaks."""

    def execute(self, ops: list[CloudOp | Release]) -> list[object]:
        raise ArithmeticError(f"{len(ops)} too many")


def test_a_model_that_fails_ends_the_server_with_what_it_raised() -> None:
    plan = arm_plan(devices=[device(0)])

    def serve() -> None:
        with served(plan) as cloud:
            cloud.server._running._worker._host = Failing()  # type: ignore[assignment]
            with pytest.raises(CosteerError):
                drive(cloud)

    with pytest.raises(ArithmeticError, match="1 too many"):
        serve()


# --------------------------------------------------------------------------- hostile peers

TIGHT = ServeLimits(max_strangers=4, max_unsent_bytes=50_000, max_useless_frames=8)
IMPATIENT = replace(TIGHT, hello_timeout_s=1.0, record_timeout_s=1.0)
"""For the slow peers alone: on a machine that is busy everybody is slow now and then."""


def _garbage(cloud: Served) -> str:
    peer = cloud.stranger()
    peer.send(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n" * 100)
    return peer.goodbye()


def _half_open(cloud: Served) -> str:
    return cloud.stranger().goodbye()


def _slow_loris(cloud: Served) -> str:
    peer = cloud.known(LARGEST_DEVICE)
    peer.send(encode_record(RecordKind.UP, bytes(5_000))[:-1])
    return peer.goodbye()


def _slow_hello(cloud: Served) -> str:
    peer = cloud.stranger()
    peer.send(b"\x02")
    return peer.goodbye()


def _wrong_token(cloud: Served) -> str:
    peer = cloud.stranger()
    peer.hello(0, b"guess")
    return peer.goodbye()


def _huge_record(cloud: Served) -> str:
    peer = cloud.known(LARGEST_DEVICE)
    peer.send(encode_record(RecordKind.UP, b"")[:1] + (2**31).to_bytes(4, "big"))
    return peer.goodbye()


def _frames_of_others(cloud: Served) -> str:
    """Choose tokens, ask for more and close for every device but its own."""
    peer = cloud.known(LARGEST_DEVICE)
    for number in range(3):
        session = session_id(number, 0)
        for kind, body in ((FrameKind.TOKEN, encode_token(3)), (FrameKind.MORE, b"")):
            peer.frame(encode_frame(Frame(kind, session, 0, 1, 0, body)))
        peer.frame(encode_frame(Frame(FrameKind.CLOSE, session, 9, 0, 0)))
        peer.frame(opening(session, epoch=9))
    return peer.goodbye()


def _flood(cloud: Served) -> str:
    peer = cloud.known(LARGEST_DEVICE)
    peer.frame(opening(session_id(LARGEST_DEVICE, 0)))
    late = encode_record(
        RecordKind.UP,
        encode_frame(
            Frame(FrameKind.TOKEN, session_id(LARGEST_DEVICE, 0), 0, 77, 0, encode_token(3))
        ),
    )
    try:
        peer.send(late * 5_000)
    except ConnectionError:
        return "repeated: no use"  # it was cut off while it sent
    return peer.goodbye() or "repeated: no use"


def _broken_frames(cloud: Served) -> str:
    peer = cloud.known(LARGEST_DEVICE)
    for size in range(20):
        peer.frame(bytes(range(size)))
    return peer.goodbye()


def _many_sessions(cloud: Served) -> str:
    """Open one session after the other without ever closing one."""
    peer = cloud.known(LARGEST_DEVICE)
    for index in range(20):
        peer.frame(opening(session_id(LARGEST_DEVICE, index), tokens=100))
    return peer.goodbye()


def _refused_sessions(cloud: Served) -> str:
    """Ask for a codec that is not spoken."""
    peer = cloud.known(LARGEST_DEVICE)
    for index in range(20):
        peer.frame(opening(session_id(LARGEST_DEVICE, index), role=Role.LOGITS))
    return peer.goodbye()


def _down_frame_up(cloud: Served) -> str:
    peer = cloud.known(LARGEST_DEVICE)
    peer.send(encode_record(RecordKind.DOWN, b""))
    return peer.goodbye()


def _vanish(cloud: Served) -> str:
    peer = cloud.known(LARGEST_DEVICE)
    peer.frame(opening(session_id(LARGEST_DEVICE, 0), tokens=100))
    kind, body = peer.record()
    assert kind is RecordKind.DOWN
    assert decode_down(body).frame
    peer.close()
    return "gone without a word"


ATTACKS = {
    _garbage: "costeer program|exceeds",
    _half_open: "in time",
    _slow_hello: "in time",
    _slow_loris: "in time",
    _wrong_token: "token",
    _huge_record: "exceeds",
    _frames_of_others: "no use",
    _flood: "no use",
    _broken_frames: "no use",
    _many_sessions: "no use",
    _refused_sessions: "no use",
    _down_frame_up: "came up",
    _vanish: "without a word",
}


SLOW = (_half_open, _slow_hello, _slow_loris)


@pytest.mark.parametrize("attack", ATTACKS, ids=lambda attack: attack.__name__.strip("_"))
def test_a_hostile_peer_hurts_nobody_else(attack) -> None:  # type: ignore[no-untyped-def]  # noqa: ANN001
    plan = arm_plan(devices=[device(number, 3) for number in range(3)], max_new_tokens=4)
    expected = output_digest(run_virtual(plan).tokens)
    with served(plan, limits=IMPATIENT if attack in SLOW else TIGHT) as cloud:
        told: list[str] = []
        attacker = threading.Thread(target=lambda: told.append(attack(cloud)))
        attacker.start()
        run = drive(cloud)
        attacker.join()
        assert output_digest(run.tokens) == expected
        assert not any(row.failed for row in run.requests)
        cloud.until(lambda server: not server.connected)
        cloud.until(is_empty)
        assert output_digest(drive(cloud).tokens) == expected
    assert len(told) == 1
    assert any(part in told[0] for part in ATTACKS[attack].split("|")), told


def test_a_device_number_is_held_by_one_connection() -> None:
    with served(arm_plan()) as cloud:
        first = cloud.known(4)
        second = cloud.stranger()
        second.hello(4)
        assert "connected already" in second.goodbye()
        first.close()
        cloud.until(lambda server: not server.connected)
        cloud.known(4).close()


def test_strangers_that_wait_make_room_for_those_who_speak() -> None:
    with served(arm_plan(), limits=ServeLimits(max_strangers=3)) as cloud:
        silent = [cloud.stranger() for _ in range(10)]
        cloud.known(4).close()
        assert {peer.goodbye() for peer in silent[:6]} == {"others wait to say hello"}
        for peer in silent:
            peer.close()


def test_more_devices_than_allowed_are_turned_away() -> None:
    with served(arm_plan(), limits=ServeLimits(max_devices=1)) as cloud:
        first = cloud.known(0)
        second = cloud.stranger()
        second.hello(1)
        assert "try later" in second.goodbye()
        first.close()


def test_what_a_device_does_not_read_is_bounded() -> None:
    """Frames of 600 kB each: the kernel holds some, the server one more than its bound."""
    plan = arm_plan("costeer", [device(0)], codec="dense-fp32", max_new_tokens=100)
    limits = ServeLimits(max_unsent_bytes=1_000_000)
    with served(plan, generated_hosts(vocab_size=151_936), limits) as cloud:
        deaf = cloud.known(0)
        body = encode_open(Open(Role.LOGITS, 100, cloud.terms.fingerprint, (1, 2, 3)))
        for index in range(100):
            session = session_id(0, index)
            deaf.frame(encode_frame(Frame(FrameKind.OPEN, session, 0, 0, 0, body)))
            cloud.until(lambda server, sent=index: server.counters.frames_down > sent)  # type: ignore[misc]  # of this turn
            if not cloud.server.connected:
                break
            deaf.frame(encode_frame(Frame(FrameKind.CLOSE, session, 0, 0, 0)))
        cloud.until(lambda server: not server.connected)
        assert cloud.server.counters.closed == 1
        cloud.until(is_empty)
