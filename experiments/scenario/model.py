"""What a person writes to have something run: the models behind a scenario's YAML.

Each section is composed from the configuration that its owner keeps beside the code (link, codec,
strength, refinement, sampling). Units stand in the docstring under each field; what is not written
is filled in here, so that a resolved scenario says everything that was run.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Annotated, Any, Literal, Self, TypeAlias

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_serializer,
    field_validator,
    model_validator,
)

from actors.models.numerics import Numerics
from actors.values.generated import GeneratedConfig
from costeer.codec.config import AnyCodecConfig, CodecConfig
from costeer.errors import ConfigError
from costeer.methods import Method, method_named
from costeer.padding import PaddingConfig
from costeer.refinement import RefineConfig
from costeer.sampling import SamplingConfig
from costeer.steering import StrengthConfig
from netsim.hardware import Roofline, hardware_named, shape_named
from netsim.link_config import LinkConfig
from netsim.sharing import Discipline

SHIPPED_MODELS = Path(__file__).parent.parent / "pair" / "models"
"""The folders of the shipped models."""

_SHARES_TOLERANCE = 1e-6
HardwareName: TypeAlias = Annotated[str, AfterValidator(lambda name: hardware_named(name).name)]
ShapeName: TypeAlias = Annotated[str, AfterValidator(lambda name: shape_named(name).name)]


class _Section(BaseModel):
    """What all sections share: unknown keys are errors, a read scenario never changes."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


# --------------------------------------------------------------------------- models


class HfModel(_Section):
    """A causal language model in Hugging Face format."""

    kind: Literal["hf"] = "hf"
    """`hf`."""
    path: str = Field(min_length=1)
    """`pair/llm` or `pair/slm` (the shipped pair), a local folder, or a hub name."""

    @property
    def location(self) -> str:
        """The folder or hub name; the shipped pair's folder, wherever the project is installed."""
        family, _, name = self.path.partition("/")
        shipped = SHIPPED_MODELS / name
        return str(shipped) if family == "pair" and shipped.is_dir() else self.path


class ModelsConfig(_Section):
    """The two models; they have to share their tokens."""

    cloud: HfModel = HfModel(path="pair/llm")
    """The large model, in the cloud."""
    edge: HfModel = HfModel(path="pair/slm")
    """The small model, on every device."""
    numerics: Numerics = Numerics.BATCH_INVARIANT
    """`batch-invariant` (same bits whoever shares the batch), `fp32` or `bf16`."""


class GeneratedValues(_Section):
    """Seeded logits in the shape of a large model's, really encoded and sent."""

    vocab_size: int = Field(default=151_936, ge=2, lt=2**31)
    """V, tokens; 151,936 is Qwen2.5's. Constant (`null`) values have it too."""
    sigma: float = Field(default=1.0, ge=0, allow_inf_nan=False)
    """Standard deviation of Δ, nats."""
    boosted: int = Field(default=2, ge=0)
    """Tokens per position that the private context raises."""
    boost_nats: tuple[float, float] = (1.0, 4.0)
    """By how much at least and at most, nats."""
    boost_ranks: int = Field(default=64, ge=1)
    """The cloud's ranks that raised tokens are drawn from."""
    noise_nats: float = Field(default=0.25, ge=0, allow_inf_nan=False)
    """Standard deviation of a logit about the shape of its rank, nats."""
    slope: float = Field(default=2.1, gt=0, allow_inf_nan=False)
    """Median slope of a row's head, nats per e-fold of rank; each row's is within 1.1 and 6."""
    slope_spread: float = Field(default=0.45, ge=0, allow_inf_nan=False)
    """Standard deviation of the slope's logarithm."""
    highest: tuple[float, float] = (18.0, 30.0)
    """A row's largest logit at least and at most."""
    tail: Literal["normal", "laplace"] = "normal"
    """How Δ falls off over the vocabulary; `laplace` is the heavier one."""
    prompt_tokens: int = Field(default=64, ge=1, le=1_000_000)
    """Length of the public prompt, tokens."""
    context_tokens: int = Field(default=192, ge=0, le=1_000_000)
    """Length of the private context in front of it, tokens."""

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        try:
            self.build()
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("generated: ")) from error
        return self

    def build(self) -> GeneratedConfig:
        """The frozen value that the hosts use."""
        return GeneratedConfig(
            vocab_size=self.vocab_size,
            sigma=self.sigma,
            boosted=self.boosted,
            boost_nats=self.boost_nats,
            boost_ranks=self.boost_ranks,
            noise_nats=self.noise_nats,
            slope=self.slope,
            slope_spread=self.slope_spread,
            highest=self.highest,
            tail=self.tail,
        )


class RecordedValues(_Section):
    """Logits and Δ of real models, served from a file."""

    path: str = Field(min_length=1)
    """A file of `costeer record-logits`."""


# --------------------------------------------------------------------------- fleet


class ClosedArrivals(_Section):
    """Closed loop: a user asks again some time after the last answer ended."""

    kind: Literal["closed"] = "closed"
    """`closed`."""
    think_s: float = Field(default=2.0, ge=0, le=86_400)
    """Mean pause between an answer's end and the next request, seconds."""
    requests_per_device: int = Field(default=1, ge=1, le=4096)
    """Requests of each user."""


class PoissonArrivals(_Section):
    """Open loop: requests come at a rate, whether or not earlier ones are done."""

    kind: Literal["poisson"] = "poisson"
    """`poisson`."""
    rate_per_s: float = Field(gt=0, le=1e9)
    """Requests per second over the whole fleet."""
    requests: int = Field(ge=1)
    """Requests over the whole fleet."""


Arrivals: TypeAlias = Annotated[ClosedArrivals | PoissonArrivals, Field(discriminator="kind")]


class DeviceClass(_Section):
    """Devices that have the same link and the same hardware."""

    share: float = Field(gt=0, le=1)
    """Part of the fleet (no unit); all classes together make 1."""
    link: LinkConfig
    """A profile's name, a profile with changes, or a link in numbers."""
    hardware: HardwareName
    """Name of the device that the small model is charged as."""
    shared_by: int = Field(default=1, ge=1, le=1_000_000)
    """So many devices of the class share the link's rates: a radio cell, an access line."""
    sharing: Discipline = Discipline.PS
    """How they share them: `ps` (at the same time, fairly) or `fifo` (frame by frame)."""

    @model_validator(mode="after")
    def _cells_are_constant(self) -> Self:
        if self.shared_by > 1 and self.link.trace is not None:
            raise ValueError(
                "a cell that devices share has a constant rate; leave out shared_by or trace"
            )
        if self.shared_by > 1 and self.link.spread:
            raise ValueError(
                "devices that share a cell have one rate; leave out shared_by or spread"
            )
        return self

    @field_serializer("link")
    def _short_link(self, link: LinkConfig) -> object:
        written = link.model_dump(exclude_none=True)
        return link.profile if set(written) == {"profile"} else written


class FleetConfig(_Section):
    """The devices and their users."""

    devices: int = Field(ge=1, le=1_000_000)
    """How many."""
    shards: int = Field(default=1, ge=1, le=1024)
    """Edge actors, each with one small model and its part of the devices."""
    arrivals: Arrivals = ClosedArrivals()
    """When users ask."""
    classes: tuple[DeviceClass, ...] = Field(min_length=1)
    """Kinds of devices, by their share of the fleet."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = math.fsum(each.share for each in self.classes)
        if abs(total - 1) > _SHARES_TOLERANCE:
            raise ValueError(f"the shares of classes add up to {total:g}, they have to make 1")
        if self.shards > self.devices:
            raise ValueError(
                f"{self.shards} shards for {self.devices} devices; at most one shard per device"
            )
        return self


# --------------------------------------------------------------------------- cloud and charges


class CloudConfig(_Section):
    """The large model's side."""

    replicas: int = Field(default=1, ge=1)
    """Copies of the large model."""
    hardware: HardwareName = "h100"
    """Name of the device that the large model is charged as."""
    max_batch: int = Field(default=64, ge=1, le=65_536)
    """Rows of one forward."""
    chunk_tokens: int = Field(default=512, ge=1)
    """Prompt tokens of one forward, over all its rows."""
    kv_bytes: int | Literal["auto"] = "auto"
    """Memory for keys and values, bytes; `auto` is what the hardware has left beside the model."""
    kv_tokens: int | None = Field(default=None, ge=1)
    """The same in tokens; replaces `kv_bytes`."""
    idle_timeout_s: float = Field(default=60.0, gt=0, le=86_400)
    """Silence after which a session is dropped, seconds."""
    egress_mbps: float = Field(default=10_000.0, gt=0, le=1e6)
    """Rate of the cloud's way out, shared by all devices, Mbit/s."""
    egress_sharing: Discipline = Discipline.FIFO
    """How they share it: `fifo` (frame by frame) or `ps` (at the same time, max-min fairly)."""

    @field_validator("replicas")
    @classmethod
    def _one_replica(cls, replicas: int) -> int:
        if replicas != 1:
            raise ValueError(f"{replicas} replicas are not built yet; give 1")
        return replicas

    @field_validator("kv_bytes")
    @classmethod
    def _some_memory(cls, kv_bytes: int | str) -> int | str:
        if isinstance(kv_bytes, int) and kv_bytes < 1:
            raise ValueError(f"{kv_bytes} bytes hold no token; give more, or auto")
        return kv_bytes

    @model_validator(mode="after")
    def _memory_said_once(self) -> Self:
        if self.kv_tokens is not None and self.kv_bytes != "auto":
            raise ValueError("kv_bytes and kv_tokens say the same thing; give one of them")
        return self


class TimingConfig(_Section):
    """What simulated forwards are charged as, whatever really computed the values."""

    cloud_model: ShapeName = "qwen2.5-7b"
    """Name of the model that a cloud forward is charged as."""
    edge_model: ShapeName = "qwen2.5-1.5b"
    """Name of the model that a device's forward is charged as."""
    calibration: Path | None = None
    """File written by `costeer calibrate`: all operations are charged by it, whatever hardware is
    named."""


# --------------------------------------------------------------------------- arms


class ArmConfig(_Section):
    """One method with its settings; every arm runs the same fleet and the same prompts."""

    method: str
    """Name of the method."""
    strength: StrengthConfig | None = None
    """How strongly Δ steers (a bare number is c); steered methods have the paper's by default."""
    codec: AnyCodecConfig | None = None
    """How logits go down; dense fp16 by default. Steered methods alone."""
    refine: RefineConfig | None = None
    """What a device does when a choice is not certified. Steered methods alone."""
    padding: PaddingConfig | None = None
    """Buckets that frame sizes are filled up to; none by default. Steered methods alone."""
    sampling: SamplingConfig = SamplingConfig()
    """How tokens are chosen; greedy by default."""

    @field_validator("method")
    @classmethod
    def _known(cls, name: str) -> str:
        try:
            method_named(name)
        except ConfigError as error:
            raise ValueError(str(error).removeprefix("method: ")) from error
        return name

    @model_validator(mode="before")
    @classmethod
    def _fill_in(cls, given: Any) -> Any:  # noqa: ANN401 - pydantic hands over what was written
        if not isinstance(given, dict):
            return given
        try:
            method = method_named(given.get("method", ""))
        except ConfigError:
            return given  # the field says what is wrong with it
        if not method.steered:
            return given
        filled = {key: value for key, value in given.items() if value is not None}
        filled.setdefault("strength", {"T": method.default_strength})
        filled.setdefault("codec", CodecConfig())
        filled.setdefault("refine", RefineConfig())
        return filled

    @model_validator(mode="after")
    def _fits_method(self) -> Self:
        if not self.settings.steered:
            for name in ("strength", "codec", "refine", "padding"):
                if getattr(self, name) is not None:
                    raise ValueError(f"{name} has no effect on {self.method}: leave it out")
        return self

    @property
    def settings(self) -> Method:
        """Who sees what, who chooses, what crosses."""
        return method_named(self.method)


# --------------------------------------------------------------------------- workload


class WorkloadConfig(_Section):
    """What users ask for."""

    prompts: str = "held-out"
    """`held-out` or `dev` (rows for looking and choosing), `test`, `test-templates`, or the path
    of a JSONL file."""
    limit: int | None = Field(default=None, ge=1)
    """Use only so many rows, from the first; all of them by default."""
    max_new_tokens: int = Field(default=64, ge=1, le=1_000_000)
    """Tokens of an answer, at most."""
    ignore_eos: bool = False
    """Run every answer to `max_new_tokens`."""


# --------------------------------------------------------------------------- scenario


def _values(given: object) -> object:
    # YAML reads a bare null as nothing.
    return "null" if given is None else _refuse_planned(given, {"profile"})


def _refuse_planned(given: object, planned: set[str]) -> object:
    """Say of a choice of the design that no code carries out so far that it is not built."""
    if isinstance(given, str) and given in planned:
        raise ValueError(f"{given!r} is not built yet; choose another")
    return given


class Scenario(_Section):
    """A whole experiment: fleet, cloud, charges, arms and workload."""

    name: str = Field(min_length=1)
    """What tables and reports call it."""
    way: Literal["virtual", "live", "fleet"] = "virtual"
    """`virtual` (simulated clock, durations charged), `live` (the wall, durations measured) or
    `fleet` (as virtual, compiled, without hosts: constant values alone)."""
    values: Annotated[
        Literal["models", "recorded", "generated", "null"], BeforeValidator(_values)
    ] = "models"
    """Where values come from: real `models`, their `recorded` logits, `generated` logits, or
    constants (`null`)."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Names the run's random numbers; all arms see the same ones."""
    models: ModelsConfig = ModelsConfig()
    """Which models compute the values."""
    generated: GeneratedValues = GeneratedValues()
    """The shape of generated (or constant) values."""
    recorded: RecordedValues | None = None
    """Which recording `recorded` values are read from."""
    fleet: FleetConfig
    """The devices and their users."""
    cloud: CloudConfig = CloudConfig()
    """The large model's side."""
    timing: TimingConfig = TimingConfig()
    """What simulated forwards are charged as."""
    arms: tuple[ArmConfig, ...] = Field(min_length=1)
    """The methods compared."""
    workload: WorkloadConfig = WorkloadConfig()
    """What users ask for."""

    @model_validator(mode="after")
    def _recording_given(self) -> Self:
        if self.values == "recorded" and self.recorded is None:
            raise ValueError("recorded values need `recorded: {path: …}`")
        return self

    @model_validator(mode="after")
    def _compiled_fleets_are_constant(self) -> Self:
        if self.way == "fleet" and self.values != "null":
            raise ValueError(
                f'way: fleet carries no values: write values: "null", or choose way: virtual for'
                f" values: {self.values}"
            )
        return self

    @model_validator(mode="after")
    def _shared_links_are_simulated(self) -> Self:
        if self.way != "live":
            return self
        if any(each.shared_by > 1 for each in self.fleet.classes):
            raise ValueError(
                "fleet.classes: shared_by > 1 is simulated only, a live device waits out a link"
                " of its own; choose way: virtual, or shared_by: 1"
            )
        if self.cloud.egress_sharing is Discipline.PS:
            raise ValueError(
                "cloud.egress_sharing: ps is simulated only; choose way: virtual, or fifo"
            )
        return self

    @model_validator(mode="after")
    def _traced_links_stand_alone(self) -> Self:
        traced = any(each.link.trace is not None for each in self.fleet.classes)
        if traced and self.cloud.egress_sharing is Discipline.PS:
            raise ValueError(
                "cloud.egress_sharing: ps shares constant rates, a link of the fleet follows a"
                " trace; choose fifo, or leave out trace"
            )
        return self

    @model_validator(mode="after")
    def _models_fit_devices(self) -> Self:
        charged = [(self.timing.cloud_model, self.cloud.hardware)]
        charged += [(self.timing.edge_model, each.hardware) for each in self.fleet.classes]
        for model, hardware in charged:
            Roofline(hardware_named(hardware), shape_named(model))
        return self
