"""The device's half of a session whose steering pauses, as a machine without I/O.

``costeer.gate`` says when. The device is told by what comes down: LOGITS of a position are steered
as ever; STREAM is the cloud's own token, which stands. Of a token that the cloud has chosen nothing
goes up. The small model follows the text all the while, so that steering can come back: tokens
that came while it was running are its next run, together.

=========  ===========================  ========================================
waits for  event                        then
=========  ===========================  ========================================
a frame    STREAM of this position      record, follow | finish
a frame    LOGITS of this position      as ``edge``
a frame    a later position's           kept until it is its turn
slm        forward done, text went on   forward of all that came since
=========  ===========================  ========================================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.certificate import Choice
from costeer.critical_path import critical_path
from costeer.edge import EdgeSession, cloud_stages
from costeer.machine import Command, ComputeDone, EdgeForward, FrameArrived
from costeer.messages import Frame, FrameKind, decode_token

if TYPE_CHECKING:
    from costeer.session import SessionSpec


class GatedSession(EdgeSession):
    """One steered session at the device, its steering paused now and then."""

    __slots__ = ("_kept", "_transit_ns", "_unread")

    def __init__(self, spec: SessionSpec) -> None:
        """Make a session that waits for ``Start``.

        Raises:
            LocalProtocolError: its tokens are already chosen, all of them.
        """
        super().__init__(spec)
        self._kept: dict[int, tuple[Frame, FrameArrived, int]] = {}
        self._unread: list[tuple[int, ...]] = []
        self._transit_ns = 0

    def _take(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.kind not in {FrameKind.LOGITS, FrameKind.STREAM}:
            raise self._uncalled_for(frame)
        if frame.kind is FrameKind.LOGITS and frame.round:
            return self._on_logits(frame, event, now_ns)
        if not self._position <= frame.position < self._spec.max_new_tokens:
            return []
        self._kept.setdefault(frame.position, (frame, event, now_ns - event.transit_ns))
        commands: list[Command] = []
        while not self._finished and not self._received and self._position in self._kept:
            commands += self._take_next(*self._kept.pop(self._position), now_ns)
        return commands

    def _take_next(
        self, frame: Frame, event: FrameArrived, sent_ns: int, now_ns: int
    ) -> list[Command]:
        # As of a stream: of what the cloud sent without waiting, only what the way grew by delays.
        transit_ns = now_ns - sent_ns
        longer_ns = transit_ns - self._transit_ns
        if frame.kind is FrameKind.LOGITS:
            self._transit_ns = 0
            return self._on_logits(frame, FrameArrived(event.frame, longer_ns, event.trace), now_ns)
        self._transit_ns = transit_ns
        stages = critical_path(
            now_ns - self._since_ns,
            (self._waited_ns, 0, *cloud_stages(event.trace), longer_ns),
        )
        self._busy_ns = self._forward_ns
        choice = Choice(decode_token(frame.body), certified=False, margin=0.0, final=True)
        return self._accept(choice, stages, now_ns, told=True)

    # ------------------------------------------------------------------ a cloud that is silent

    def _cached(self) -> tuple[list[int], tuple[int, ...]]:
        starts, run = super()._cached()
        return starts, (*run, *(token for tokens in self._unread for token in tokens))

    # ------------------------------------------------------------------ the small model

    def _begin(self, tokens: tuple[tuple[int, ...], ...]) -> list[Command]:
        if any(isinstance(op, EdgeForward) for op in self._outstanding):
            self._unread.append(tokens[0])
            return []
        return super()._begin(tokens)

    def _on_computed(self, event: ComputeDone, now_ns: int) -> list[Command]:
        if isinstance(event.op, EdgeForward) and self._unread:
            self._forward_ns += event.duration_ns
            run = tuple(token for tokens in self._unread for token in tokens)
            self._unread = []
            return [self._forward((run,) * len(self._spec.method.edge_branches))]
        return super()._on_computed(event, now_ns)
