"""The device's half of a session, as a machine without I/O.

Theory of operation
-------------------
A session decides tokens at positions 0, 1, 2, … . For a steered method the device, at each
position, waits for two things at once: LOGITS from the cloud and its own small model. When both
are there it steers, certifies and chooses, or asks for MORE ranks. The chosen token goes up as
TOKEN and into the small model at the same time. A streamed method only listens; a local method
only computes.

Frames are taken by (session, epoch, position, round); whatever is repeated, late or early beyond
use is dropped here, never by a driver. Streamed tokens that overtook an earlier one are kept until
it is there. What is not a frame, or a frame that no cloud sends to this session, ends the session:
nothing is sent twice, so what was damaged would be waited for for ever.

============  ==============================  ===========================================
waits for     event                           then
============  ==============================  ===========================================
logits        LOGITS of this round            decode
logits, slm   both done                       steer
steer         choice, certified               record, TOKEN + forward | CLOSE and finish
steer         choice, not certified           MORE | accept at the ladder's end
============  ==============================  ===========================================
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costeer.certificate import Choice
from costeer.errors import FrameError, LocalProtocolError, RemoteProtocolError
from costeer.machine import (
    STAGES,
    CloudTrace,
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    Emit,
    Event,
    Finish,
    FrameArrived,
    Op,
    Release,
    Send,
    Start,
    TokenRecord,
)
from costeer.messages import (
    Frame,
    FrameKind,
    Open,
    Role,
    decode_error,
    decode_frame,
    decode_token,
    encode_open,
    encode_token,
    filled,
)
from costeer.methods import CloudRole, Method, Prompt

if TYPE_CHECKING:
    from collections.abc import MutableSequence

    from costeer.refinement import Ladder

_NO_TRACE = CloudTrace(0, 0, 0, 0)
_ROLES = {CloudRole.LOGITS: Role.LOGITS, CloudRole.STREAM: Role.STREAM}


@dataclass(frozen=True, slots=True)
class SessionSpec:
    """What one session is to do.

    Args:
        session: id, unique in the run.
        method: who sees what and who chooses.
        public: prompt ids without the private context.
        personal: prompt ids with it.
        max_new_tokens: the most tokens to generate, resumed ones included.
        eos: ids that end a text.
        codec_fingerprint: of the codec that LOGITS come in.
        ladder: ranks per refinement round.
        round_trip_bytes: what the device's link could carry in a round trip; 0 where no starting k
            learns.
        bucket_bytes: frame sizes are multiples of this.
        epoch: 0, and one more after each resumption.
        chosen: tokens that an earlier epoch chose.
    """

    session: int
    method: Method
    public: tuple[int, ...]
    personal: tuple[int, ...]
    max_new_tokens: int
    eos: frozenset[int]
    codec_fingerprint: int
    ladder: Ladder
    epoch: int = 0
    chosen: tuple[int, ...] = ()
    round_trip_bytes: int = 0
    bucket_bytes: int = 1

    def prompt(self, which: Prompt) -> tuple[int, ...]:
        """Return one of the two prompts."""
        return self.public if which is Prompt.PUBLIC else self.personal


def open_body(spec: SessionSpec) -> Open:
    """Return what a session asks of the cloud.

    Raises:
        LocalProtocolError: it asks nothing of a cloud.
    """
    method = spec.method
    if method.cloud_prompt is None:
        raise LocalProtocolError(f"{method.name} opens no session at a cloud")
    return Open(
        role=_ROLES[method.cloud],
        max_new_tokens=spec.max_new_tokens,
        codec_fingerprint=spec.codec_fingerprint if method.steered else 0,
        prompt=spec.prompt(method.cloud_prompt),
        chosen=spec.chosen,
        round_trip_bytes=spec.round_trip_bytes if method.steered else 0,
    )


class EdgeSession:
    """One session at the device; see the module's table."""

    __slots__ = (
        "_arrived_ns",
        "_branch_lengths",
        "_busy_ns",
        "_decoded",
        "_downlink_ns",
        "_early",
        "_finished",
        "_forward_done",
        "_forward_ns",
        "_outstanding",
        "_position",
        "_received",
        "_refine_from_ns",
        "_round",
        "_since_ns",
        "_spec",
        "_started",
        "_steer_from_ns",
        "_steer_ns",
        "_trace",
        "_wait_from_ns",
        "_wait_ns",
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
        self._position = len(spec.chosen)
        self._round = 0
        self._received = False
        self._branch_lengths = [0] * len(spec.method.edge_branches)
        self._finished = False
        self._since_ns = 0
        self._waited_ns = 0
        self._downlink_ns = 0
        self._early: dict[int, tuple[int, int, CloudTrace | None]] = {}
        self._clear_step()

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
            return self._on_computed(event, now_ns)
        if isinstance(event, Start) and not self._started:
            return self._on_start(event, now_ns)
        raise LocalProtocolError(f"session {self._spec.session}: unexpected {event}")

    # ------------------------------------------------------------------ start

    def _on_start(self, event: Start, now_ns: int) -> list[Command]:
        spec = self._spec
        self._started = True
        self._since_ns = now_ns if event.intended_ns is None else min(event.intended_ns, now_ns)
        self._waited_ns = now_ns - self._since_ns
        commands: list[Command] = []
        if spec.method.cloud_prompt is not None:
            commands.append(self._send(FrameKind.OPEN, encode_open(open_body(spec))))
        if spec.method.edge_branches:
            commands.append(
                self._forward(
                    tuple(spec.prompt(branch) + spec.chosen for branch in spec.method.edge_branches)
                )
            )
        return commands

    # ------------------------------------------------------------------ frames

    def _on_frame(self, event: FrameArrived, now_ns: int) -> list[Command]:
        try:
            frame = decode_frame(event.frame)
            if (frame.session, frame.epoch) != (self._spec.session, self._spec.epoch):
                return []
            if frame.kind is FrameKind.LOGITS and self._spec.method.steered:
                return self._on_logits(frame, event, now_ns)
            if frame.kind is FrameKind.STREAM and self._spec.method.streamed:
                return self._on_stream(frame, event, now_ns)
        except FrameError as error:
            return self._fail(str(error))
        if frame.kind is FrameKind.ERROR:
            return self._fail(f"cloud: {decode_error(frame.body)}", tell=False)
        return self._fail(f"{frame.kind.name} frame came down to {self._spec.method.name}")

    def _on_logits(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.position != self._position or frame.round != self._round or self._received:
            return []
        self._received = True
        if frame.round == 0:
            self._arrived_ns = now_ns
            self._downlink_ns = event.transit_ns
            self._trace = event.trace or _NO_TRACE
        return [self._ask(EdgeDecode(frame.session, self._position, self._round, frame.body))]

    def _on_stream(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if not self._position <= frame.position < self._spec.max_new_tokens:
            return []
        sent_ns = now_ns - event.transit_ns
        self._early.setdefault(frame.position, (decode_token(frame.body), sent_ns, event.trace))
        commands: list[Command] = []
        while not self._finished and self._position in self._early:
            token, sent_ns, trace = self._early.pop(self._position)
            # Tokens follow each other as fast as the cloud makes them, however long they are under
            # way; only what the way grew by since the previous token delays this one.
            transit_ns = now_ns - sent_ns
            longer_ns = transit_ns - self._downlink_ns
            self._downlink_ns = transit_ns
            stages = critical_path(
                now_ns - self._since_ns,
                (self._waited_ns, *_cloud_stages(trace or _NO_TRACE), longer_ns),
            )
            commands += self._accept(Choice(token, certified=True, margin=0.0), stages, now_ns)
        return commands

    # ------------------------------------------------------------------ computations

    def _on_computed(self, event: ComputeDone, now_ns: int) -> list[Command]:
        if isinstance(event.value, RemoteProtocolError):
            return self._fail(str(event.value))
        if isinstance(event.op, EdgeForward):
            self._forward_done = True
            self._forward_ns = event.duration_ns
            if self._spec.method.steered:
                return self._steer_when_ready(now_ns)
            self._wait_ns = now_ns - self._since_ns - self._waited_ns
            self._steer_from_ns = now_ns
            return [self._ask(EdgeChoose(self._spec.session, self._position))]
        if isinstance(event.op, EdgeDecode):
            self._decoded = True
            if self._round == 0:
                self._wait_from_ns = now_ns
            return self._steer_when_ready(now_ns)
        if not isinstance(event.value, Choice):
            raise LocalProtocolError(
                f"session {self._spec.session}: {event.op} gave {event.value!r}, not a choice"
            )
        return self._on_choice(event.value, now_ns)

    def _steer_when_ready(self, now_ns: int) -> list[Command]:
        if not (self._decoded and self._forward_done):
            return []
        if self._round == 0:
            self._wait_ns = now_ns - self._wait_from_ns
            self._steer_from_ns = now_ns
        return [self._ask(EdgeSteer(self._spec.session, self._position, self._round))]

    def _on_choice(self, choice: Choice, now_ns: int) -> list[Command]:
        if self._round == 0:
            self._steer_ns = now_ns - self._steer_from_ns
            self._refine_from_ns = now_ns
        next_round = self._round + 1
        undecided = self._spec.method.steered and not (choice.certified or choice.final)
        if undecided and self._spec.ladder.has(next_round):
            self._round = next_round
            self._received = self._decoded = False
            return [self._send(FrameKind.MORE)]
        decode_ns = self._wait_from_ns - self._arrived_ns
        stages = critical_path(
            now_ns - self._since_ns,
            (
                self._waited_ns,
                *_cloud_stages(self._trace),
                self._downlink_ns,
                decode_ns,
                self._wait_ns,
                self._steer_ns,
                now_ns - self._refine_from_ns,
            ),
        )
        self._busy_ns = max(0, self._forward_ns - self._wait_ns)
        return self._accept(choice, stages, now_ns)

    # ------------------------------------------------------------------ tokens

    def _accept(self, choice: Choice, stages: tuple[int, ...], now_ns: int) -> list[Command]:
        spec = self._spec
        record = TokenRecord(
            spec.session,
            self._position,
            choice.token,
            now_ns - self._since_ns,
            stages,
            self._busy_ns,
            self._round,
            choice.certified,
            choice.margin,
        )
        commands: list[Command] = [Emit(record)]
        if choice.token in spec.eos:
            return commands + self._end("eos", failed=False, tell=spec.method.steered)
        if self._position + 1 == spec.max_new_tokens:
            return commands + self._end("length", failed=False, tell=spec.method.steered)
        if spec.method.steered:
            commands.append(self._send(FrameKind.TOKEN, encode_token(choice.token)))
        self._position += 1
        self._since_ns = now_ns
        self._waited_ns = 0
        self._clear_step()
        if spec.method.edge_branches:
            commands.append(self._forward(((choice.token,),) * len(spec.method.edge_branches)))
        return commands

    def _fail(self, reason: str, *, tell: bool = True) -> list[Command]:
        return self._end(
            reason, failed=True, tell=tell and self._spec.method.cloud_prompt is not None
        )

    def _end(self, reason: str, *, failed: bool, tell: bool) -> list[Command]:
        self._finished = True
        commands: list[Command] = [self._send(FrameKind.CLOSE)] if tell else []
        if self._spec.method.edge_branches:
            commands.append(Release(self._spec.session))
        commands.append(Finish(self._spec.session, reason, failed=failed))
        return commands

    # ------------------------------------------------------------------ helpers

    def _forward(self, tokens: tuple[tuple[int, ...], ...]) -> Compute:
        starts = tuple(self._branch_lengths)
        for branch, run in enumerate(tokens):
            self._branch_lengths[branch] += len(run)
        return self._ask(EdgeForward(self._spec.session, tokens, starts))

    def _ask(self, op: EdgeOp) -> Compute:
        self._outstanding.append(op)
        return Compute(op)

    def _send(self, kind: FrameKind, body: bytes = b"") -> Send:
        spec = self._spec
        frame = Frame(kind, spec.session, spec.epoch, self._position, self._round, body)
        return Send(spec.session, filled(frame, spec.bucket_bytes))

    def _clear_step(self) -> None:
        self._round = 0
        self._received = self._decoded = self._forward_done = False
        self._trace = _NO_TRACE
        self._forward_ns = self._busy_ns = 0
        self._arrived_ns = self._wait_from_ns = self._wait_ns = 0
        self._steer_from_ns = self._steer_ns = self._refine_from_ns = 0


def _cloud_stages(trace: CloudTrace) -> tuple[int, int, int, int]:
    return trace.uplink_ns, trace.queue_ns, trace.compute_ns, trace.select_ns


def critical_path(latency_ns: int, stages_ns: tuple[int, ...]) -> tuple[int, ...]:
    """Return the part of each stage that a token's latency consists of.

    The stages are walked back from the token's instant until the latency is used up: where the way
    of a streamed token was shorter than its predecessor's, part of its making lies before. What the
    stages do not explain is ``overhead``, so the result always sums to ``latency_ns``.

    Args:
        latency_ns: since the previous token, at least 0.
        stages_ns: durations in the order of ``STAGES``, without ``overhead``; missing ones at the
            end are 0, and so is one that clocks of a live run made negative.
    """
    path = list(stages_ns) + [0] * (len(STAGES) - len(stages_ns))
    walk_back(latency_ns, path)
    return tuple(path)


def walk_back(latency_ns: int, stages_ns: MutableSequence[int]) -> None:
    """Cut durations, in place, to the part that a latency consists of; see ``critical_path``.

    Integers only, so that compiled code can call it.

    Args:
        latency_ns: what they are to sum to.
        stages_ns: one figure per ``STAGES``; the last one is replaced by what they do not explain.
    """
    last = len(stages_ns) - 1
    for index in range(last - 1, -1, -1):
        part_ns = max(0, min(stages_ns[index], latency_ns))
        stages_ns[index] = part_ns
        latency_ns -= part_ns
    stages_ns[last] = latency_ns
