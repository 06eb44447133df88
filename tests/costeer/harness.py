"""The main fixture: devices and one cloud, joined by a link that does what it likes.

Theory of operation
-------------------
``World`` is a driver in simulated time: one heap, hosts that compute toys, and a ``Chaos`` that
says of every frame when its copies arrive (so frames are delayed, reordered and repeated, late
ones too) and how long every operation takes. The two parties' clocks are years apart. After each
event the engine's state is checked (``invariants.validate``), at each token its time account.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from heapq import heappop, heappush

from hypothesis import strategies as st

from costeer.cloud import CloudEngine, EngineLimits, EngineSpec
from costeer.endpoint import Endpoint
from costeer.learning import LearnerSpec
from costeer.machine import (
    CloudOp,
    Command,
    Compute,
    ComputeDone,
    EdgeChoose,
    EdgeDecode,
    EdgeDelta,
    EdgeForward,
    EdgeSteer,
    Emit,
    Event,
    Finish,
    FrameArrived,
    Release,
    Send,
    SetTimer,
    Start,
    Timer,
    TimerFired,
)
from costeer.machines import device_machine
from costeer.methods import EXTENSIONS, METHODS, NEIGHBOURS, CloudRole
from costeer.overlap import OverlapConfig
from costeer.refinement import Ladder, RefineConfig
from costeer.serving import Session
from costeer.session import SessionSpec
from costeer.speculation import SpeculationConfig
from costeer.token_record import STAGES, TokenRecord
from tests.costeer.invariants import validate
from tests.costeer.toy import EOS, FINGERPRINT, GATE, PRIVATE, VOCAB, ToyCloud, ToyEdge

CLOUD_CLOCK_NS = 10**17
"""How far the cloud's clock is ahead of the devices'."""
_LATER = 1
"""Steps and idle timers come after all else of their instant."""


# --------------------------------------------------------------------------- what may happen


@dataclass(frozen=True)
class Chaos:
    """What the link and the hosts do, item by item, from the start again when used up.

    Args:
        copies_ns: per frame, the transit of each of its copies; at least one.
        durations_ns: per operation.
    """

    copies_ns: tuple[tuple[int, ...], ...] = ((5,),)
    durations_ns: tuple[int, ...] = (3,)


CALM = Chaos()


@dataclass(frozen=True)
class Death:
    """A device that dies, and when it comes back (None: never)."""

    session: int
    at_ns: int
    back_after_ns: int | None


_transits = st.integers(0, 40) | st.integers(0, 3000)
chaoses = st.builds(
    Chaos,
    st.lists(st.lists(_transits, min_size=1, max_size=4).map(tuple), min_size=1, max_size=10).map(
        tuple
    ),
    st.lists(st.integers(0, 60), min_size=1, max_size=6).map(tuple),
)
ladders = st.builds(
    Ladder,
    st.integers(1, 12),
    st.just(VOCAB),
    st.builds(
        RefineConfig,
        growth=st.integers(2, 4),
        max_rounds=st.integers(0, 4),
        at_cap=st.sampled_from(["dense", "accept"]),
    ),
)
speculations = (
    st.none()
    | st.just(SpeculationConfig(drafts="adaptive"))
    | st.builds(
        SpeculationConfig,
        drafts=st.integers(1, 4),
        ahead=st.just(0) | st.integers(1, 6),
        draft=st.sampled_from(["personal", "generic"]),
    )
)
GUIDED = tuple(method for method in NEIGHBOURS if method.guided)
OVERLAPS = (
    None,
    OverlapConfig(forward=False),
    OverlapConfig(delta=True),
    OverlapConfig(delta=True, sparse=True),
)
_public = st.lists(st.integers(1, PRIVATE.start - 1), min_size=1, max_size=12).map(tuple)
_private = st.lists(st.sampled_from(PRIVATE), min_size=1, max_size=4).map(tuple)


def spec_tokens(spec: SessionSpec) -> int:
    """The most KV tokens of a session, of both sequences of a guided one."""
    guide = len(spec.public) + spec.max_new_tokens if spec.method.guided else 0
    return len(spec.personal) + spec.max_new_tokens + guide


@st.composite
def specs(draw: st.DrawFn, ladder: Ladder, session: int, *, drafts: bool = True) -> SessionSpec:
    """One session of any method; a steered one with drafts more often than not, if it may."""
    public = draw(_public)
    methods = METHODS + EXTENSIONS + GUIDED
    if not drafts:
        methods = tuple(each for each in methods if not (each.verified or each.guided))
    method = draw(st.sampled_from(methods))
    waits = method.steered and not method.gated
    speculation = draw(speculations) if waits and drafts else None
    plain = waits and speculation is None
    if method.verified:
        speculation = draw(
            st.builds(
                SpeculationConfig,
                drafts=st.integers(1, 4),
                ahead=st.just(0) | st.integers(1, 6),
                draft=st.just("generic"),
            )
        )
    return SessionSpec(
        session=session,
        method=method,
        speculation=speculation,
        overlap=draw(st.sampled_from(OVERLAPS)) if plain else None,
        public=public,
        personal=draw(_private) + public,
        max_new_tokens=draw(st.integers(1, 6)),
        eos=EOS,
        codec_fingerprint=FINGERPRINT,
        ladder=ladder,
    )


@st.composite
def limits(draw: st.DrawFn, fleet: Sequence[SessionSpec], *, preempts: bool) -> EngineLimits:
    """Limits that are tight for a fleet, but let each of its sessions in."""
    needed = [spec_tokens(spec) for spec in fleet]
    return EngineLimits(
        max_batch=draw(st.integers(1, 3)),
        chunk_tokens=draw(st.integers(1, 8)),
        kv_tokens=draw(st.integers(max(needed), sum(needed))),
        max_context=max(needed),
        max_sessions=draw(st.integers(1, len(fleet))),
        max_waiting=len(fleet),
        idle_timeout_ns=1_000_000,
        preempts=preempts,
    )


@dataclass(frozen=True)
class Case:
    """A fleet, the engine's limits and what the world does to them.

    Args:
        fleet: one session each.
        starts_ns: when each begins.
        waits_ns: how long each had waited at its device by then.
        limits: the engine's.
        chaos: the link's and the hosts'.
        drafts: that the cloud makes for each forward of a streamed session.
    """

    fleet: tuple[SessionSpec, ...]
    starts_ns: tuple[int, ...]
    waits_ns: tuple[int, ...]
    limits: EngineLimits
    chaos: Chaos
    drafts: int = 0


@st.composite
def cases(draw: st.DrawFn, max_sessions: int = 5) -> Case:
    """A fleet of mixed methods on one ladder."""
    ladder = draw(ladders)
    count = draw(st.integers(1, max_sessions))
    preempts = draw(st.booleans())
    fleet = tuple(draw(specs(ladder, session, drafts=not preempts)) for session in range(count))
    starts = tuple(draw(st.integers(0, 100)) for _ in fleet)
    waits = tuple(draw(st.just(0) | st.integers(0, 50)) for _ in fleet)
    drafts = 0 if preempts else draw(st.integers(0, 3))
    tight = draw(limits(fleet, preempts=preempts))
    return Case(fleet, starts, waits, tight, draw(chaoses), drafts)


# --------------------------------------------------------------------------- the world


class World:
    """Runs a fleet to its end; see the module's text."""

    def __init__(
        self,
        ladder: Ladder,
        engine_limits: EngineLimits,
        chaos: Chaos = CALM,
        learner: LearnerSpec | None = None,
        bucket_bytes: int = 1,
        drafts: int = 0,
    ) -> None:
        self.spec = EngineSpec(
            engine_limits, VOCAB, EOS, FINGERPRINT, ladder, learner, bucket_bytes, GATE, drafts
        )
        self.engine = CloudEngine(self.spec)
        self.cloud = ToyCloud()
        self.edge = ToyEdge()
        self.specs: dict[int, SessionSpec] = {}
        self.records: defaultdict[int, list[TokenRecord]] = defaultdict(list)
        self.finishes: dict[int, Finish] = {}
        self.uplink: defaultdict[tuple[int, int], list[bytes]] = defaultdict(list)
        self.opened: list[Session] = []
        self.admitted: list[Session] = []
        self.releases = 0
        self.now_ns = 0
        self._chaos = chaos
        self._frames = 0
        self._ops = 0
        self._pushed = 0
        self._machines: dict[int, Endpoint] = {}
        self._token_at_ns: dict[int, int] = {}
        self._waited_ns: dict[int, int] = {}
        self._heap: list[tuple[int, int, int, Callable[[], None]]] = []

    @classmethod
    def of(cls, case: Case, learner: LearnerSpec | None = None, bucket_bytes: int = 1) -> World:
        """Lay out a case."""
        world = cls(
            case.fleet[0].ladder, case.limits, case.chaos, learner, bucket_bytes, case.drafts
        )
        for spec, *times_ns in zip(case.fleet, case.starts_ns, case.waits_ns, strict=True):
            world.start(spec, *times_ns)
        return world

    def start(self, spec: SessionSpec, at_ns: int, waited_ns: int = 0) -> None:
        """Let a device begin a session, whose user has waited already."""
        self._at(at_ns, partial(self._start, spec, at_ns - waited_ns))

    def kill(self, death: Death) -> None:
        """Let a device die, and come back with the tokens that it had shown."""
        self._at(death.at_ns, partial(self._kill, death))

    def restart_cloud(self, at_ns: int) -> None:
        """Let the cloud die with all that it knew; every session that needs it is resumed."""
        self._at(at_ns, self._restart_cloud)

    def inject(self, frame: bytes, at_ns: int) -> None:
        """Let bytes arrive at the cloud that no device of this world sent."""
        self._at(at_ns, partial(self._tell_cloud, FrameArrived(frame, 1)))

    def run(self, max_events: int = 50_000) -> None:
        """Run until nothing is left to happen."""
        while self._heap:
            at_ns, _, _, happen = heappop(self._heap)
            self.now_ns = at_ns
            happen()
            max_events -= 1
            assert max_events, "the world does not come to rest"

    def tokens(self, session: int) -> tuple[int, ...]:
        """Tokens that a device has shown."""
        return tuple(record.token for record in self.records[session])

    def check_empty(self) -> None:
        """Nothing is held when all is over: each admission has its release."""
        assert self.engine.open_sessions == 0
        assert self.engine.reserved_tokens == 0
        assert self.cloud.caches == {}
        assert self.releases == len(self.admitted)
        order = [self.opened.index(session) for session in self.admitted]
        assert order == sorted(order), "admission is first come, first served"

    # ------------------------------------------------------------------ devices

    def _start(self, spec: SessionSpec, intended_ns: int) -> None:
        self.specs[spec.session] = spec
        self._machines[spec.session] = device_machine(spec)
        self._token_at_ns[spec.session] = intended_ns
        self._waited_ns[spec.session] = self.now_ns - intended_ns
        self._tell_edge(self._machines[spec.session], Start(intended_ns), spec)

    def _kill(self, death: Death) -> None:
        machine = self._machines.get(death.session)
        if machine is None or machine.finished:
            return
        del self._machines[death.session]
        self.edge.release(death.session)
        if death.back_after_ns is not None:
            spec = self.specs[death.session]
            resumed = replace(spec, epoch=spec.epoch + 1, chosen=self.tokens(death.session))
            self.start(resumed, self.now_ns + death.back_after_ns)

    def _restart_cloud(self) -> None:
        self.engine = CloudEngine(self.spec)
        self.cloud = ToyCloud()
        self.opened, self.admitted, self.releases = [], [], 0
        for session in list(self._machines):
            if self.specs[session].method.cloud is not CloudRole.ABSENT:
                self._kill(Death(session, self.now_ns, 10))

    def _tell_edge(self, machine: Endpoint, event: Event, spec: SessionSpec) -> None:
        if self._machines.get(spec.session) is not machine:
            return  # the result of an operation that a dead device had asked for
        for command in machine.handle(event, self.now_ns):
            self._do_edge(machine, command, spec)

    def _do_edge(self, machine: Endpoint, command: Command, spec: SessionSpec) -> None:
        if isinstance(command, Send):
            self.uplink[spec.session, spec.epoch].append(command.frame)
            for transit_ns in self._transits():
                arrived = FrameArrived(command.frame, transit_ns)
                self._after(transit_ns, partial(self._tell_cloud, arrived))
        elif isinstance(command, Compute):
            op = command.op
            assert isinstance(op, EdgeForward | EdgeDelta | EdgeDecode | EdgeSteer | EdgeChoose)
            duration_ns = self._duration()
            done = ComputeDone(op, self.edge.execute(op), duration_ns)
            self._after(duration_ns, partial(self._tell_edge, machine, done, spec))
        elif isinstance(command, Emit):
            self._check_time(command.record)
            assert command.record.position == len(self.records[spec.session])
            self.records[spec.session].append(command.record)
        elif isinstance(command, Finish):
            assert machine.finished
            assert spec.session not in self.finishes
            self.finishes[spec.session] = command
        elif isinstance(command, SetTimer):
            fired = TimerFired(command.timer, command.session)
            self._at(command.at_ns, partial(self._tell_edge, machine, fired, spec), _LATER)
        else:
            assert isinstance(command, Release)
            self.edge.release(command.session)

    def _check_time(self, record: TokenRecord) -> None:
        """Every nanosecond between two tokens is in exactly one stage."""
        assert record.latency_ns == self.now_ns - self._token_at_ns[record.session]
        self._token_at_ns[record.session] = self.now_ns
        assert sum(record.stages_ns) == record.latency_ns
        assert min(record.stages_ns) >= 0
        assert record.stages_ns[STAGES.index("overhead")] == 0
        waited_ns = self._waited_ns.pop(record.session, 0)
        assert record.stages_ns[STAGES.index("device_queue")] == waited_ns
        assert record.busy_edge_ns >= 0
        if record.rounds == 0:
            assert record.stages_ns[STAGES.index("refinement")] == 0

    # ------------------------------------------------------------------ the cloud

    def _tell_cloud(self, event: Event) -> None:
        self._run_engine(self.engine, event)

    def _run_engine(self, engine: CloudEngine, event: Event) -> None:
        if engine is not self.engine:
            return  # a timer or a result of the engine that died
        commands = engine.handle(event, self.now_ns + CLOUD_CLOCK_NS)
        validate(engine)
        self.opened += [
            session
            for session in engine._population._sessions.values()
            if session not in self.opened
        ]
        self.admitted += [
            session for session in engine._memory._admitted if session not in self.admitted
        ]
        for command in commands:
            self._do_cloud(engine, command)

    def _do_cloud(self, engine: CloudEngine, command: Command) -> None:
        if isinstance(command, Send):
            for transit_ns in self._transits():
                arrived = FrameArrived(command.frame, transit_ns, command.trace)
                self._after(transit_ns, partial(self._arrive, command.session, arrived))
        elif isinstance(command, Compute):
            assert isinstance(command.op, CloudOp)
            duration_ns = self._duration()
            done = ComputeDone(command.op, self.cloud.execute(command.op), duration_ns)
            self._after(duration_ns, partial(self._run_engine, engine, done))
        elif isinstance(command, SetTimer):
            fired = TimerFired(command.timer, command.session)
            self._at(
                command.at_ns - CLOUD_CLOCK_NS,
                partial(self._run_engine, engine, fired),
                _LATER + (command.timer is Timer.STEP),
            )
        else:
            assert isinstance(command, Release)
            self.releases += command.over
            self.cloud.release(command.session)

    def _arrive(self, session: int, event: FrameArrived) -> None:
        machine = self._machines.get(session)
        if machine is not None:
            self._tell_edge(machine, event, self.specs[session])

    # ------------------------------------------------------------------ time

    def _transits(self) -> tuple[int, ...]:
        self._frames += 1
        return self._chaos.copies_ns[(self._frames - 1) % len(self._chaos.copies_ns)]

    def _duration(self) -> int:
        self._ops += 1
        return self._chaos.durations_ns[(self._ops - 1) % len(self._chaos.durations_ns)]

    def _after(self, wait_ns: int, happen: Callable[[], None]) -> None:
        self._at(self.now_ns + wait_ns, happen)

    def _at(self, at_ns: int, happen: Callable[[], None], rank: int = 0) -> None:
        assert at_ns >= self.now_ns
        self._pushed += 1
        heappush(self._heap, (at_ns, rank, self._pushed, happen))
