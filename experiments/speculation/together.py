"""Drafts and starting k, learnt together, beside the best fixed pair of each link.

How many tokens a device drafts depends on how long an exchange takes, and so on what k sends; how
many ranks pay depends on how many of the rows sent are used, and so on the drafts. The device
learns the one from round trips, drafting times and verdicts, the cloud the other from refinements,
the link and the rows that were used. Neither is told of the other: each sees what the other does.

Values are generated and really encoded, so that a certificate fails where k is too small; forwards
take what they take in ``study``. One user, an idle cloud, simulated time; speeds include the tokens
from which is learnt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np
import numpy.typing as npt

from actors.cloud import CloudActor
from actors.costs import Costs
from actors.edge import EdgeActor
from actors.plan import ArmPlan, codec_terms
from actors.port import LocalHandle
from actors.records import Recorder
from actors.values.generated import GeneratedConfig, RowSource
from actors.values.rows import RowCloudHost, RowEdgeHost
from actors.virtual.driver import VirtualDriver
from costeer.speculation import SpeculationConfig
from experiments.evaluation.bootstrap import Interval, mean_interval
from experiments.results.grid import Column, number, text_table
from experiments.speculation.shown import within
from experiments.speculation.study import Way, declared, plan_of, speed_of
from netsim.link_config import LinkConfig

LINKS = ((0.02, 1.0), (0.02, 10.0), (0.05, 10.0), (0.2, 1.0), (0.2, 10.0))
"""(round trip in s, Mbit/s either way)."""
KS = (16, 64, 256, 1024)
DRAFTS = (
    *(SpeculationConfig(drafts=drafts) for drafts in (1, 2, 4, 8)),
    SpeculationConfig(drafts=1, ahead=24),
)
_ADAPTIVE = SpeculationConfig(drafts="adaptive")
_NEAR = 0.95

F64 = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class LinkFound:
    """One link.

    Args:
        rtt_s: its round trip.
        mbps: its rate, either way.
        best: label of the best fixed drafts.
        best_k: the k that went with them.
        best_per_s: tokens per second of that pair.
        learnt_per_s: of what was learnt.
        share: the second over the first, seed by seed.
    """

    rtt_s: float
    mbps: float
    best: str
    best_k: int
    best_per_s: Interval
    learnt_per_s: Interval
    share: Interval


def together(
    acceptance: float, vocab_size: int, tokens: int, seeds: Sequence[int]
) -> tuple[LinkFound, ...]:
    """Run every pair and the learnt one on every link.

    Args:
        acceptance: how often a draft is right.
        vocab_size: V of the generated rows.
        tokens: of each text.
        seeds: of each point.
    """
    return tuple(
        _on_link(rtt_s, mbps, acceptance, vocab_size, tokens, seeds) for rtt_s, mbps in LINKS
    )


def _on_link(
    rtt_s: float,
    mbps: float,
    acceptance: float,
    vocab_size: int,
    tokens: int,
    seeds: Sequence[int],
) -> LinkFound:
    def speeds(codec: str, drafts: SpeculationConfig) -> F64:
        link = LinkConfig(down_mbps=mbps, up_mbps=mbps, rtt_s=rtt_s).resolve()
        plans = [plan_of(Way("costeer", drafts), link, seed, codec, tokens) for seed in seeds]
        return np.array([_speed(plan, acceptance, vocab_size) for plan in plans])

    fixed = {
        (drafts.label, k): speeds(f"top{k}-bf16-packed", drafts)
        for drafts, k in product(DRAFTS, KS)
    }
    best = max(fixed, key=lambda pair: float(fixed[pair].mean()))
    learnt = speeds("adaptive-bf16-packed", _ADAPTIVE)
    return LinkFound(
        rtt_s,
        mbps,
        *best,
        mean_interval(fixed[best]),
        mean_interval(learnt),
        mean_interval(learnt / fixed[best]),
    )


def _speed(plan: ArmPlan, acceptance: float, vocab_size: int) -> float:
    rows = partial(RowSource, GeneratedConfig(vocab_size=vocab_size))
    cloud = LocalHandle(CloudActor(partial(RowCloudHost, rows)))
    edge = LocalHandle(EdgeActor(partial(RowEdgeHost, rows, None, acceptance)))
    for host in (cloud, edge):
        host.call("begin_arm", plan.arm)
    terms = codec_terms(plan, vocab_size)
    large, small = declared()
    costs = Costs(large, {"device": small}, terms.ladder)
    recorder = Recorder(1, lambda *_: None)
    return speed_of(VirtualDriver(plan, terms, costs, (cloud,), [edge], recorder).run())


def table(found: Sequence[LinkFound]) -> str:
    """Return a line per link, and what it comes to."""
    columns = [
        Column("RTT", tuple(number(1e3 * one.rtt_s, 0) for one in found), unit="ms"),
        Column("rate", tuple(f"{one.mbps:g}" for one in found), unit="Mbit/s"),
        Column("best fixed", tuple(one.best for one in found), left=True),
        Column("k", tuple(str(one.best_k) for one in found)),
        Column("tokens/s", tuple(within(one.best_per_s, 1) for one in found), "", "best"),
        Column("tokens/s", tuple(within(one.learnt_per_s, 1) for one in found), "", "learnt"),
        Column("learnt/best", tuple(within(one.share, 3) for one in found)),
    ]
    near = sum(one.share.mean >= _NEAR for one in found)
    said = (
        f"Drafts and k learnt together reach {_NEAR:g} of the best of {len(DRAFTS) * len(KS)} fixed"
        f" pairs on {near} of {len(found)} links."
    )
    return f"{text_table(columns)}\n\n{said}"
