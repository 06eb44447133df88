"""What the link model says of a cell: the exchanges that the client made, in simulated time."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from heapq import heappop, heappush

from actors.device import AccessLink, link_of
from actors.network import Network
from actors.plan import ArmPlan, Cell, DevicePlan
from actors.values.port import ArmSpec
from costeer.cloud import EngineLimits
from costeer.codec.config import CodecConfig
from costeer.methods import method_named
from costeer.refinement import RefineConfig
from costeer.sampling import Sampling
from experiments.validation.hosts import PathSpec
from experiments.validation.peer import REQUEST_BYTES, Job
from netsim.carriage import UNLIMITED
from netsim.link import Direction, Link
from netsim.profiles import LinkProfile
from netsim.sharing import Discipline
from netsim.transport import TCP
from netsim.wire import RAW_TCP

_TRANSPORT = replace(TCP, wire=RAW_TCP)
"""The harness has neither TLS nor HTTP/2."""
_NS = 1_000_000_000
_CLOUD, _EDGE = 0, 1


def predict(path: PathSpec, job: Job) -> list[int]:
    """Return what each exchange of a job takes that counts, ns."""
    if job.clients > 1:
        return _shared(path, job)
    return _alone(path, job)


def predict_connect(path: PathSpec) -> int:
    """Return what a connection's set-up takes, ns: one round trip of TCP."""
    way = Direction(0, path.delay_ns)
    one_trip = replace(_TRANSPORT, setup_round_trips=1)
    link = Link(way, way, seed=0, device=0, transport=one_trip)
    return link.send_up(0, 0).arrival_ns - path.delay_ns


def _profile(path: PathSpec) -> LinkProfile:
    way = Direction(path.rate_bps, path.delay_ns, path.jitter_ns, path.loss)
    return LinkProfile("path", way, way, "laid by the harness", transport=_TRANSPORT)


def _alone(path: PathSpec, job: Job) -> list[int]:
    profile = _profile(path)
    taken: list[int] = []
    now_ns, link = 0, _link(profile, 0)
    for repeat in range(job.repeats):
        if job.fresh:
            link = _link(profile, repeat)
        before = job.warmups + (0 if repeat else job.lead)
        for _ in range(before):
            now_ns += link.exchange_ns(now_ns, REQUEST_BYTES, job.answer_bytes)
        now_ns += int(job.idle_s * _NS)
        taken.append(link.exchange_ns(now_ns, REQUEST_BYTES, job.answer_bytes))
        now_ns += taken[-1]
    return taken


def _link(profile: LinkProfile, number: int) -> Link:
    return Link(profile.down, profile.up, seed=0, device=number, transport=profile.transport)


def _shared(path: PathSpec, job: Job) -> list[int]:
    """All clients in closed loops over one path, as a cell of a scenario shares it."""
    plan = _plan(path, job.clients)
    network = Network(plan)
    access = [AccessLink(each.device, link_of(each, 0)) for each in plan.devices]
    events: list[tuple[int, int, int]] = []
    taken: list[list[int]] = [[] for _ in access]
    asked_ns = [0] * job.clients
    wanted = job.lead + job.repeats

    def expect(client: int, where: int, at_ns: int) -> None:
        heappush(events, (at_ns, client, where))

    def ask(client: int, now_ns: int) -> None:
        asked_ns[client] = now_ns
        network.up(access[client], now_ns, REQUEST_BYTES, partial(expect, client, _CLOUD))

    for client in range(job.clients):
        ask(client, 0)
    while any(len(each) < wanted for each in taken):
        crossing_ns = network.next_event_ns()
        if crossing_ns is not None and not (events and events[0][0] < crossing_ns):
            network.advance(crossing_ns)
            continue
        now_ns, client, where = heappop(events)
        if where == _CLOUD:
            arrive = partial(expect, client, _EDGE)
            network.down(access[client], now_ns, job.answer_bytes, job.answer_bytes, arrive)
        else:
            taken[client].append(now_ns - asked_ns[client])
            ask(client, now_ns)
    return [one for each in taken for one in each[job.lead : wanted]]


def _device(path: PathSpec, number: int) -> DevicePlan:
    # The kernel's queue serves whoever came first.
    shared = Cell(0, Discipline.FIFO)
    return DevicePlan(number, "path", _profile(path), "none", (), (), cell=shared)


def _plan(path: PathSpec, clients: int) -> ArmPlan:
    """A fleet whose devices share the path and do nothing else."""
    arm = ArmSpec(method_named("costeer"), 1.0, CodecConfig(), Sampling(), 0)
    return ArmPlan(
        arm=arm,
        devices=tuple(_device(path, number) for number in range(clients)),
        max_new_tokens=1,
        eos=frozenset(),
        refine=RefineConfig(),
        limits=EngineLimits(1, 1, 1, 1, 1, 1, 1),
        egress_bps=UNLIMITED,
    )
