"""A device's half of a session on a bench: events by hand, and what it commands."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeVar

from costeer.certificate import Choice
from costeer.edge import EdgeSession
from costeer.machine import (
    CloudTrace,
    Command,
    Compute,
    ComputeDone,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Emit,
    Finish,
    FrameArrived,
    Send,
    Start,
)
from costeer.messages import (
    Frame,
    FrameKind,
    decode_frame,
    encode_frame,
)
from costeer.methods import method_named
from costeer.refinement import Ladder, RefineConfig
from costeer.session import SessionSpec
from costeer.token_record import TokenRecord

OpT = TypeVar("OpT", bound=EdgeOp)
SESSION = 7
SPEC = SessionSpec(
    session=SESSION,
    method=method_named("costeer"),
    public=(5, 6),
    personal=(33, 5, 6),
    max_new_tokens=3,
    eos=frozenset({0}),
    codec_fingerprint=0xC0DEC,
    ladder=Ladder(4, 40, RefineConfig(growth=2, max_rounds=1, at_cap="accept")),
)
STREAMED = replace(SPEC, method=method_named("llm_without"))
LOCAL = replace(SPEC, method=method_named("slm_with"))
SURE = Choice(9, certified=True, margin=2.0)
UNSURE = Choice(8, certified=False, margin=-1.0)


class Bench:
    """One session and a clock that moves by hand."""

    def __init__(self, spec: SessionSpec = SPEC, *, start: bool = True) -> None:
        self.spec = spec
        self.machine = EdgeSession(spec)
        self.now_ns = 1000
        if start:
            self.started = self.machine.handle(Start(), self.now_ns)

    def frame(
        self,
        kind: FrameKind,
        position: int = 0,
        round_: int = 0,
        body: bytes = b"",
        epoch: int = 0,
        session: int = SESSION,
        trace: CloudTrace | None = None,
        transit_ns: int = 4,
    ) -> list[Command]:
        data = encode_frame(Frame(kind, session, epoch, position, round_, body))
        return self.machine.handle(FrameArrived(data, transit_ns, trace), self.now_ns)

    def done(self, op: EdgeOp, value: object = None, duration_ns: int = 1) -> list[Command]:
        return self.machine.handle(ComputeDone(op, value, duration_ns), self.now_ns)

    def forward(self) -> EdgeForward:
        """The operation that Start asked for."""
        return only(self.started, EdgeForward)

    def choose(self, choice: object, position: int = 0) -> list[Command]:
        """Bring LOGITS, and the choice made from them."""
        op = only(self.frame(FrameKind.LOGITS, position, 0, b"ranks"), EdgeDecode)
        op_steer = only(self.done(op), EdgeSteer)
        return self.done(op_steer, choice)


def only(commands: list[Command], kind: type[OpT]) -> OpT:
    """The one operation that was asked for."""
    (command,) = (command for command in commands if isinstance(command, Compute))
    assert isinstance(command.op, kind)
    return command.op


def sent(commands: list[Command]) -> list[Frame]:
    return [decode_frame(command.frame) for command in commands if isinstance(command, Send)]


def records(commands: list[Command]) -> list[TokenRecord]:
    return [command.record for command in commands if isinstance(command, Emit)]


def finish(commands: list[Command]) -> Finish:
    last = commands[-1]
    assert isinstance(last, Finish)
    return last
