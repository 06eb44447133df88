"""The cloud's half of all sessions, as one machine without I/O: a small serving engine.

Theory of operation
-------------------
A session is opened, waits for KV memory, is prefilled in chunks and then alternates between
*ready* (it has tokens that are not in the cache) and *away* (its next token is the device's to
choose). A step is one forward of the ready rows that ``schedule.plan_step`` picks, followed by
select and encode for the rows that reached their last token. Streamed sessions are ready again at
once; steered ones are away until TOKEN comes, and meanwhile keep their newest logits row, so that
MORE can be answered without a forward. MORE is served by the next step's select.

Everything a peer sends is checked before it changes anything. A session that breaks a rule gets an
ERROR frame and loses its slot; no other session notices. Repeated, late and reordered frames are
dropped by (session, epoch, position, round); a closed session stays closed for its epoch.

=========  ======================================  ==========================
state      event                                   then
=========  ======================================  ==========================
waiting    KV memory is free                       ready
ready      picked by a step                        running
running    select done, streamed, not at its end   ready
running    select done, steered                    away
away       TOKEN of this position                  ready
away       MORE of the next round                  refining
refining   select done                             away
any        CLOSE, rule broken, silent too long     released
=========  ======================================  ==========================
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from enum import Enum

from costeer.errors import FrameError, LocalProtocolError, RemoteProtocolError
from costeer.machine import (
    CloudForward,
    CloudRow,
    CloudSelect,
    CloudTrace,
    Command,
    Compute,
    ComputeDone,
    EncodeItem,
    Event,
    FrameArrived,
    Release,
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
    decode_frame,
    decode_open,
    decode_token,
    encode_error,
    encode_frame,
    encode_token,
)
from costeer.refinement import Ladder
from costeer.schedule import admit, plan_step


@dataclass(frozen=True, slots=True)
class EngineLimits:
    """What the engine may use.

    Args:
        max_batch: rows of one forward.
        chunk_tokens: prompt tokens of one forward.
        kv_tokens: tokens that all open sessions together may reserve.
        max_context: tokens of one session, prompt and generated.
        max_sessions: open sessions, those that wait for memory not included.
        max_waiting: sessions that may wait for memory.
        idle_timeout_ns: silence after which a session that is away is dropped.
    """

    max_batch: int
    chunk_tokens: int
    kv_tokens: int
    max_context: int
    max_sessions: int
    max_waiting: int
    idle_timeout_ns: int


@dataclass(frozen=True, slots=True)
class EngineSpec:
    """What the engine serves.

    Args:
        limits: see there.
        vocab_size: ids are below it.
        eos: ids that end a streamed text.
        codec_fingerprint: of the codec that LOGITS come in.
        ladder: ranks per refinement round.
    """

    limits: EngineLimits
    vocab_size: int
    eos: frozenset[int]
    codec_fingerprint: int
    ladder: Ladder


class _State(Enum):
    WAITING = "waiting"
    READY = "ready"
    RUNNING = "running"
    AWAY = "away"
    REFINING = "refining"
    RELEASED = "released"


@dataclass(slots=True, eq=False)
class _Session:
    session: int
    epoch: int
    role: Role
    max_new_tokens: int
    needs_tokens: int
    pending: tuple[int, ...]
    position: int
    ready_ns: int
    seen_ns: int
    uplink_ns: int
    state: _State = _State.WAITING
    cached: int = 0
    taken: int = 0
    round: int = 0
    compute_ns: int = 0
    closing: bool = False


@dataclass(slots=True)
class EngineCounters:
    """What the engine did, for reports and metrics."""

    batches: list[int] = field(default_factory=list)
    dropped_frames: int = 0
    refused_sessions: int = 0
    timed_out_sessions: int = 0


class CloudEngine:
    """All sessions at one model replica; see the module's table."""

    def __init__(self, spec: EngineSpec) -> None:
        """Make an engine with no sessions."""
        self._spec = spec
        self._sessions: dict[int, _Session] = {}
        self._closed: dict[int, int] = {}
        self._waiting: deque[_Session] = deque()
        self._ready: list[_Session] = []
        self._refining: list[_Session] = []
        self._running: list[_Session] = []
        self._selecting: list[_Session] = []
        self._free_tokens = spec.limits.kv_tokens
        self._admitted = 0
        self._busy = False
        self._armed = False
        self.counters = EngineCounters()

    @property
    def open_sessions(self) -> int:
        """Sessions that hold or wait for memory."""
        return len(self._sessions)

    @property
    def reserved_tokens(self) -> int:
        """KV tokens reserved by open sessions."""
        return self._spec.limits.kv_tokens - self._free_tokens

    def handle(self, event: Event, now_ns: int) -> list[Command]:
        """Advance by one event.

        Raises:
            LocalProtocolError: an event that the engine cannot have asked for.
        """
        if isinstance(event, FrameArrived):
            commands = self._on_frame(event, now_ns)
        elif isinstance(event, TimerFired) and event.timer is Timer.STEP:
            return self._on_step()
        elif isinstance(event, TimerFired):
            commands = self._on_idle(event.session, now_ns)
        elif isinstance(event, ComputeDone) and isinstance(event.op, CloudForward):
            return self._on_forward(event, now_ns)
        elif isinstance(event, ComputeDone) and isinstance(event.op, CloudSelect):
            commands = self._on_select(event, now_ns)
        else:
            raise LocalProtocolError(f"cloud engine: unexpected {event}")
        return self._arm(commands, now_ns)

    # ------------------------------------------------------------------ frames

    def _on_frame(self, event: FrameArrived, now_ns: int) -> list[Command]:
        try:
            frame = decode_frame(event.frame)
        except FrameError:
            self.counters.dropped_frames += 1
            return []
        try:
            if frame.kind is FrameKind.OPEN:
                return self._on_open(frame, event, now_ns)
            session = self._sessions.get(frame.session)
            if session is None or session.epoch != frame.epoch:
                self.counters.dropped_frames += 1
                return []
            session.seen_ns = now_ns
            if frame.kind is FrameKind.TOKEN:
                return self._on_token(session, frame, event, now_ns)
            if frame.kind is FrameKind.MORE:
                return self._on_more(session, frame, event, now_ns)
            if frame.kind is FrameKind.CLOSE:
                return self._release(session)
            raise FrameError(f"{frame.kind.name} frame came up")
        except RemoteProtocolError as error:
            return self._refuse(frame.session, frame.epoch, str(error))

    def _on_open(self, frame: Frame, event: FrameArrived, now_ns: int) -> list[Command]:
        if frame.epoch <= self._closed.get(frame.session, -1):
            self.counters.dropped_frames += 1
            return []
        old = self._sessions.get(frame.session)
        if old is not None and frame.epoch <= old.epoch:
            self.counters.dropped_frames += 1
            return []
        body = decode_open(frame.body)
        self._check_open(body)
        # A newer epoch replaces the session that its device gave up.
        commands = self._release(old) if old is not None else []
        prompt = body.prompt + body.chosen
        session = _Session(
            frame.session,
            frame.epoch,
            body.role,
            body.max_new_tokens,
            len(body.prompt) + body.max_new_tokens,
            prompt,
            len(body.chosen),
            now_ns,
            now_ns,
            event.transit_ns,
        )
        self._sessions[frame.session] = session
        self._waiting.append(session)
        self._admit()
        timeout_ns = self._spec.limits.idle_timeout_ns
        commands.append(SetTimer(now_ns + timeout_ns, Timer.IDLE, frame.session))
        return commands

    def _check_open(self, body: Open) -> None:
        limits = self._spec.limits
        needs = len(body.prompt) + body.max_new_tokens
        if needs > min(limits.max_context, limits.kv_tokens):
            raise RemoteProtocolError(
                f"prompt of {len(body.prompt)} + {body.max_new_tokens} new tokens exceeds the"
                f" context of {min(limits.max_context, limits.kv_tokens)}; shorten either"
            )
        if len(body.chosen) >= body.max_new_tokens:
            raise RemoteProtocolError("OPEN: all tokens of this session are already chosen")
        if max(max(body.prompt), *body.chosen, 0) >= self._spec.vocab_size:
            raise RemoteProtocolError(f"OPEN: an id is not below {self._spec.vocab_size}")
        if body.role is Role.LOGITS and body.codec_fingerprint != self._spec.codec_fingerprint:
            raise RemoteProtocolError(
                f"codec {body.codec_fingerprint:#010x} asked, {self._spec.codec_fingerprint:#010x}"
                " spoken here; give both sides the same codec configuration"
            )
        if len(self._waiting) >= limits.max_waiting:
            raise RemoteProtocolError(f"{limits.max_waiting} sessions wait already; try later")

    def _on_token(
        self, session: _Session, frame: Frame, event: FrameArrived, now_ns: int
    ) -> list[Command]:
        # In any other state, or at another position, this is a repetition or comes too late.
        if session.state is not _State.AWAY or frame.position != session.position:
            self.counters.dropped_frames += 1
            return []
        token = decode_token(frame.body)
        if token >= self._spec.vocab_size:
            raise RemoteProtocolError(f"TOKEN: id {token} is not below {self._spec.vocab_size}")
        if session.position + 1 >= session.max_new_tokens:
            raise RemoteProtocolError(f"TOKEN: more than {session.max_new_tokens} tokens")
        session.position += 1
        session.round = 0
        session.uplink_ns = event.transit_ns
        self._make_ready(session, (token,), now_ns)
        return []

    def _on_more(
        self, session: _Session, frame: Frame, event: FrameArrived, now_ns: int
    ) -> list[Command]:
        fresh = frame.position == session.position and frame.round == session.round + 1
        if session.state is not _State.AWAY or not fresh:
            self.counters.dropped_frames += 1
            return []
        if not self._spec.ladder.has(frame.round):
            raise RemoteProtocolError(f"MORE: round {frame.round} is beyond the ladder")
        session.round = frame.round
        session.uplink_ns = event.transit_ns
        session.ready_ns = now_ns
        session.compute_ns = 0
        session.state = _State.REFINING
        self._refining.append(session)
        return []

    # ------------------------------------------------------------------ steps

    def _arm(self, commands: list[Command], now_ns: int) -> list[Command]:
        """Ask for a step after all arrivals of this instant, if there is work and none runs."""
        if not self._busy and not self._armed and (self._ready or self._refining):
            self._armed = True
            commands.append(SetTimer(now_ns, Timer.STEP))
        return commands

    def _on_step(self) -> list[Command]:
        self._armed = False
        if self._busy:
            raise LocalProtocolError("cloud engine: a step while another runs")
        limits = self._spec.limits
        takes = plan_step(
            [len(session.pending) for session in self._ready],
            limits.max_batch,
            limits.chunk_tokens,
        )
        rows = []
        left = []
        for session, take in zip(self._ready, takes, strict=True):
            if take:
                session.taken = take
                session.state = _State.RUNNING
                self._running.append(session)
                rows.append(CloudRow(session.session, session.pending[:take], session.cached))
            else:
                left.append(session)
        self._ready = left
        if rows:
            self._busy = True
            self.counters.batches.append(len(rows))
            return [Compute(CloudForward(tuple(rows)))]
        return self._select([])

    def _on_forward(self, event: ComputeDone, now_ns: int) -> list[Command]:
        done = []
        commands: list[Command] = []
        for session in self._running:
            session.cached += session.taken
            session.pending = session.pending[session.taken :]
            session.compute_ns += event.duration_ns
            if session.closing:
                commands += self._release_now(session)
            elif session.pending:
                session.state = _State.READY
                self._ready.append(session)
            else:
                done.append(session)
        self._running = []
        commands += self._select(done)
        return commands if self._busy else self._arm(commands, now_ns)

    def _select(self, done: list[_Session]) -> list[Command]:
        """Encode or choose for the rows that are done, and for those that were asked for MORE."""
        self._selecting = done + self._refining
        self._refining = []
        self._busy = bool(self._selecting)
        if not self._busy:
            return []
        encode = tuple(
            EncodeItem(one.session, one.position, *self._spec.ladder.ranks(one.round))
            for one in self._selecting
            if one.role is Role.LOGITS
        )
        choose = tuple(
            (one.session, one.position) for one in self._selecting if one.role is Role.STREAM
        )
        for one in self._selecting:
            one.state = _State.RUNNING
        return [Compute(CloudSelect(encode, choose))]

    def _on_select(self, event: ComputeDone, now_ns: int) -> list[Command]:
        value = event.value
        if not isinstance(value, Selected):
            raise LocalProtocolError(f"cloud engine: select returned {value!r}")
        self._busy = False
        payloads = iter(value.payloads)
        tokens = iter(value.tokens)
        commands: list[Command] = []
        for session in self._selecting:
            trace = CloudTrace(
                session.uplink_ns,
                now_ns - session.ready_ns - session.compute_ns - event.duration_ns,
                session.compute_ns,
                event.duration_ns,
            )
            streamed = session.role is Role.STREAM
            value_of = next(tokens) if streamed else next(payloads)
            if session.closing:
                commands += self._release_now(session)
            elif isinstance(value_of, int):
                commands += self._stream(session, value_of, trace, now_ns)
            else:
                session.state = _State.AWAY
                session.seen_ns = now_ns
                commands.append(self._send(session, FrameKind.LOGITS, value_of, trace))
        self._selecting = []
        return commands

    def _stream(
        self, session: _Session, token: int, trace: CloudTrace, now_ns: int
    ) -> list[Command]:
        commands: list[Command] = [
            self._send(session, FrameKind.STREAM, encode_token(token), trace)
        ]
        session.position += 1
        session.uplink_ns = 0
        session.seen_ns = now_ns
        if token in self._spec.eos or session.position == session.max_new_tokens:
            commands += self._release_now(session)
        else:
            self._make_ready(session, (token,), now_ns)
        return commands

    # ------------------------------------------------------------------ sessions

    def _make_ready(self, session: _Session, tokens: tuple[int, ...], now_ns: int) -> None:
        session.pending = tokens
        session.ready_ns = now_ns
        session.compute_ns = 0
        session.state = _State.READY
        self._ready.append(session)

    def _admit(self) -> None:
        count = admit(
            [session.needs_tokens for session in self._waiting],
            self._free_tokens,
            self._spec.limits.max_sessions - self._admitted,
        )
        for _ in range(count):
            session = self._waiting.popleft()
            self._free_tokens -= session.needs_tokens
            self._admitted += 1
            session.state = _State.READY
            self._ready.append(session)

    def _on_idle(self, session_id: int, now_ns: int) -> list[Command]:
        session = self._sessions.get(session_id)
        if session is None:
            return []
        due_ns = session.seen_ns + self._spec.limits.idle_timeout_ns
        if session.state is not _State.AWAY:
            # It is the cloud that keeps this session waiting.
            due_ns = now_ns + self._spec.limits.idle_timeout_ns
        if due_ns > now_ns:
            return [SetTimer(due_ns, Timer.IDLE, session_id)]
        self.counters.timed_out_sessions += 1
        silent_s = (now_ns - session.seen_ns) / 1e9
        return self._drop(session, f"no word from the device for {silent_s:g} s")

    def _refuse(self, session_id: int, epoch: int, reason: str) -> list[Command]:
        self.counters.refused_sessions += 1
        session = self._sessions.get(session_id)
        if session is not None and session.epoch == epoch:
            return self._drop(session, reason)
        error = Frame(FrameKind.ERROR, session_id, epoch, 0, 0, encode_error(reason))
        return [Send(session_id, encode_frame(error))]

    def _drop(self, session: _Session, reason: str) -> list[Command]:
        return [
            self._send(session, FrameKind.ERROR, encode_error(reason), None),
            *self._release(session),
        ]

    def _release(self, session: _Session) -> list[Command]:
        """Free a session's memory, at the end of its step if one is running."""
        if session.state is _State.RUNNING:
            session.closing = True
            return []
        return self._release_now(session)

    def _release_now(self, session: _Session) -> list[Command]:
        if self._sessions.get(session.session) is session:
            del self._sessions[session.session]
        self._closed[session.session] = session.epoch
        state, session.state = session.state, _State.RELEASED
        if state is _State.WAITING:
            self._waiting.remove(session)
            return []
        if state is _State.READY:
            self._ready.remove(session)
        if state is _State.REFINING:
            self._refining.remove(session)
        self._free_tokens += session.needs_tokens
        self._admitted -= 1
        self._admit()
        return [Release(session.session)]

    def _send(
        self, session: _Session, kind: FrameKind, body: bytes, trace: CloudTrace | None
    ) -> Send:
        frame = Frame(kind, session.session, session.epoch, session.position, session.round, body)
        payload_bytes = len(body) if kind is FrameKind.LOGITS else 0
        return Send(session.session, encode_frame(frame), payload_bytes, trace)
