"""What every machine at a device has in common: its session's beginning, its end, its frames.

``edge.EdgeSession`` and ``drafting.DraftingSession`` say what happens between, and what they wait
for meanwhile. Here is what is done when that does not come (``patience``): the frames that asked
are sent again, and in the end the session is over, or goes on without its cloud (``solo``).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import TYPE_CHECKING

from costeer.certificate import Choice
from costeer.critical_path import critical_path
from costeer.errors import FrameError, LocalProtocolError, RemoteProtocolError
from costeer.machine import (
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeOp,
    Emit,
    Event,
    Finish,
    FrameArrived,
    Op,
    Release,
    Send,
    SetTimer,
    Start,
    Timer,
    TimerFired,
)
from costeer.messages import (
    Frame,
    FrameKind,
    decode_error,
    decode_frame,
    encode_open,
    filled,
)
from costeer.patience import Waiting
from costeer.session import open_body
from costeer.solo import Solo, can_finish_alone
from costeer.token_record import TokenRecord

if TYPE_CHECKING:
    from costeer.patience import Awaited
    from costeer.session import SessionSpec

_REQUESTS = frozenset({FrameKind.OPEN, FrameKind.TOKEN, FrameKind.MORE, FrameKind.DRAFT})
"""Frames that a machine sends one of at a time, each instead of the one before."""


class Endpoint(ABC):
    """A session at the device, whatever its method."""

    __slots__ = (
        "_alone",
        "_finished",
        "_gave_up_ns",
        "_outstanding",
        "_position",
        "_question",
        "_repeats",
        "_since_ns",
        "_solo",
        "_spec",
        "_started",
        "_waited_ns",
        "_waiting",
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
        self._waiting = Waiting(spec.patience) if spec.patience is not None else None
        self._question: Send | None = None
        self._repeats = 0
        self._alone = spec.alone
        self._gave_up_ns = 0
        self._solo: Solo | None = None

    @property
    def alone(self) -> bool:
        """Whether it has given its cloud up."""
        return self._alone

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
        if isinstance(event, TimerFired) and event.timer is Timer.ANSWER and self._waiting:
            commands = self._on_timer(self._waiting, now_ns)
        else:
            commands = self._advance(event, now_ns)
        return commands if self._waiting is None else commands + self._watch(now_ns)

    def _advance(self, event: Event, now_ns: int) -> list[Command]:
        if isinstance(event, FrameArrived):
            return self._on_frame(event, now_ns) if self._started and not self._alone else []
        if isinstance(event, ComputeDone) and event.op in self._outstanding:
            self._outstanding.remove(event.op)
            if self._alone:
                return self._on_computed_alone(event, now_ns)
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
    def _awaited(self) -> Awaited | None:
        """What the session waits for from the cloud; None where it waits for nothing."""

    @abstractmethod
    def _cached(self) -> tuple[list[int], tuple[int, ...]]:
        """What a small model holds whose operations have all ended; see ``Solo``."""

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
        if spec.method.cloud_prompt is not None and not self._alone:
            body = encode_open(open_body(spec))
            commands.append(self._send(FrameKind.OPEN, self._position, 0, body))
        if spec.method.edge_branches:
            prompts = [spec.branch_prompt(branch) for branch in spec.method.edge_branches]
            runs = tuple(prompt + spec.chosen for prompt in prompts)
            if spec.kept:
                runs = tuple(run[-1:] for run in runs)
            commands += [self._forward(runs)] if self._alone else self._begin(runs)
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

    # ------------------------------------------------------------------ a cloud that is silent

    def _watch(self, now_ns: int) -> list[Command]:
        """See to it that a timer fires when the cloud has not answered in time."""
        if self._waiting is None or not self._started:
            return []
        awaited = None if self._finished or self._alone else self._awaited()
        due_ns = self._waiting.watch(awaited, now_ns)
        return [] if due_ns is None else [SetTimer(due_ns, Timer.ANSWER, self._spec.session)]

    def _on_timer(self, waiting: Waiting, now_ns: int) -> list[Command]:
        waiting.fired(now_ns)
        if not waiting.is_over(now_ns):
            return []
        if waiting.repeat(now_ns):
            again = self._again()
            self._repeats += len(again)
            return list(again)
        patience = self._spec.patience
        if patience is None or not patience.falls_back or not can_finish_alone(self._spec):
            return self._fail(waiting.reason(now_ns))
        self._alone = True
        self._gave_up_ns = now_ns
        return [self._send(FrameKind.CLOSE, self._position, 0), *self._go_on_alone(now_ns)]

    def _again(self) -> list[Send]:
        """Return the frames that asked for what is waited for."""
        return [] if self._question is None else [self._question]

    def _on_computed_alone(self, event: ComputeDone, now_ns: int) -> list[Command]:
        """Take the small model's results; those of before the cloud was given up tell nothing."""
        solo = self._solo
        if solo is None or not isinstance(event.op, EdgeChoose):
            return self._go_on_alone(now_ns)
        if not isinstance(event.value, Choice):
            raise LocalProtocolError(
                f"session {self._spec.session}: {event.op} gave {event.value!r}, not a choice"
            )
        return self._accept_alone(solo, event.value, now_ns)

    def _go_on_alone(self, now_ns: int) -> list[Command]:
        if self._outstanding:
            return []
        if self._solo is None:
            self._solo = Solo(self._spec, *self._cached(), now_ns)
        return [self._ask(self._solo.next_op(self._position, now_ns))]

    def _accept_alone(self, solo: Solo, choice: Choice, now_ns: int) -> list[Command]:
        spec = self._spec
        latency_ns = now_ns - self._since_ns
        waited_ns = max(0, self._gave_up_ns - self._since_ns - self._waited_ns)
        began_ns = max(self._since_ns + self._waited_ns, self._gave_up_ns)
        decided_ns = solo.decided_from_ns
        stages_ns = (
            *(self._waited_ns, 0, 0, waited_ns, 0, 0, 0, 0),
            decided_ns - began_ns,
            now_ns - decided_ns,
        )
        record = TokenRecord(
            spec.session,
            self._position,
            choice.token,
            latency_ns,
            critical_path(latency_ns, stages_ns),
            certified=False,
            margin=choice.margin,
            fallback=True,
            repeats=self._repeats,
        )
        commands: list[Command] = [Emit(record)]
        if choice.token in spec.eos:
            return commands + self._end("eos", failed=False, tell=False)
        if self._position + 1 == spec.max_new_tokens:
            return commands + self._end("length", failed=False, tell=False)
        self._next_position(now_ns)
        solo.chose(choice.token)
        return commands + self._go_on_alone(now_ns)

    def _next_position(self, now_ns: int) -> None:
        self._position += 1
        self._since_ns = now_ns
        self._waited_ns = 0
        self._repeats = 0

    # ------------------------------------------------------------------ helpers

    def _ask(self, op: EdgeOp) -> Compute:
        self._outstanding.append(op)
        return Compute(op)

    def _send(self, kind: FrameKind, position: int, round_: int, body: bytes = b"") -> Send:
        spec = self._spec
        frame = Frame(kind, spec.session, spec.epoch, position, round_, body)
        sent = Send(spec.session, filled(frame, spec.bucket_bytes))
        if kind in _REQUESTS:
            self._question = sent
        return sent
