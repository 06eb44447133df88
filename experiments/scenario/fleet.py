"""The devices, their users, and when these ask."""

from __future__ import annotations

import math
from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_serializer, model_validator

from experiments.scenario.section import HardwareName, Section
from netsim.link_config import LinkConfig
from netsim.sharing import Discipline

_SHARES_TOLERANCE = 1e-6


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


Arrivals: TypeAlias = Annotated[ClosedArrivals | PoissonArrivals, Field(discriminator="kind")]


class DeviceClass(Section):
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


class FleetConfig(Section):
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
