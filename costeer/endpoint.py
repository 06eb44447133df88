"""What every machine at a device has in common: its session's beginning, its end, its frames.

``edge.EdgeSession`` and ``drafting.DraftingSession`` say what happens between.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from costeer.errors import FrameError, LocalProtocolError, RemoteProtocolError
from costeer.machine import (
    Command,
    Compute,
    ComputeDone,
    EdgeOp,
    Event,
    Finish,
    FrameArrived,
    Op,
    Release,
    Send,
    Start,
)
from costeer.messages import (
    Frame,
    FrameKind,
    decode_error,
    decode_frame,
    encode_open,
    filled,
)
from costeer.session import open_body

if TYPE_CHECKING:
    from costeer.session import SessionSpec


class Endpoint(ABC):
    """A session at the device, whatever its method."""

    __slots__ = (
        "_finished",
        "_outstanding",
        "_position",
        "_since_ns",
        "_spec",
        "_started",
        "_waited_ns",
    )

    def __init__(self, spec: SessionSpec) -> None:
        """Make a session that waits for ``Start``.

        Raises:
            LocalProtocolError: its tokens are already chosen, all of them.
        """
        if len(spec.chosen) >= spec.max_new_tokens or not spec.eos.isdisjoint(spec.chosen):
            raise LocalProtocolError(
                f"session {spec.session}: {len(spec.chosen)} of {spec.max_new_tokens} tokens are"
                " chosen, nothing is left to resume"
            )
        self._spec = spec
        self._outstanding: list[Op] = []
        self._started = False
        self._finished = False
        self._position = len(spec.chosen)
        self._since_ns = 0
        self._waited_ns = 0

    @property
    def finished(self) -> bool:
        """Whether the session is over."""
        return self._finished

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """Advance by one event.

        Raises:
            LocalProtocolError: an event that this session cannot have asked for.
        """
        if self._finished:
            return []
        if isinstance(event, FrameArrived):
            return self._on_frame(event, now_ns) if self._started else []
        if isinstance(event, ComputeDone) and event.op in self._outstanding:
            self._outstanding.remove(event.op)
            if isinstance(event.value, RemoteProtocolError):
                return self._fail(str(event.value))
            return self._on_computed(event, now_ns)
        if isinstance(event, Start) and not self._started:
            return self._on_start(event, now_ns)
        raise LocalProtocolError(f"session {self._spec.session}: unexpected {event}")

    @abstractmethod
    def _take(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        """Take a frame of this session and epoch that is no ERROR.

        Raises:
            FrameError: no cloud sends it to such a session.
        """

    @abstractmethod
    def _on_computed(self, event: ComputeDone, now_ns: int) -> list[Command]:
        """Take a result that is no error of the peer's."""

    @abstractmethod
    def _forward(self, tokens: tuple[tuple[int, ...], ...]) -> Command:
        """Have every branch run its next tokens."""

    def _begin(self, tokens: tuple[tuple[int, ...], ...]) -> list[Command]:
        """Have every branch run its next tokens, as soon as it may."""
        return [self._forward(tokens)]

    # ------------------------------------------------------------------ beginning and end

    def _on_start(self, event: Start, now_ns: int) -> list[Command]:
        spec = self._spec
        self._started = True
        self._since_ns = now_ns if event.intended_ns is None else min(event.intended_ns, now_ns)
        self._waited_ns = now_ns - self._since_ns
        commands: list[Command] = []
        if spec.method.cloud_prompt is not None:
            body = encode_open(open_body(spec))
            commands.append(self._send(FrameKind.OPEN, self._position, 0, body))
        if spec.method.edge_branches:
            prompts = [spec.branch_prompt(branch) for branch in spec.method.edge_branches]
            commands += self._begin(tuple(prompt + spec.chosen for prompt in prompts))
        return commands

    def _on_frame(self, event: FrameArrived, now_ns: int) -> list[Command]:
        try:
            frame = decode_frame(event.frame)
            if (frame.session, frame.epoch) != (self._spec.session, self._spec.epoch):
                return []
            if frame.kind is FrameKind.ERROR:
                return self._fail(f"cloud: {decode_error(frame.body)}", tell=False)
            return self._take(frame, event, now_ns)
        except FrameError as error:
            return self._fail(str(error))

    def _uncalled_for(self, frame: Frame) -> FrameError:
        return FrameError(f"{frame.kind.name} frame came down to {self._spec.method.name}")

    def _fail(self, reason: str, *, tell: bool = True) -> list[Command]:
        tell = tell and self._spec.method.cloud_prompt is not None
        return self._end(reason, failed=True, tell=tell)

    def _end(self, reason: str, *, failed: bool, tell: bool, round_: int = 0) -> list[Command]:
        self._finished = True
        commands: list[Command] = []
        if tell:
            commands.append(self._send(FrameKind.CLOSE, self._position, round_))
        if self._spec.method.edge_branches:
            commands.append(Release(self._spec.session))
        commands.append(Finish(self._spec.session, reason, failed=failed))
        return commands

    # ------------------------------------------------------------------ helpers

    def _own_prompts(self) -> tuple[int, ...]:
        """Return how long the prompts of the branches are, where their ids are not the cloud's."""
        spec = self._spec
        if spec.own is None:
            return ()
        return tuple(len(spec.branch_prompt(branch)) for branch in spec.method.edge_branches)

    def _ask(self, op: EdgeOp) -> Compute:
        self._outstanding.append(op)
        return Compute(op)

    def _send(self, kind: FrameKind, position: int, round_: int, body: bytes = b"") -> Send:
        spec = self._spec
        frame = Frame(kind, spec.session, spec.epoch, position, round_, body)
        return Send(spec.session, filled(frame, spec.bucket_bytes))
