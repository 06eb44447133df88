"""The cloud's half of all sessions, as one machine without I/O: a small serving engine.

Theory of operation
-------------------
A session is opened, waits for KV memory, is prefilled in chunks and then alternates between
*ready* (it has tokens that are not in the cache) and *away* (its next token is the device's to
choose). A step is one forward of the ready rows that ``schedule.plan_step`` picks, followed by
select and encode for the rows that reached their last token. Streamed sessions are ready again at
once; steered ones are away until TOKEN comes, and meanwhile keep their newest logits row, so that
MORE can be answered without a forward. MORE is served by the next step's select.

A drafting session (``speculation``) is one with a ledger: it is spoken to at any time, a DRAFT
makes it ready, a REFINE refining, and after a step it is whatever it still needs.

Everything a peer sends is checked before it changes anything. A session that breaks a rule gets an
ERROR frame and loses its slot; no other session notices. Repeated, late and reordered frames are
dropped by (session, epoch, position, round). An epoch is used once: OPEN ends the earlier epochs of
its session even where it is refused, CLOSE its own and the earlier ones even where it overtook
OPEN, and what is over stays over.

=========  ======================================  ==========================
state      event                                   then
=========  ======================================  ==========================
waiting    KV memory is free                       ready
ready      picked by a step                        running
running    forward done, prompt not at its end     ready, at the front
running    select done, streamed, not at its end   ready
running    select done, steered                    away
running    select done, the gate chose or saw       ready
any        no memory for what all hold             evicted, waiting
evicted    TOKEN or MORE that is next              waiting
running    CLOSE, newer epoch, rule broken         closing
closing    forward or select done                  released
away       TOKEN of this position                  ready
away       MORE of the next round                  refining
away       DRAFT with something new                ready
away       REFINE of a row that stands             refining
refining   DRAFT with something new                ready
running    select done, drafting                   ready | refining | away
refining   picked by a step                        running
away       silent too long                         released
evicted    silent too long                         released
any other  CLOSE, newer epoch, rule broken         released
=========  ======================================  ==========================
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.answers import Answers, asked_of, frame_of
from costeer.errors import FrameError, LocalProtocolError, RemoteProtocolError
from costeer.learning import KLearner
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudSelect,
    CloudTrace,
    Command,
    Compute,
    ComputeDone,
    Event,
    FrameArrived,
    Send,
    SetTimer,
    Timer,
    TimerFired,
)
from costeer.memory import Memory
from costeer.messages import (
    Frame,
    FrameKind,
    Role,
    decode_frame,
    decode_open,
    decode_token,
    encode_error,
    encode_frame,
    encode_token,
    filled,
)
from costeer.opening import check_open, new_session
from costeer.population import Population
from costeer.proposal import CloudDraft
from costeer.serving import EngineCounters, EngineLimits, EngineSpec, Session, State
from costeer.steps import Steps
from costeer.verification import payload_bytes, take_draft, take_refine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from costeer.speculation import Ledger

__all__ = ["CloudEngine", "EngineCounters", "EngineLimits", "EngineSpec"]


class CloudEngine:
    """All sessions at one model replica; see the module's table."""

    def __init__(self, spec: EngineSpec, counters: EngineCounters | None = None) -> None:
        """Make an engine with no sessions.

        Args:
            spec: what it serves.
            counters: of one that forgot everything, to count on from; None to begin at 0.
        """
        self._spec = spec
        self._memory = Memory(spec.limits)
        self._steps = Steps()
        self._step: CloudOp | None = None
        self._armed = False
        self._learner = KLearner(spec.learner) if spec.learner is not None else None
        self.counters = EngineCounters() if counters is None else counters
        self._population = Population(spec.limits, self._memory, self._steps, self.counters)

    @property
    def open_sessions(self) -> int:
        """Sessions that hold or wait for memory."""
        return self._memory.admitted + self._memory.waiting_sessions

    @property
    def waiting_sessions(self) -> int:
        """Sessions that wait for memory."""
        return self._memory.waiting_sessions

    @property
    def reserved_tokens(self) -> int:
        """KV tokens reserved by open sessions."""
        return self._memory.reserved_tokens

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """Advance by one event.

        Raises:
            LocalProtocolError: an event that the engine cannot have asked for.
        """
        if isinstance(event, FrameArrived):
            commands = self._on_frame(event, now_ns)
        elif isinstance(event, TimerFired) and event.timer is Timer.IDLE:
            commands = self._population.on_idle(event.session, now_ns)
        elif isinstance(event, TimerFired) and self._armed:
            commands = self._on_step()
        elif isinstance(event, ComputeDone) and event.op == self._step:
            self._step = None
            if isinstance(event.op, CloudDraft):
                commands = self._on_drafts(event.op, event)
            elif isinstance(event.op, CloudSelect):
                commands = self._on_select(event.op, event, now_ns)
            else:
                commands = self._on_forward(event)
        else:
            raise LocalProtocolError(f"cloud engine: unexpected {event}")
        return self._arm(commands, now_ns)

    def _arm(self, commands: list[Command], now_ns: int) -> list[Command]:
        """Ask for a step after all arrivals of this instant, if there is work and none runs."""
        if self._step is None and not self._armed and self._steps.wanted:
            self._armed = True
            commands.append(SetTimer(now_ns, Timer.STEP))
        return commands

    def abandon(self, session_id: int, now_ns: int) -> list[Command]:
        """End a session whose device is gone for good, and forget its epochs.

        For transports that know when nothing can come any more: what is over need not be
        remembered then, so a server that runs for months does not grow.
        """
        session = self._population.get(session_id)
        commands = self._population.release(session) if session is not None else []
        self._population.forget(session_id)
        return self._arm(commands, now_ns)

    # ------------------------------------------------------------------ frames

    def _on_frame(self, event: FrameArrived, now_ns: int) -> list[Command]:
        try:
            frame = decode_frame(event.frame)
        except FrameError:
            return self._ignore()
        if frame.kind is FrameKind.OPEN:
            return self._on_open(frame, event, now_ns)
        if frame.kind is FrameKind.CLOSE:
            return self._on_close(frame)
        session = self._population.get(frame.session)
        if session is None or session.epoch != frame.epoch:
            return self._ignore()
        session.seen_ns = now_ns
        try:
            return self._on_answer(session, frame, event, now_ns)
        except RemoteProtocolError as error:
            self.counters.refused_sessions += 1
            return self._population.drop(session, str(error))

    def _ignore(self) -> list[Command]:
        self.counters.dropped_frames += 1
        return []

    def _on_open(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        commands: list[Command] = []
        old = self._population.get(frame.session)
        if frame.epoch <= (self._population.last_over(frame.session) if old is None else old.epoch):
            return self._ignore()
        if old is not None:
            commands += self._population.release(old)
        try:
            body = decode_open(frame.body)
            check_open(body, self._spec, self._memory)
        except RemoteProtocolError as error:
            self.counters.refused_sessions += 1
            self._population.end_epoch(frame.session, frame.epoch)
            refusal = Frame(
                FrameKind.ERROR, frame.session, frame.epoch, 0, 0, encode_error(str(error))
            )
            return [*commands, Send(frame.session, encode_frame(refusal))]
        session = new_session(frame, body, self._spec, self._memory, event, now_ns)
        self._population.enter(session)
        self.counters.waited_sessions += session.state is State.WAITING
        return [*commands, SetTimer(session.idle_at_ns, Timer.IDLE, frame.session)]

    def _on_close(self, frame: Frame) -> list[Command]:
        session = self._population.get(frame.session)
        if frame.epoch <= self._population.last_over(frame.session) or (
            session is not None and frame.epoch < session.epoch
        ):
            return self._ignore()
        commands = self._population.release(session) if session is not None else []
        self._population.end_epoch(frame.session, frame.epoch)
        return commands

    def _on_answer(
        self, session: Session, frame: Frame, event: FrameArrived, now_ns: int
    ) -> list[Command]:
        """Take what a device says while its session is away; anything else is repeated or late.

        A session with drafts is spoken to at any time: its frames say by themselves what is late.
        """
        if session.ledger is not None:
            return self._on_drafting(session, session.ledger, frame, event, now_ns)
        if frame.kind not in {FrameKind.TOKEN, FrameKind.MORE}:
            raise RemoteProtocolError(f"{frame.kind.name} frame came up")
        rounds = session.round + (frame.kind is FrameKind.MORE)
        fresh = (frame.position, frame.round) == (session.position, rounds)
        if session.state not in {State.AWAY, State.EVICTED} or not fresh:
            return self._ignore()
        if frame.kind is FrameKind.MORE:
            if not session.ladder.has(frame.round):
                raise RemoteProtocolError(f"MORE: round {frame.round} is beyond the ladder")
            session.round = frame.round
            self._begin(session, event.transit_ns, now_ns - event.held_ns)
            if session.state is State.EVICTED:
                self._population.wait_again(session)
                self._population.admit()
            else:
                self._steps.refine(session)
            return []
        token = decode_token(frame.body)
        if token >= self._spec.vocab_size:
            raise RemoteProtocolError(f"TOKEN: id {token} is not below {self._spec.vocab_size}")
        if session.position + 1 >= session.max_new_tokens:
            raise RemoteProtocolError(f"TOKEN: more than {session.max_new_tokens} tokens")
        if self._learner is not None:
            self._learner.observe(session.ladder, session.round)
        self._extend(session, token, event.transit_ns, now_ns - event.held_ns)
        return []

    def _on_drafting(
        self, session: Session, ledger: Ledger, frame: Frame, event: FrameArrived, now_ns: int
    ) -> list[Command]:
        if frame.kind is FrameKind.REFINE:
            fresh = take_refine(ledger, frame)
        else:
            decided = take_draft(session, ledger, frame, self._spec.vocab_size, self.counters)
            fresh = decided is not None
            if fresh:
                ledger.uplink_ns = event.transit_ns
                ledger.arrived_ns = now_ns - event.held_ns
            if self._learner is not None:
                self._learner.learn(decided or ())
        if not fresh:
            return self._ignore()
        self._steps.queue(session)
        return []

    # ------------------------------------------------------------------ steps

    def _on_step(self) -> list[Command]:
        self._armed = False
        evicted = self._population.make_room()
        undrafted = self._steps.undrafted(self._spec.drafts) if self._spec.drafts else []
        if undrafted:
            self._step = CloudDraft(tuple(undrafted))
            return [*evicted, Compute(self._step)]
        return evicted + self._forward()

    def _on_drafts(self, op: CloudDraft, event: ComputeDone) -> list[Command]:
        value = event.value
        self.counters.forward_ns += event.duration_ns
        if not isinstance(value, tuple) or len(value) != len(op.items):
            raise LocalProtocolError(f"cloud engine: {op} gave {value!r}")
        proposed = zip((item.session for item in op.items), value, strict=True)
        self.counters.drafts += self._steps.drafted(dict(proposed))
        return self._forward()

    def _forward(self) -> list[Command]:
        rows = self._steps.begin_forward(self._spec.limits)
        if not rows:
            return self._select([])
        self.counters.batches.append(len(rows))
        self._step = CloudForward(rows)
        return [Compute(self._step)]

    def _on_forward(self, event: ComputeDone) -> list[Command]:
        self.counters.forward_ns += event.duration_ns
        done, closing = self._steps.end_forward(event.duration_ns)
        commands = [command for session in closing for command in self._population.free(session)]
        return commands + self._select(done)

    def _select(self, done: list[Session]) -> list[Command]:
        """Encode or choose for the rows that are done, and for those that were asked for MORE."""
        running = self._steps.begin_select(done)
        if not running:
            return []
        self._step = asked_of(running, self._learner)
        return [Compute(self._step)]

    def _on_select(self, op: CloudSelect, event: ComputeDone, now_ns: int) -> list[Command]:
        answers = Answers(op, event.value)
        self.counters.select_ns += event.duration_ns
        commands: list[Command] = []
        for session in self._steps.end_select():
            answer = answers.take(session)
            if session.state is State.CLOSING:
                commands += self._population.free(session)
                continue
            trace = CloudTrace(
                session.uplink_ns,
                now_ns - session.ready_ns - session.compute_ns - event.duration_ns,
                session.compute_ns,
                event.duration_ns,
            )
            session.state = State.AWAY
            session.seen_ns = now_ns
            if isinstance(answer, tuple):
                commands += self._stream(session, answer, trace, now_ns)
            elif session.position < len(session.again):
                self._go_on(session, session.again[session.position])
            else:
                commands += [self._send_rows(session, frame, trace) for frame in answer]
            if session.ledger is not None:
                self._steps.queue(session)
        return commands

    def _stream(
        self, session: Session, chosen: Sequence[int], trace: CloudTrace, now_ns: int
    ) -> list[Command]:
        """Stream what was chosen as far as drafts are right, and go on behind it."""
        first = session.position
        kept = session.verified(chosen)
        counters, refuted = self.counters, len(chosen) - len(kept)
        counters.refuted_drafts += refuted
        counters.wasted_tokens += refuted
        counters.right_drafts += len(kept) - 1
        counters.wrong_drafts += refuted > 0
        commands: list[Command] = []
        for token in kept:
            frame = frame_of(session, FrameKind.STREAM, encode_token(token))
            commands.append(Send(session.session, encode_frame(frame), 0, trace))
            if token in self._spec.eos or session.position + 1 == session.max_new_tokens:
                return [*commands, *self._population.release(session)]
            session.position += 1
        session.position -= 1
        session.rewrite(first, kept[:-1])
        session.guesses = None
        self._extend(session, kept[-1], 0, now_ns)
        return commands

    # ------------------------------------------------------------------ sessions

    def _extend(self, session: Session, token: int, uplink_ns: int, now_ns: int) -> None:
        """Go on to the next position, with the token that was chosen for this one."""
        self._begin(session, uplink_ns, now_ns)
        self._go_on(session, token)

    def _go_on(self, session: Session, token: int) -> None:
        session.position += 1
        session.round = 0
        session.tokens.append(token)
        self._memory.grow(session)
        if session.state is State.EVICTED:
            self._population.wait_again(session)
            self._population.admit()
        else:
            self._steps.make_ready(session)

    def _begin(self, session: Session, uplink_ns: int, now_ns: int) -> None:
        session.uplink_ns = uplink_ns
        session.ready_ns = now_ns
        session.compute_ns = 0

    def _send_rows(self, session: Session, frame: Frame, trace: CloudTrace) -> Send:
        data = filled(frame, self._spec.bucket_bytes)
        coded = 0 if session.role is Role.CHOICES else payload_bytes(frame)
        return Send(frame.session, data, coded, trace)
