"""The study: speed over acceptance, and every method on a grid of links, in simulated time.

One user at an idle cloud. Values are constants, so that acceptance can be set; forwards take what
the paper measured (cloud 41.9 ms) and 15 ms on the device, a payload weighs 165 bytes. A point is
the mean over seeds, which draw the drafts that are right; what arithmetic allows is told for the
share that they drew, which some hundred drafts miss by a percent or two.

Beside CoSteer stand ways to the large model's own text, without any context: the plain stream; the
same with drafts that the cloud makes for itself, looked up in the text or by a small model beside
the large one; and drafts that the device makes and the cloud verifies, token by token. How often
their drafts are right was measured on the shipped pair.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np

from actors.cloud import CloudActor
from actors.costs import Costs
from actors.edge import EdgeActor
from actors.plan import ArmPlan, DevicePlan, Request, codec_terms, session_id
from actors.port import LocalHandle
from actors.records import ArmRun, Recorder
from actors.values.null import NullCloudHost, NullConfig, NullEdgeHost
from actors.values.port import ArmSpec
from actors.virtual.driver import VirtualDriver
from costeer.codec.config import CodecConfig
from costeer.lookup import CloudDraftsConfig
from costeer.methods import CloudRole, method_named
from costeer.refinement import RefineConfig
from costeer.sampling import Sampling
from costeer.serving import EngineLimits
from costeer.speculation import SpeculationConfig
from experiments.evaluation.bootstrap import Interval, mean_interval
from experiments.speculation.arithmetic import Pace, pipelined_s, sequential_s
from netsim.hardware.fixed import Fixed
from netsim.link_config import LinkConfig
from netsim.profiles import LinkProfile
from netsim.random import Stream, uniform

FORWARD_S, DRAFT_S = 0.0419, 0.015
BESIDE_S = 0.0085
"""A forward of a small model beside the large one: as much less as its weights are, 1.5B of 7B."""
GENERIC, LOOKED_UP = 0.78, 0.12
"""How often the shipped pair's drafts are the large model's own token: those of the small model
without context, and those looked up in the text (12 held-out prompts of 48 tokens)."""
RTT_S = (0.0, 0.02, 0.05, 0.1, 0.2)
MBPS = (1.0, 10.0, 100.0)
ACCEPTANCES = (0.0, 0.2, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 1.0)
SEEDS = (1, 2, 3, 4, 5)
READER_TOKENS_PER_S = 5.0

_NS = 1e9
_TOKENS = 160
_AHEAD = 24
_CURVE_RTT_S, _CURVE_MBPS = 0.05, 100.0
_SEQUENTIAL = tuple(SpeculationConfig(drafts=drafts) for drafts in (1, 2, 4, 8))
_PIPELINED = SpeculationConfig(drafts=1, ahead=_AHEAD)
_ADAPTIVE = SpeculationConfig(drafts="adaptive")
_TOKENS_ALONE = SpeculationConfig(drafts="adaptive", draft="generic")


@dataclass(frozen=True, slots=True)
class Way:
    """A method, with drafts or without.

    Args:
        method: its name.
        speculation: how devices draft.
        cloud_drafts: how the cloud drafts for itself.
        acceptance: how often a draft is right; None: as often as a steered one.
        note: what to say in tables beside that.
    """

    method: str
    speculation: SpeculationConfig | None = None
    cloud_drafts: CloudDraftsConfig | None = None
    acceptance: float | None = None
    note: str = ""

    @property
    def label(self) -> str:
        """Name in tables."""
        told = self.note if self.speculation is None else self.speculation.label
        return f"{self.method}, {told}" if told else self.method

    @property
    def steered(self) -> bool:
        """Whether its text is CoSteer's."""
        return method_named(self.method).steered


WAYS = (
    Way("slm_with"),
    Way("llm_without"),
    Way("llm_without", None, CloudDraftsConfig(), LOOKED_UP, "4 looked up"),
    Way("llm_without", None, CloudDraftsConfig(kind="model"), GENERIC, "4 by a small model"),
    Way("token_speculation", _TOKENS_ALONE, acceptance=GENERIC),
    Way("costeer"),
    *(Way("costeer", each) for each in (*_SEQUENTIAL, _PIPELINED, _ADAPTIVE)),
)
"""What is compared on the grid."""


@dataclass(frozen=True, slots=True)
class Point:
    """A way on a link.

    Args:
        way: its label.
        rtt_s: of the link.
        mbps: of the link, either direction.
        acceptance: how often a draft is right.
        drawn: how many of those that these seeds drew are.
        tokens_per_s: after the first token of a text.
        stall_s: per text, how long a reader of five tokens a second waits.
        gpu_s: forwards of the large model per token that was chosen.
        expected_per_s: what arithmetic allows with the drafts that were drawn; None where it says
            nothing.
    """

    way: str
    rtt_s: float
    mbps: float
    acceptance: float
    drawn: float
    tokens_per_s: Interval
    stall_s: Interval
    gpu_s: Interval
    expected_per_s: float | None


@dataclass(frozen=True, slots=True)
class SpeculationStudy:
    """What was found.

    Args:
        acceptance: of the grid.
        curve: speed over acceptance, at a round trip of 50 ms.
        grid: every way on every link.
    """

    acceptance: float
    curve: tuple[Point, ...]
    grid: tuple[Point, ...]


def study(acceptance: float, seeds: Sequence[int] = SEEDS) -> SpeculationStudy:
    """Run curve and grid.

    Args:
        acceptance: of the grid; that of a pair of models.
        seeds: runs of each point.
    """
    drafting = [way for way in WAYS if way.speculation is not None and way.steered]
    curve = [
        measured(way, _CURVE_RTT_S, _CURVE_MBPS, each, seeds)
        for way, each in product((*drafting, Way("llm_without")), ACCEPTANCES)
        if way.speculation is not None or each == 0
    ]
    grid = [
        measured(way, rtt_s, mbps, acceptance, seeds)
        for rtt_s, mbps, way in product(RTT_S, MBPS, WAYS)
    ]
    return SpeculationStudy(acceptance, tuple(curve), tuple(grid))


def measured(way: Way, rtt_s: float, mbps: float, acceptance: float, seeds: Sequence[int]) -> Point:
    """Run one way on one link, once per seed."""
    link = LinkConfig(down_mbps=mbps, up_mbps=mbps, rtt_s=rtt_s).resolve()
    acceptance = acceptance if way.acceptance is None else way.acceptance
    runs = [_run(way, link, acceptance, seed) for seed in seeds]
    drawn = _drawn(acceptance, seeds)
    return Point(
        way.label,
        rtt_s,
        mbps,
        acceptance,
        drawn,
        mean_interval(np.array([speed_of(run) for run in runs])),
        mean_interval(np.array([_stall_s(run) for run in runs])),
        mean_interval(np.array([run.engine.forward_ns / _NS / len(run.tokens) for run in runs])),
        _expected(way, rtt_s, drawn),
    )


def _drawn(acceptance: float, seeds: Sequence[int]) -> float:
    """Return how many of the drafts that seeds draw are right, of every text's positions."""
    session = session_id(0, 0)
    draws = [
        uniform(seed, Stream.DRAFTS, session, at) for seed in seeds for at in range(1, _TOKENS)
    ]
    return float(np.mean(np.array(draws) < acceptance))


def _expected(way: Way, rtt_s: float, acceptance: float) -> float | None:
    pace = Pace(DRAFT_S, FORWARD_S, rtt_s)
    if way.cloud_drafts:
        alone = Pace(BESIDE_S if way.cloud_drafts.by_model else 0.0, FORWARD_S, 0.0)
        return 1 / sequential_s(alone, acceptance, way.cloud_drafts.drafts)
    if way.speculation is None:
        return {"llm_without": 1 / FORWARD_S, "slm_with": 1 / DRAFT_S}.get(way.method)
    # While the cloud runs a step, the device makes so many drafts for the next one.
    together = max(1, round(FORWARD_S / DRAFT_S))
    pipelined = 1 / pipelined_s(pace, acceptance, together)
    if way.speculation.drafts == "adaptive":
        return max(pipelined, *(1 / sequential_s(pace, acceptance, n) for n in range(1, 17)))
    if way.speculation.ahead:
        return pipelined
    return 1 / sequential_s(pace, acceptance, way.speculation.drafts)


def _run(way: Way, link: LinkProfile, acceptance: float, seed: int) -> ArmRun:
    plan = plan_of(way, link, seed)
    constants = NullConfig(vocab_size=4_096, acceptance=acceptance)
    cloud = LocalHandle(CloudActor(lambda: NullCloudHost(constants)))
    edge = LocalHandle(EdgeActor(lambda: NullEdgeHost(constants)))
    for host in (cloud, edge):
        host.call("begin_arm", plan.arm)
    terms = codec_terms(plan, constants.vocab_size)
    large, small = declared()
    beside = Fixed(forward=_ns(BESIDE_S)) if plan.arm.beside else None
    method = plan.arm.method
    driver = VirtualDriver(
        plan,
        terms,
        Costs(large, {"device": small}, terms.ladder, beside=beside),
        (cloud,) if method.cloud is not CloudRole.ABSENT else (),
        [edge] if method.edge_branches else [],
        Recorder(1, lambda *_: None),
    )
    return driver.run()


def declared() -> tuple[Fixed, Fixed]:
    """Return what the cloud's and the device's operations take, as declared."""
    large = Fixed(forward=_ns(FORWARD_S), select=50_000, encode=36_000)
    return large, Fixed(forward=_ns(DRAFT_S), decode=5_000, steer=100_000, choose=20_000)


def plan_of(
    way: Way, link: LinkProfile, seed: int, codec: str = "top64-bf16-packed", tokens: int = _TOKENS
) -> ArmPlan:
    """Return one device on a link, with one request."""
    public = tuple(range(64))
    request = Request("constant", public, tuple(range(64, 256)) + public)
    device = DevicePlan(0, "link", link, "device", (request,), (0,))
    return ArmPlan(
        arm=ArmSpec(
            method_named(way.method),
            1.0,
            CodecConfig.model_validate(codec),
            Sampling(),
            seed,
            beside=way.cloud_drafts is not None and way.cloud_drafts.by_model,
        ),
        devices=(device,),
        max_new_tokens=tokens,
        eos=frozenset(),
        refine=RefineConfig(),
        limits=EngineLimits(64, 2_048, 100_000, 4_096, 64, 64, 10**12),
        egress_bps=0,
        speculation=way.speculation,
        cloud_drafts=way.cloud_drafts,
    )


def speed_of(run: ArmRun) -> float:
    """Tokens per second from the first token to the last."""
    first, last = run.tokens[0], run.tokens[-1]
    return (len(run.tokens) - 1) / ((last.chosen_at_ns - first.chosen_at_ns) / _NS)


def _stall_s(run: ArmRun) -> float:
    """How long a reader who began with the first token had to wait for further ones."""
    at_s = np.array([row.chosen_at_ns for row in run.tokens]) / _NS
    due_s = np.arange(len(at_s)) / READER_TOKENS_PER_S
    return float(np.max(at_s - at_s[0] - due_s))


def _ns(seconds: float) -> int:
    return round(seconds * _NS)
