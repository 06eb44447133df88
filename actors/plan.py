"""What a fleet is to do: devices, their classes, and when their users ask for what."""

from __future__ import annotations

from dataclasses import dataclass

from actors.failures import ALIKE, Departure, ReplicaFailure, Standing
from actors.retry import RetryPolicy
from actors.stalls import Stall
from actors.values.port import ArmSpec
from costeer.cloud import EngineLimits, EngineSpec
from costeer.codec.config import (
    AdaptiveConfig,
    AnyCodecConfig,
    CodecConfig,
    StepConfig,
    is_adaptive,
)
from costeer.codec.core import build_codec
from costeer.errors import ConfigError
from costeer.gate import GateConfig
from costeer.learning import LearnerSpec, naive_bytes, packed_bytes
from costeer.lookup import CloudDraftsConfig
from costeer.methods import Prompt
from costeer.padding import NO_PADDING, PaddingConfig
from costeer.refinement import Ladder, RefineConfig
from costeer.session import SessionSpec
from costeer.speculation import SpeculationConfig
from netsim.profiles import LinkProfile
from netsim.sharing import Discipline

REQUEST_BITS = 12
MOST_NAMED = 1 << (32 - REQUEST_BITS)
"""Devices whose sessions a frame's ids can tell apart."""


@dataclass(frozen=True, slots=True)
class Request:
    """What one user asks once.

    Args:
        prompt_id: id of the prompt's row.
        public: prompt ids without the private context.
        personal: prompt ids with it.
        limit: the most tokens of this answer; None for the arm's limit.
        own: both in the small model's ids; None where these are the cloud's.
    """

    prompt_id: str
    public: tuple[int, ...]
    personal: tuple[int, ...]
    limit: int | None = None
    own: tuple[tuple[int, ...], tuple[int, ...]] | None = None

    def branch(self, which: Prompt) -> tuple[int, ...]:
        """Return a prompt as the device's small model reads it."""
        public, personal = self.own or (self.public, self.personal)
        return public if which is Prompt.PUBLIC else personal


@dataclass(frozen=True, slots=True)
class Cell:
    """What some devices share: a radio cell or an access line with the rates of their link.

    Args:
        number: which one; unique in the fleet.
        discipline: how they are served.
    """

    number: int
    discipline: Discipline


@dataclass(frozen=True, slots=True)
class DevicePlan:
    """One device and its user.

    Args:
        device: id.
        link_class: name of its link in tables.
        link: its own link's figures, drawn already.
        device_class: name of its hardware.
        requests: what the user asks, in order.
        think_ns: closed loop: the pause before each request, from the run's start and then from
            the end of the request before.
        arrivals_ns: open loop: when each request comes, whether or not the one before has ended
            (it then waits at the device); None in a closed loop.
        cell: what it shares with other devices of its class; None for a link of its own.
        replica: number of the replica that serves it.
    """

    device: int
    link_class: str
    link: LinkProfile
    device_class: str
    requests: tuple[Request, ...]
    think_ns: tuple[int, ...]
    arrivals_ns: tuple[int, ...] | None = None
    cell: Cell | None = None
    replica: int = 0


@dataclass(frozen=True, slots=True)
class ArmPlan:
    """One arm: the same fleet under one method and codec.

    Args:
        arm: what the hosts need to know.
        devices: the fleet.
        max_new_tokens: of each request.
        eos: ids that end a text; empty to run every request to its limit.
        refine: what a device does when a choice is not certified.
        padding: buckets of frame sizes.
        limits: what the engine of a replica may use.
        egress_bps: a replica's way out; 0 for no limit.
        egress_discipline: how devices share it.
        until_ns: simulated time at which everything stops; 0 to run to every session's end.
        speculation: how devices draft; None: one exchange a token.
        gate: when steering pauses, of a method that lets it.
        cloud_drafts: how the cloud drafts for what it streams; None: not at all.
        replicas: copies of the large model.
        retry: how long devices wait for the cloud; None: for ever.
        stalls: when the cloud does nothing.
        standing: who stands in for a replica that fails.
        failures: of replicas; of one they do not overlap.
        departures: of devices, each once.
    """

    arm: ArmSpec
    devices: tuple[DevicePlan, ...]
    max_new_tokens: int
    eos: frozenset[int]
    refine: RefineConfig
    limits: EngineLimits
    egress_bps: int
    padding: PaddingConfig = NO_PADDING
    egress_discipline: Discipline = Discipline.FIFO
    until_ns: int = 0
    speculation: SpeculationConfig | None = None
    gate: GateConfig | None = None
    cloud_drafts: CloudDraftsConfig | None = None
    replicas: int = 1
    retry: RetryPolicy | None = None
    stalls: tuple[Stall, ...] = ()
    standing: Standing = ALIKE
    failures: tuple[ReplicaFailure, ...] = ()
    departures: tuple[Departure, ...] = ()

    def new_tokens(self, request: Request) -> int:
        """Return the most tokens of a request's answer."""
        limit = self.max_new_tokens
        return limit if request.limit is None else min(request.limit, limit)

    @property
    def expected_tokens(self) -> int:
        """The most tokens that this arm can generate."""
        return sum(self.new_tokens(each) for device in self.devices for each in device.requests)


@dataclass(frozen=True, slots=True)
class CodecTerms:
    """What both sides have to agree on about the codec.

    Args:
        name: short name in tables.
        fingerprint: of its configuration.
        ladder: ranks per refinement round.
        vocab_size: V of the logits.
        learner: what chooses each step's ladder; None where the codec's k is fixed.
    """

    name: str
    fingerprint: int
    ladder: Ladder
    vocab_size: int
    learner: LearnerSpec | None = None


def codec_terms(plan: ArmPlan, vocab_size: int) -> CodecTerms:
    """Return the terms of an arm's codec for rows of ``vocab_size``."""
    codec = build_codec(plan.arm.codec, vocab_size)
    ladder = Ladder(codec.first_k, vocab_size, plan.refine)
    learner = learner_spec(plan.arm.codec, plan.refine, vocab_size)
    return CodecTerms(codec.name, codec.fingerprint, ladder, vocab_size, learner)


def learner_spec(
    codec: AnyCodecConfig, refine: RefineConfig, vocab_size: int
) -> LearnerSpec | None:
    """Return what learns the starting k of a codec; None where k is fixed."""
    if not isinstance(codec, CodecConfig) or not isinstance(codec.select, AdaptiveConfig):
        return None
    packed = codec.layout == "packed"
    values = "step" if isinstance(codec.values, StepConfig) else codec.values
    span_bytes = packed_bytes(vocab_size, values) if packed else naive_bytes(vocab_size, values)
    select = codec.select
    return LearnerSpec(refine, vocab_size, select.k_min, select.k_max, span_bytes)


def learns_k(plan: ArmPlan) -> bool:
    """Whether the cloud of an arm learns the starting k of what it sends."""
    return is_adaptive(plan.arm.codec) and plan.arm.method.steered


def engine_spec(plan: ArmPlan, terms: CodecTerms) -> EngineSpec:
    """Return what the cloud engine of an arm serves."""
    return EngineSpec(
        plan.limits,
        terms.vocab_size,
        plan.eos,
        terms.fingerprint,
        terms.ladder,
        terms.learner,
        plan.padding.down_bytes,
        plan.gate,
        plan.cloud_drafts.drafts if plan.cloud_drafts is not None else 0,
    )


def session_id(device: int, request: int) -> int:
    """Return the id of a device's n-th session: a function of the two alone.

    Raises:
        ConfigError: a million devices and 4,096 requests each are what a frame's 32 bits hold.
    """
    if request >> REQUEST_BITS or device >= MOST_NAMED:
        raise ConfigError(
            f"device {device}, request {request}: at most {MOST_NAMED} devices"
            f" with {1 << REQUEST_BITS} requests each can be told apart"
        )
    return device << REQUEST_BITS | request


def device_and_request(session: int) -> tuple[int, int]:
    """Return the device of a session id, and which of its sessions it is."""
    return session >> REQUEST_BITS, session & (1 << REQUEST_BITS) - 1


def session_spec(
    plan: ArmPlan, device: DevicePlan, index: int, terms: CodecTerms, epoch: int = 0
) -> SessionSpec:
    """Return what a device's n-th session is to do."""
    request = device.requests[index]
    session = session_id(device.device, index)
    patience = plan.retry.patience(plan.arm.seed, session) if plan.retry is not None else None
    return SessionSpec(
        session=session,
        method=plan.arm.method,
        public=request.public,
        personal=request.personal,
        max_new_tokens=plan.new_tokens(request),
        eos=plan.eos,
        codec_fingerprint=terms.fingerprint,
        ladder=terms.ladder,
        round_trip_bytes=device.link.round_trip_bytes if terms.learner else 0,
        bucket_bytes=plan.padding.up_bytes,
        epoch=epoch,
        speculation=plan.speculation,
        overlap=plan.arm.overlap,
        own=request.own,
        patience=patience,
    )
