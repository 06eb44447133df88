"""The model that this laboratory and a general simulator can both express.

Every device has one session: its frames all have one size each way, all links are alike, prompts
have one token, operations cost constants, and the cloud gathers batches. What is drawn is when
each session begins and the jitter of every frame, from the same streams in both.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from actors.costs import Costs
from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan, CodecTerms, DevicePlan, Request, codec_terms
from actors.values.null import NullConfig
from actors.values.port import ArmSpec
from costeer.cloud import EngineLimits
from costeer.codec.config import CodecConfig
from costeer.methods import method_named
from costeer.padding import PaddingConfig
from costeer.refinement import RefineConfig
from costeer.sampling import Sampling
from netsim.carriage import serialise_ns
from netsim.hardware import Fixed
from netsim.link import Direction
from netsim.profiles import LinkProfile
from netsim.random import Stream, uniform
from netsim.wire import wire_cost

_CLASS = "device"
_VOCAB = 400
_PLENTY = 10**9


@dataclass(frozen=True, slots=True)
class Reduced:
    """The model's numbers; times in ns.

    Args:
        devices: one session each.
        tokens: of each session.
        seed: of all draws.
        spread_ns: sessions begin within so long, evenly spread.
        max_batch: rows of a forward.
        forward_ns: of the cloud, whatever its rows.
        forward_per_row_ns: and for each row.
        select_ns: of a batch: select and encode.
        edge_ns: a forward of the small model.
        decode_ns: of a payload.
        steer_ns: of a token.
        frame_bytes_down: of every frame that comes down.
        frame_bytes_up: of every frame that goes up.
        rate_bps: of a link, each way.
        propagation_ns: each way.
        jitter_ns: mean of a frame's extra delay, exponentially distributed.
    """

    devices: int
    tokens: int
    seed: int = 7
    spread_ns: int = 2_000_000_000
    max_batch: int = 64
    forward_ns: int = 5_600_000
    forward_per_row_ns: int = 20_000
    select_ns: int = 140_000
    edge_ns: int = 31_000_000
    decode_ns: int = 5_000
    steer_ns: int = 2_400_000
    frame_bytes_down: int = 256
    frame_bytes_up: int = 64
    rate_bps: int = 20_000_000
    propagation_ns: int = 25_000_000
    jitter_ns: int = 3_000_000

    def start_ns(self, device: int) -> int:
        """When a device's user asks."""
        return int(uniform(self.seed, Stream.ARRIVAL, device, 0) * self.spread_ns)

    def transit_ns(self, frame_bytes: int) -> int:
        """How long a frame is under way, its jitter not counted."""
        wire_bytes = wire_cost(frame_bytes).bytes
        return serialise_ns(wire_bytes, self.rate_bps) + self.propagation_ns


def as_plan(model: Reduced) -> tuple[ArmPlan, CodecTerms, Costs, Outcomes]:
    """Return the model as an arm that this laboratory runs."""
    way = Direction(model.rate_bps, model.propagation_ns, model.jitter_ns)
    link = LinkProfile("reduced", way, way, "declared")
    request = Request("reduced", (1,), (1,))
    plan = ArmPlan(
        arm=ArmSpec(
            method_named("costeer"),
            1.0,
            CodecConfig.model_validate("top8-bf16-naive"),
            Sampling(),
            model.seed,
        ),
        devices=tuple(
            DevicePlan(device, link.name, link, _CLASS, (request,), (model.start_ns(device),))
            for device in range(model.devices)
        ),
        max_new_tokens=model.tokens,
        eos=frozenset(),
        refine=RefineConfig(max_rounds=0),
        limits=EngineLimits(
            max_batch=model.max_batch,
            chunk_tokens=_PLENTY,
            kv_tokens=_PLENTY,
            max_context=_PLENTY,
            max_sessions=_PLENTY,
            max_waiting=_PLENTY,
            idle_timeout_ns=_PLENTY * _PLENTY,
        ),
        egress_bps=0,
        padding=PaddingConfig(down_bytes=model.frame_bytes_down, up_bytes=model.frame_bytes_up),
    )
    terms = codec_terms(plan, _VOCAB)
    cloud = Fixed(
        forward=model.forward_ns, forward_per_row=model.forward_per_row_ns, select=model.select_ns
    )
    edge = Fixed(forward=model.edge_ns, decode=model.decode_ns, steer=model.steer_ns)
    said = Outcomes.constant(
        NullConfig(payload_bytes=100, vocab_size=_VOCAB, first_token=10, period=100),
        np.full(model.devices, model.tokens, np.int64),
        plan.eos,
    )
    return plan, terms, Costs(cloud, {_CLASS: edge}, terms.ladder), said
