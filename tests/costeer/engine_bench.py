"""One engine, driven by hand: every event is followed by ``validate``."""

from __future__ import annotations

from costeer.cloud import CloudEngine, EngineLimits, EngineSpec
from costeer.machine import (
    CloudForward,
    CloudSelect,
    Command,
    Compute,
    ComputeDone,
    FrameArrived,
    Selected,
    Send,
    SetTimer,
    Timer,
    TimerFired,
)
from costeer.messages import (
    Frame,
    FrameKind,
    Open,
    Role,
    decode_error,
    decode_frame,
    encode_frame,
    encode_open,
)
from costeer.refinement import Ladder, RefineConfig
from tests.costeer.invariants import validate
from tests.costeer.toy import EOS, FINGERPRINT, VOCAB

LIMITS = EngineLimits(
    max_batch=2,
    chunk_tokens=4,
    kv_tokens=40,
    max_context=30,
    max_sessions=3,
    max_waiting=2,
    idle_timeout_ns=1000,
)
LADDER = Ladder(4, VOCAB, RefineConfig(growth=2, max_rounds=2))


def open_frame(
    session: int = 1,
    epoch: int = 0,
    role: Role = Role.LOGITS,
    prompt: tuple[int, ...] = (5, 6),
    new: int = 4,
    chosen: tuple[int, ...] = (),
    fingerprint: int = FINGERPRINT,
) -> bytes:
    guide = prompt if role is Role.GUIDED else ()
    body = encode_open(Open(role, new, fingerprint, prompt, chosen, guide=guide))
    return encode_frame(Frame(FrameKind.OPEN, session, epoch, len(chosen), 0, body))


def frame(
    kind: FrameKind,
    session: int = 1,
    position: int = 0,
    round_: int = 0,
    body: bytes = b"",
    epoch: int = 0,
) -> bytes:
    return encode_frame(Frame(kind, session, epoch, position, round_, body))


class Bench:
    """One engine and a clock that moves by hand."""

    def __init__(self, limits: EngineLimits = LIMITS) -> None:
        self.engine = CloudEngine(EngineSpec(limits, VOCAB, EOS, FINGERPRINT, LADDER))
        self.now_ns = 10_000

    def tell(self, event: FrameArrived | TimerFired | ComputeDone) -> list[Command]:
        commands = self.engine.handle(event, self.now_ns)
        validate(self.engine)
        return commands

    def arrive(self, data: bytes) -> list[Command]:
        return self.tell(FrameArrived(data, 3))

    def begin(self) -> CloudForward | CloudSelect:
        """Fire the step's timer; return what it asks for."""
        return self.asked(self.tell(TimerFired(Timer.STEP, -1)))

    @staticmethod
    def asked(commands: list[Command]) -> CloudForward | CloudSelect:
        (op,) = (command.op for command in commands if isinstance(command, Compute))
        assert isinstance(op, CloudForward | CloudSelect)
        return op

    def end(self, op: CloudForward | CloudSelect, token: int = 9) -> list[Command]:
        """Let an operation finish; payloads name the ranks that they hold."""
        if isinstance(op, CloudForward):
            return self.tell(ComputeDone(op, None, 1))
        payloads = tuple(f"{item.first_rank}-{item.last_rank}".encode() for item in op.encode)
        return self.tell(ComputeDone(op, Selected(payloads, (token,) * len(op.choose)), 1))

    def step(self, token: int = 9) -> list[Command]:
        """One whole step: forward and select."""
        op = self.begin()
        if isinstance(op, CloudForward):
            op = self.asked(self.end(op))
        return self.end(op, token)


def frames(commands: list[Command]) -> list[Frame]:
    return [decode_frame(command.frame) for command in commands if isinstance(command, Send)]


def error(commands: list[Command]) -> str:
    (sent,) = frames(commands)
    assert sent.kind is FrameKind.ERROR
    return decode_error(sent.body)


def timers(commands: list[Command]) -> list[SetTimer]:
    return [command for command in commands if isinstance(command, SetTimer)]
