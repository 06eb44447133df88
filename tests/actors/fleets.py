"""Small fleets in this process: what the tests of both drivers run."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import accumulate
from typing import Any

from hypothesis import strategies as st

from actors.cloud import CloudActor
from actors.costs import Costs
from actors.edge import EdgeActor
from actors.plan import ArmPlan, CodecTerms, DevicePlan, Request, codec_terms
from actors.port import Handle, LocalPort, Port, gather
from actors.records import ArmRun, Recorder, RequestRow, TokenRow
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.null import NullCloudHost, NullConfig, NullEdgeHost
from actors.values.port import ArmSpec
from actors.values.rows import RowCloudHost, RowEdgeHost
from actors.virtual.driver import VirtualDriver
from costeer.cloud import EngineLimits
from costeer.codec.config import CodecConfig
from costeer.methods import METHODS, CloudRole, method_named
from costeer.refinement import RefineConfig
from costeer.sampling import Sampling
from costeer.speculation import SpeculationConfig
from netsim.hardware import CostModel, Fixed
from netsim.link import Direction
from netsim.profiles import LinkProfile

VOCAB = 400
PRIVATE = range(300, 330)
"""Ids of private contexts; neither public prompts nor generated tokens stay clear of them."""
IDEAL = LinkProfile("ideal", Direction(), Direction(), "test")
MS = 1_000_000

LIMITS = EngineLimits(
    max_batch=8,
    chunk_tokens=64,
    kv_tokens=10_000,
    max_context=200,
    max_sessions=1000,
    max_waiting=1000,
    idle_timeout_ns=10**15,
)

Hosts = tuple[Handle, list[Handle]]


def generated_hosts(
    shards: int = 1,
    port: Port | None = None,
    *,
    vocab_size: int = VOCAB,
    threads: int | None = None,
) -> Hosts:
    config = GeneratedConfig(vocab_size=vocab_size)
    rows = partial(RowSource, config)
    return hosts_of(partial(RowCloudHost, rows), partial(RowEdgeHost, rows), shards, port, threads)


def null_hosts(shards: int = 1, port: Port | None = None, acceptance: float = 0.8) -> Hosts:
    config = NullConfig(vocab_size=VOCAB, first_token=10, period=100, acceptance=acceptance)
    return hosts_of(partial(NullCloudHost, config), partial(NullEdgeHost, config), shards, port)


def hosts_of(
    cloud: Callable[[], Any],
    edge: Callable[[], Any],
    shards: int = 1,
    port: Port | None = None,
    threads: int | None = None,
) -> Hosts:
    """Hosts that these functions make."""
    port = port or LocalPort()
    return (
        port.start(CloudActor, cloud, threads=threads or 2 * shards + 1),
        [port.start(EdgeActor, edge, threads=2) for _ in range(shards)],
    )


def link(
    propagation_ns: int = 5 * MS, rate_bps: int = 5_000_000, jitter_ns: int = 0, loss: float = 0.0
) -> LinkProfile:
    way = Direction(rate_bps, propagation_ns, jitter_ns, loss, 3 * propagation_ns + 1)
    return LinkProfile("link", way, way, "test")


def device(
    number: int,
    requests: int = 1,
    *,
    where: LinkProfile = IDEAL,
    hardware: str = "slow",
    think_ns: int = 0,
    arrivals_ns: tuple[int, ...] | None = None,
    prompt_tokens: int = 7,
) -> DevicePlan:
    """A device whose public and private ids are its own; the private ones are in ``PRIVATE``."""
    count = len(arrivals_ns) if arrivals_ns is not None else requests
    asked = tuple(
        _request(number * 10 + index, prompt_tokens + (number + index) % 3)
        for index in range(count)
    )
    return DevicePlan(
        device=number,
        link_class=where.name,
        link=where,
        device_class=hardware,
        requests=asked,
        think_ns=(think_ns,) * count if arrivals_ns is None else (),
        arrivals_ns=arrivals_ns,
    )


def _request(number: int, tokens: int) -> Request:
    public = tuple((number * 31 + index * 7) % PRIVATE.start for index in range(tokens))
    private = tuple(PRIVATE[(number + index) % len(PRIVATE)] for index in range(5))
    return Request(f"row-{number}", public, private + public)


def arm_plan(
    method: str = "costeer",
    devices: Sequence[DevicePlan] = (),
    *,
    codec: str = "top8-bf16-naive",
    max_new_tokens: int = 5,
    eos: frozenset[int] = frozenset(),
    refine: RefineConfig | None = None,
    limits: EngineLimits = LIMITS,
    egress_bps: int = 0,
    sampling: Sampling | None = None,
    seed: int = 7,
    speculation: SpeculationConfig | None = None,
) -> ArmPlan:
    spec = ArmSpec(
        method_named(method),
        1.5,
        CodecConfig.model_validate(codec),
        sampling or Sampling(),
        seed,
    )
    return ArmPlan(
        arm=spec,
        devices=tuple(devices) or (device(0), device(1), device(2)),
        max_new_tokens=max_new_tokens,
        eos=eos,
        refine=refine or RefineConfig(growth=2, max_rounds=2),
        limits=limits,
        egress_bps=egress_bps,
        speculation=speculation,
    )


CLOUD_COST = Fixed(
    forward=9 * MS, forward_per_row=MS, select=200_001, encode=70_003, decode=0, choose=30_011
)
EDGE_COSTS: dict[str, CostModel] = {
    "slow": Fixed(forward=21 * MS, forward_per_row=3, decode=90_007, steer=410_009, choose=50_021),
    "fast": Fixed(forward=2 * MS, forward_per_row=5, decode=20_011, steer=101_003, choose=10_007),
    "free": Fixed(),
}


def costs_of(terms: CodecTerms, *, cloud: CostModel = CLOUD_COST) -> Costs:
    return Costs(cloud, EDGE_COSTS, terms.ladder)


@dataclass
class Kept:
    """What a recorder committed."""

    tokens: list[TokenRow] = field(default_factory=list)
    requests: list[RequestRow] = field(default_factory=list)

    def __call__(self, tokens: list[TokenRow], requests: list[RequestRow]) -> None:
        self.tokens += tokens
        self.requests += requests


def recorder_of(plan: ArmPlan, kept: Kept | None = None) -> Recorder:
    count = sum(len(one.requests) for one in plan.devices)
    return Recorder(count, kept or Kept(), piece_tokens=3)


def begin(plan: ArmPlan, hosts: Hosts) -> CodecTerms:
    cloud, shards = hosts
    sizes = gather([host.submit("begin_arm", plan.arm) for host in (cloud, *shards)])
    size = sizes[0]
    assert isinstance(size, int)
    assert sizes == [size] * len(sizes)
    return codec_terms(plan, size)


def driver_of(
    plan: ArmPlan,
    hosts: Hosts | None = None,
    recorder: Recorder | None = None,
    *,
    cloud_cost: CostModel = CLOUD_COST,
) -> VirtualDriver:
    hosts = hosts or generated_hosts()
    terms = begin(plan, hosts)
    method = plan.arm.method
    return VirtualDriver(
        plan,
        terms,
        costs_of(terms, cloud=cloud_cost),
        # Session ids tell replicas' sessions apart, so one host can stand for several.
        [hosts[0]] * plan.replicas if method.cloud is not CloudRole.ABSENT else (),
        hosts[1] if method.edge_branches else (),
        recorder or recorder_of(plan),
    )


def run_virtual(plan: ArmPlan, hosts: Hosts | None = None) -> ArmRun:
    run = driver_of(plan, hosts).run()
    assert run.complete
    return run


# --------------------------------------------------------------------------- any fleet

_links = st.builds(
    link,
    propagation_ns=st.sampled_from((0, 3 * MS, 80 * MS)),
    rate_bps=st.sampled_from((0, 300_000, 20_000_000)),
    jitter_ns=st.sampled_from((0, 9 * MS)),
    loss=st.sampled_from((0.0, 0.3)),
)
_gaps = st.lists(st.integers(0, 150 * MS), max_size=3)


@st.composite
def _devices(draw: st.DrawFn) -> tuple[DevicePlan, ...]:
    """Up to seven devices, all in a closed loop or all in an open one; at least one request."""
    count = draw(st.integers(1, 7))
    opened = draw(st.booleans())
    found = []
    for number in range(count):
        plan = device(
            number,
            draw(st.integers(1, 3)),
            where=draw(_links),
            hardware=draw(st.sampled_from(sorted(EDGE_COSTS))),
            think_ns=draw(st.sampled_from((0, 20 * MS))),
            arrivals_ns=tuple(accumulate(draw(_gaps))) if opened else None,
            prompt_tokens=draw(st.integers(1, 30)),
        )
        found.append(plan)
    if not any(plan.requests for plan in found):
        found[0] = replace(device(0), arrivals_ns=(0,), think_ns=())
    return tuple(found)


@st.composite
def plans(draw: st.DrawFn, methods: Sequence[str] = tuple(m.name for m in METHODS)) -> ArmPlan:
    """Any small fleet, with limits that are tight but let each session in."""
    devices = draw(_devices())
    tokens = draw(st.integers(1, 4))
    longest = max(len(one.personal) for each in devices for one in each.requests) + tokens
    return arm_plan(
        draw(st.sampled_from(methods)),
        devices,
        codec=draw(
            st.sampled_from(
                ("top1-bf16-naive", "top8-bf16-packed", "top8-fp32-planar-zstd3", "dense-fp16")
            )
        ),
        max_new_tokens=tokens,
        eos=frozenset(range(0, VOCAB, draw(st.sampled_from((3, VOCAB + 1))))),
        refine=RefineConfig(
            growth=draw(st.integers(2, 4)),
            max_rounds=draw(st.integers(0, 3)),
            at_cap=draw(st.sampled_from(("dense", "accept"))),
        ),
        limits=replace(
            LIMITS,
            max_batch=draw(st.integers(1, 8)),
            chunk_tokens=draw(st.sampled_from((1, 5, 64))),
            kv_tokens=draw(st.sampled_from((longest, 3 * longest, 10_000))),
            preempts=draw(st.booleans()),
        ),
        egress_bps=draw(st.sampled_from((0, 2_000_000))),
        sampling=draw(st.sampled_from((Sampling(), Sampling(temperature=0.8)))),
        seed=draw(st.integers(0, 3)),
    )
