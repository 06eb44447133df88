"""The devices, their users, and when these ask."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_serializer, field_validator, model_validator

from experiments.scenario.section import HardwareName, Section
from netsim.link_config import LinkConfig
from netsim.sharing import Discipline

_SHARES_TOLERANCE = 1e-6
MOST_DEVICES = 20_000_000
"""Of one fleet; one replica has a million at most."""


class ClosedArrivals(Section):
    """Closed loop: a user asks again some time after the last answer ended."""

    kind: Literal["closed"] = "closed"
    """`closed`."""
    think_s: float = Field(default=2.0, ge=0, le=86_400)
    """Mean pause between an answer's end and the next request, seconds."""
    requests_per_device: int = Field(default=1, ge=1, le=4096)
    """Requests of each user."""


class PoissonArrivals(Section):
    """Open loop: requests come at a rate, whether or not earlier ones are done."""

    kind: Literal["poisson"] = "poisson"
    """`poisson`."""
    rate_per_s: float = Field(gt=0, le=1e9)
    """Requests per second over the whole fleet."""
    requests: int = Field(ge=1)
    """Requests over the whole fleet."""


class RateStep(Section):
    """From some time on, every device asks so often."""

    from_s: float = Field(ge=0, le=1e9)
    """When it begins, seconds."""
    per_hour: float = Field(ge=0, le=3.6e6)
    """Requests per hour of each device, on average."""


class RatesArrivals(Section):
    """Open loop: every device asks at a rate that changes over time, an evening peak, say.

    Each device's requests are a Poisson process of its own, so a device's times depend on no other
    device, and the fleet's are a Poisson process of all rates together.
    """

    kind: Literal["rates"] = "rates"
    """`rates`."""
    steps: tuple[RateStep, ...] = Field(min_length=1, max_length=10_000)
    """The rates; each holds until the next one begins, the last one to the end of
    `workload.duration_s`."""

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        begins = [each.from_s for each in self.steps]
        if begins[0] != 0:
            raise ValueError(f"the first step begins at {begins[0]:g} s; let it begin at 0")
        if any(later <= earlier for earlier, later in pairwise(begins)):
            raise ValueError("steps: each has to begin after the one before; sort them by from_s")
        if not any(each.per_hour for each in self.steps):
            raise ValueError("steps: every rate is 0; give one that is not")
        return self


class TraceArrivals(Section):
    """Open loop: requests come as a recorded trace says, dealt out to the devices in turn."""

    kind: Literal["trace"] = "trace"
    """`trace`."""
    path: str = Field(min_length=1)
    """File of the trace."""
    format: Literal["azure", "mooncake"]
    """`azure` (CSV: TIMESTAMP, ContextTokens, GeneratedTokens) or `mooncake` (JSON lines:
    timestamp in ms, input_length, output_length)."""
    speed: float = Field(default=1.0, gt=0, le=1e6)
    """So many times as fast as recorded (no unit)."""
    lengths: bool = True
    """Whether prompts and answers are as long as the trace says (answers up to
    `workload.max_new_tokens`); its times alone if not."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many requests, from the first row on; all by default."""


Arrivals: TypeAlias = Annotated[
    ClosedArrivals | PoissonArrivals | RatesArrivals | TraceArrivals, Field(discriminator="kind")
]


class RoundRobin(Section):
    """Devices to replicas in turn."""

    kind: Literal["round_robin"] = "round_robin"
    """`round_robin`."""


class Weighted(Section):
    """Some replicas get more devices than others."""

    kind: Literal["weighted"] = "weighted"
    """`weighted`."""
    weights: tuple[float, ...] = Field(min_length=1)
    """Of each replica (no unit): its part of the devices is its part of the sum."""

    @field_validator("weights")
    @classmethod
    def _positive(cls, weights: tuple[float, ...]) -> tuple[float, ...]:
        if not all(0 < each < math.inf for each in weights):
            raise ValueError("every replica's weight is above 0; leave out those without devices")
        return weights


class Region(Section):
    """Where some devices live, and the replicas there."""

    share: float = Field(gt=0, le=1)
    """Part of the fleet (no unit); all regions together make 1."""
    replicas: int = Field(ge=1)
    """Replicas that serve it and no other."""


class Sticky(Section):
    """A device lives in a region, drawn once, and stays with a replica of that region."""

    kind: Literal["sticky"] = "sticky"
    """`sticky`."""
    regions: tuple[Region, ...] = Field(min_length=1)
    """The regions; their replicas together are `cloud.replicas`."""

    @model_validator(mode="after")
    def _whole(self) -> Self:
        total = math.fsum(each.share for each in self.regions)
        if abs(total - 1) > _SHARES_TOLERANCE:
            raise ValueError(f"the shares of regions add up to {total:g}, they have to make 1")
        return self


Placement: TypeAlias = Annotated[RoundRobin | Weighted | Sticky, Field(discriminator="kind")]


class DeviceClass(Section):
    """Devices that have the same link and the same hardware."""

    share: float = Field(gt=0, le=1)
    """Part of the fleet (no unit); all classes together make 1."""
    link: LinkConfig
    """A profile's name, a profile with changes, or a link in numbers."""
    hardware: HardwareName
    """Name of the device that the small model is charged as."""
    throttled: bool = False
    """Whether it has worked for minutes and is charged at what heat leaves of its speed."""
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

    @property
    def device_class(self) -> str:
        """What tables call its hardware."""
        return f"{self.hardware} (throttled)" if self.throttled else self.hardware

    @field_serializer("link")
    def _short_link(self, link: LinkConfig) -> object:
        written = link.model_dump(exclude_none=True)
        return link.profile if set(written) == {"profile"} else written


class FleetConfig(Section):
    """The devices and their users."""

    devices: int = Field(ge=1, le=MOST_DEVICES)
    """How many."""
    shards: int = Field(default=1, ge=1, le=1024)
    """Edge actors, each with one small model and its part of the devices."""
    arrivals: Arrivals = ClosedArrivals()
    """When users ask."""
    classes: tuple[DeviceClass, ...] = Field(min_length=1)
    """Kinds of devices, by their share of the fleet."""
    placement: Placement = RoundRobin()
    """Which replica serves which device, where there are several."""
    sample: int | None = Field(default=None, ge=0, le=1_000_000)
    """`way: fleet`: requests whose tokens are written down, of all; figures count them all in any
    case. If not given: all requests of a small run, a thousand of a large one."""

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
