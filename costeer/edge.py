"""The device's half of a session, as a machine without I/O.

Theory of operation
-------------------
A session decides tokens at positions 0, 1, 2, … . For a steered method the device, at each
position, waits for two things at once: LOGITS from the cloud and its own small model. When both
are there it steers, certifies and chooses, or asks for MORE ranks. The chosen token goes up as
TOKEN and into the small model at the same time (``overlap`` can have the small model wait for the
logits, or work out Δ before they come). A streamed method only listens; a local method only
computes.

Frames are taken by (session, epoch, position, round); whatever is repeated, late or early beyond
use is dropped here, never by a driver. Streamed tokens that overtook an earlier one are kept until
it is there. What is not a frame, or a frame that no cloud sends to this session, ends the session:
no answer is given twice, so what was damaged would be waited for for ever.

============  ==============================  ===========================================
waits for     event                           then
============  ==============================  ===========================================
logits        LOGITS of this round            decode
slm           forward done                    nothing | work out Δ
logits, slm   both done                       steer
steer         choice, certified               record, TOKEN + forward | CLOSE and finish
steer         choice, not certified           MORE | accept at the ladder's end
============  ==============================  ===========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.certificate import Choice
from costeer.critical_path import critical_path, waited_for_cloud
from costeer.endpoint import Endpoint
from costeer.errors import LocalProtocolError
from costeer.machine import (
    CloudTrace,
    Command,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeSteer,
    Emit,
    FrameArrived,
)
from costeer.messages import Frame, FrameKind, decode_token, encode_token
from costeer.methods import Prompt
from costeer.overlap import OverlapConfig
from costeer.session import own_prompts
from costeer.token_record import TokenRecord

if TYPE_CHECKING:
    from costeer.patience import Awaited
    from costeer.session import SessionSpec

_NO_TRACE = CloudTrace(0, 0, 0, 0)
_RUNS = (EdgeForward, EdgeDelta)
"""What is done with the small model before anything is chosen."""


class EdgeSession(Endpoint):
    """One session at the device; see the module's table."""

    __slots__ = (
        "_arrived_ns",
        "_branch_lengths",
        "_busy_ns",
        "_decoded",
        "_downlink_ns",
        "_early",
        "_forward_done",
        "_forward_ns",
        "_held",
        "_overlap",
        "_received",
        "_refine_from_ns",
        "_round",
        "_sizes",
        "_steer_from_ns",
        "_steer_ns",
        "_trace",
        "_wait_from_ns",
        "_wait_ns",
    )

    def __init__(self, spec: SessionSpec) -> None:
        """Make a session that waits for ``Start``.

        Raises:
            LocalProtocolError: its tokens are already chosen, all of them.
        """
        super().__init__(spec)
        self._overlap = spec.overlap or OverlapConfig()
        self._held: tuple[tuple[int, ...], ...] = ()
        self._branch_lengths = [0] * len(spec.method.edge_branches)
        if spec.kept:
            # The last token is run once more: its logits may be gone, or never have been there.
            text = [spec.branch_prompt(branch) for branch in spec.method.edge_branches]
            self._branch_lengths = [len(each) + len(spec.chosen) - 1 for each in text]
        self._round = 0
        self._forward_ns = 0
        self._received = False
        self._downlink_ns = 0
        self._early: dict[int, tuple[int, int, CloudTrace | None]] = {}
        self._sizes: tuple[int, ...] = ()
        self._clear_step()

    # ------------------------------------------------------------------ frames

    def _take(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.kind is FrameKind.LOGITS and self._spec.method.steered:
            return self._on_logits(frame, event, now_ns)
        if frame.kind is FrameKind.STREAM and self._spec.method.streamed:
            return self._on_stream(frame, event, now_ns)
        raise self._uncalled_for(frame)

    def _on_logits(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.position != self._position or frame.round != self._round or self._received:
            return []
        self._received = True
        self._sizes = (*self._sizes, len(frame.body))
        if frame.round == 0:
            self._arrived_ns = now_ns
            self._downlink_ns = event.transit_ns
            self._trace = event.trace or _NO_TRACE
        return [self._ask(EdgeDecode(frame.session, self._position, self._round, frame.body))]

    def _on_stream(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if not self._position <= frame.position < self._spec.max_new_tokens:
            return []
        sent_ns = now_ns - event.transit_ns
        self._question = None
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
                (self._waited_ns, 0, *cloud_stages(trace), longer_ns),
            )
            choice = Choice(token, certified=True, margin=0.0)
            commands += self._accept(choice, stages, now_ns, told=True)
        return commands

    # ------------------------------------------------------------------ a cloud that is silent

    def _awaited(self) -> Awaited | None:
        if self._spec.method.streamed:
            return self._position, 0
        waits = self._spec.method.steered and not self._received
        return (self._position, self._round) if waits else None

    def _cached(self) -> tuple[list[int], tuple[int, ...]]:
        if not self._held:
            return self._branch_lengths, ()
        return self._branch_lengths, self._held[
            self._spec.method.edge_branches.index(Prompt.PERSONAL)
        ]

    # ------------------------------------------------------------------ computations

    def _on_computed(self, event: ComputeDone, now_ns: int) -> list[Command]:
        if isinstance(event.op, _RUNS):
            self._forward_ns += event.duration_ns
            if self._overlap.delta and isinstance(event.op, EdgeForward):
                session, position = self._spec.session, self._position
                return [self._ask(EdgeDelta(session, position, self._overlap.sparse))]
            self._forward_done = True
            if self._spec.method.steered:
                return self._steer_when_ready(now_ns)
            self._wait_ns = now_ns - self._since_ns - self._waited_ns
            self._steer_from_ns = now_ns
            return [self._ask(EdgeChoose(self._spec.session, self._position))]
        if isinstance(event.op, EdgeDecode):
            self._decoded = True
            if self._round == 0:
                self._wait_from_ns = now_ns
            if self._held:
                held, self._held = self._held, ()
                return [self._forward(held)]
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
        prepared, sparse = self._overlap.delta, self._overlap.sparse
        op = EdgeSteer(
            self._spec.session, self._position, self._round, prepared=prepared, sparse=sparse
        )
        return [self._ask(op)]

    def _on_choice(self, choice: Choice, now_ns: int) -> list[Command]:
        if self._round == 0:
            self._steer_ns = now_ns - self._steer_from_ns
            self._refine_from_ns = now_ns
        next_round = self._round + 1
        undecided = self._spec.method.steered and not (choice.certified or choice.final)
        if undecided and self._spec.ladder.has(next_round):
            self._round = next_round
            self._received = self._decoded = False
            return [self._send(FrameKind.MORE, self._position, self._round)]
        decode_ns = self._wait_from_ns - self._arrived_ns
        stages = critical_path(
            now_ns - self._since_ns,
            (
                self._waited_ns,
                0,  # nothing is drafted
                *cloud_stages(self._trace),
                self._downlink_ns,
                decode_ns,
                self._wait_ns,
                self._steer_ns,
                now_ns - self._refine_from_ns,
            ),
        )
        self._busy_ns = max(0, self._forward_ns - self._wait_ns)
        return self._accept(choice, stages, now_ns, told=not self._spec.method.steered)

    def _begin(self, tokens: tuple[tuple[int, ...], ...]) -> list[Command]:
        if self._overlap.forward:
            return [self._forward(tokens)]
        self._held = tokens
        return []

    def _forward(self, tokens: tuple[tuple[int, ...], ...]) -> Command:
        starts = tuple(self._branch_lengths)
        prompts = () if any(starts) else own_prompts(self._spec)
        for branch, run in enumerate(tokens):
            self._branch_lengths[branch] += len(run)
        return self._ask(EdgeForward(self._spec.session, tokens, starts, prompts=prompts))

    # ------------------------------------------------------------------ tokens

    def _accept(
        self, choice: Choice, stages: tuple[int, ...], now_ns: int, *, told: bool
    ) -> list[Command]:
        """Take a token: record it, tell the cloud unless it has been told, and go on."""
        spec = self._spec
        record = TokenRecord(
            spec.session,
            self._position,
            choice.token,
            now_ns - self._since_ns,
            waited_for_cloud(stages) if self._repeats else stages,
            self._busy_ns,
            self._round,
            choice.certified,
            choice.margin,
            repeats=self._repeats,
            payload_bytes=self._sizes,
        )
        commands: list[Command] = [Emit(record)]
        if choice.token in spec.eos:
            return commands + self._end("eos", failed=False, tell=not told, round_=self._round)
        if self._position + 1 == spec.max_new_tokens:
            return commands + self._end("length", failed=False, tell=not told, round_=self._round)
        if not told:
            body = encode_token(choice.token)
            commands.append(self._send(FrameKind.TOKEN, self._position, self._round, body))
        self._next_position(now_ns)
        self._clear_step()
        if spec.method.edge_branches:
            commands += self._begin(((choice.token,),) * len(spec.method.edge_branches))
        return commands

    def _clear_step(self) -> None:
        self._round = 0
        self._sizes = ()
        self._received = self._decoded = self._forward_done = False
        self._trace = _NO_TRACE
        self._forward_ns = self._busy_ns = 0
        self._arrived_ns = self._wait_from_ns = self._wait_ns = 0
        self._steer_from_ns = self._steer_ns = self._refine_from_ns = 0


def cloud_stages(trace: CloudTrace | None) -> tuple[int, int, int, int]:
    """Return a cloud's durations in the order of ``STAGES``; 0 where nobody told them."""
    trace = trace or _NO_TRACE
    return trace.uplink_ns, trace.queue_ns, trace.compute_ns, trace.select_ns
