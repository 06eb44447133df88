"""What happens in the model while a run goes on: events that a scenario has at stated times.

They change what is measured. A death in the laboratory itself, an actor's or a node's, does not.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self, TypeAlias

from pydantic import Field, field_validator, model_validator

from experiments.scenario.section import Section


class CloudStalls(Section):
    """For a while a replica takes nothing and says nothing; then it goes on where it was."""

    kind: Literal["cloud_stalls"] = "cloud_stalls"
    """`cloud_stalls`."""
    at_s: float = Field(ge=0, le=1e9)
    """When it begins, seconds."""
    for_s: float = Field(gt=0, le=1e9)
    """How long it lasts, seconds."""
    replica: int | None = Field(default=None, ge=0)
    """Number of the replica that stalls; all of them if not given."""
    frames: Literal["held", "lost"] = "held"
    """What becomes of frames that come meanwhile: they are taken at its end (`held`), or never
    (`lost`: only `cloud.retry` helps)."""


class ReplicaFails(Section):
    """A replica forgets all its sessions and serves nobody; its devices turn to others."""

    kind: Literal["replica_fails"] = "replica_fails"
    """`replica_fails`."""
    at_s: float = Field(ge=0, le=1e9)
    """When it fails, seconds."""
    replica: int = Field(default=0, ge=0)
    """Which one, from 0."""
    noticed_after_s: float = Field(default=0.0, ge=0, le=1e9)
    """How long it takes until its devices open their sessions elsewhere, seconds."""
    back_after_s: float | None = Field(default=None, gt=0, le=1e9)
    """How long it takes until it is back, with nothing in its memory, seconds; it stays away if not
    given."""

    @property
    def back_s(self) -> float | None:
        """When it is back; None for never."""
        return None if self.back_after_s is None else self.at_s + self.back_after_s

    @model_validator(mode="after")
    def _noticed_in_time(self) -> Self:
        if self.back_after_s is not None and self.noticed_after_s > self.back_after_s:
            raise ValueError(
                f"noticed_after_s: {self.noticed_after_s:g} s, and it is back after"
                f" {self.back_after_s:g} s; make it no longer"
            )
        return self


class DeviceLeaves(Section):
    """Devices go without a word; what they had asked is not answered, and they ask no more."""

    kind: Literal["device_leaves"] = "device_leaves"
    """`device_leaves`."""
    at_s: float = Field(ge=0, le=1e9)
    """When they leave, seconds."""
    devices: tuple[Annotated[int, Field(ge=0)], ...] = Field(min_length=1, max_length=1_000_000)
    """Which ones, from 0."""

    @field_validator("devices")
    @classmethod
    def _each_once(cls, devices: tuple[int, ...]) -> tuple[int, ...]:
        if len(set(devices)) < len(devices):
            raise ValueError("a device leaves once; name each device once")
        return devices


Event: TypeAlias = Annotated[CloudStalls | ReplicaFails | DeviceLeaves, Field(discriminator="kind")]


def overlapping(events: tuple[Event, ...]) -> ReplicaFails | None:
    """Return a failure of a replica that has failed before and is not back; None for none."""
    until_s: dict[int, float] = {}
    for each in sorted(failures_of(events), key=lambda one: (one.at_s, one.replica)):
        if each.at_s < until_s.get(each.replica, 0.0):
            return each
        until_s[each.replica] = float("inf") if each.back_s is None else each.back_s
    return None


def failures_of(events: tuple[Event, ...]) -> tuple[ReplicaFails, ...]:
    """Return the failures of replicas."""
    return tuple(each for each in events if isinstance(each, ReplicaFails))


def departures_of(events: tuple[Event, ...]) -> tuple[DeviceLeaves, ...]:
    """Return the departures of devices."""
    return tuple(each for each in events if isinstance(each, DeviceLeaves))


def lost_for_ever(events: tuple[Event, ...]) -> frozenset[int]:
    """Return the replicas that fail and never come back."""
    return frozenset(each.replica for each in failures_of(events) if each.back_s is None)


def stalls_of(events: tuple[Event, ...]) -> tuple[CloudStalls, ...]:
    """Return the stalls of replicas."""
    return tuple(each for each in events if isinstance(each, CloudStalls))
