"""What a person writes to have something run: the models behind a scenario's YAML.

Each section is composed from the configuration that its owner keeps beside the code (link, codec,
strength, refinement, sampling). Units stand in the docstring under each field; what is not written
is filled in here, so that a resolved scenario says everything that was run.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from experiments.scenario.arms import ArmConfig, WorkloadConfig
from experiments.scenario.cloud import CloudConfig, TimingConfig
from experiments.scenario.events import (
    Event,
    departures_of,
    failures_of,
    lost_for_ever,
    overlapping,
    stalls_of,
)
from experiments.scenario.fleet import FleetConfig, RatesArrivals, Sticky, TraceArrivals, Weighted
from experiments.scenario.hosts import HostsConfig
from experiments.scenario.models import ModelsConfig
from experiments.scenario.prices import PricesConfig
from experiments.scenario.section import Section
from experiments.scenario.values import GeneratedValues, ProfileValues, RecordedValues
from netsim.hardware import Roofline, hardware_named, shape_named
from netsim.sharing import Discipline


def _values(given: object) -> object:
    # YAML reads a bare null as nothing.
    return "null" if given is None else given


class Scenario(Section):
    """A whole experiment: fleet, cloud, charges, arms and workload."""

    name: str = Field(min_length=1)
    """What tables and reports call it."""
    way: Literal["virtual", "live", "fleet"] = "virtual"
    """`virtual` (simulated clock, durations charged), `live` (the wall, durations measured) or
    `fleet` (as virtual, compiled, without hosts: constant values or a profile's)."""
    values: Annotated[
        Literal["models", "recorded", "generated", "profile", "null"], BeforeValidator(_values)
    ] = "models"
    """Where values come from: real `models`, their `recorded` logits, `generated` logits, the
    sizes and outcomes of a measured `profile`, or constants (`null`)."""
    seed: int = Field(default=0, ge=0, lt=2**63)
    """Names the run's random numbers; all arms see the same ones."""
    models: ModelsConfig = ModelsConfig()
    """Which models compute the values."""
    generated: GeneratedValues = GeneratedValues()
    """The shape of generated (or constant) values."""
    recorded: RecordedValues | None = None
    """Which recording `recorded` values are read from."""
    profile: ProfileValues | None = None
    """Which profile `profile` values are replayed from."""
    fleet: FleetConfig
    """The devices and their users."""
    cloud: CloudConfig = CloudConfig()
    """The large model's side."""
    hosts: HostsConfig = HostsConfig()
    """Where the run's actors live on a cluster; no result depends on it."""
    events: tuple[Event, ...] = Field(default=(), max_length=1000)
    """What happens while the run goes on."""
    timing: TimingConfig = TimingConfig()
    """What simulated forwards are charged as."""
    prices: PricesConfig | None = None
    """What GPUs and egress cost; no costs in money without it."""
    arms: tuple[ArmConfig, ...] = Field(min_length=1)
    """The methods compared."""
    workload: WorkloadConfig = WorkloadConfig()
    """What users ask for."""

    @model_validator(mode="after")
    def _recording_given(self) -> Self:
        if self.values == "recorded" and self.recorded is None:
            raise ValueError("recorded values need `recorded: {path: …}`")
        if self.values == "profile" and self.profile is None:
            raise ValueError("profile values need `profile: {path: …}`")
        if self.values == "profile" and self.way == "live":
            raise ValueError(
                "way: live computes and sends real payloads, which a profile does not hold; choose"
                " way: virtual or way: fleet"
            )
        return self

    @model_validator(mode="after")
    def _compiled_fleets_compute_nothing(self) -> Self:
        if self.way == "fleet" and self.values not in {"null", "profile"}:
            raise ValueError(
                f'way: fleet computes no values: write values: profile or values: "null", or choose'
                f" way: virtual for values: {self.values}"
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
    def _replicas_have_devices(self) -> Self:
        replicas = self.cloud.replicas
        if replicas > self.fleet.devices:
            raise ValueError(
                f"cloud.replicas: {replicas} for {self.fleet.devices} devices; at most one replica"
                " per device"
            )
        placement = self.fleet.placement
        if isinstance(placement, Weighted):
            placed, said = len(placement.weights), "weights"
        elif isinstance(placement, Sticky):
            placed, said = sum(each.replicas for each in placement.regions), "regions"
        else:
            return self
        if placed != replicas:
            raise ValueError(
                f"fleet.placement.{said}: are for {placed} replicas, cloud.replicas is {replicas};"
                " make them equal"
            )
        return self

    @model_validator(mode="after")
    def _stalls_are_survived(self) -> Self:
        retry = self.cloud.retry
        if retry is None and any(each.frames == "lost" for each in stalls_of(self.events)):
            raise ValueError(
                "events: frames that are lost are waited for for ever; say with cloud.retry when"
                " devices ask again, or write frames: held"
            )
        if retry is not None and retry.fallback != "none" and self.values == "profile":
            raise ValueError(
                "cloud.retry.fallback: a profile does not hold what small models say alone; choose"
                " other values, or fallback: none"
            )
        return self

    @model_validator(mode="after")
    def _events_can_happen(self) -> Self:
        if not self.events:
            return self
        named = [each.replica for each in stalls_of(self.events)]
        named += [each.replica for each in failures_of(self.events)]
        for replica in named:
            if replica is not None and replica >= self.cloud.replicas:
                raise ValueError(
                    f"events: there is no replica {replica}; cloud.replicas is"
                    f" {self.cloud.replicas}, and they are counted from 0"
                )
        again = overlapping(self.events)
        if again is not None:
            raise ValueError(
                f"events: replica {again.replica} fails at {again.at_s:g} s and is not back from an"
                " earlier failure; let it be back before, or leave one of them out"
            )
        leaving = [device for one in departures_of(self.events) for device in one.devices]
        if any(device >= self.fleet.devices for device in leaving):
            raise ValueError(
                f"events: there is no device {max(leaving)}; fleet.devices is"
                f" {self.fleet.devices}, counted from 0"
            )
        if len(set(leaving)) < len(leaving):
            raise ValueError("events: a device leaves once; name each device in one event")
        nobody = len(lost_for_ever(self.events)) == self.cloud.replicas
        if nobody and self.workload.duration_s is None:
            raise ValueError(
                "events: no replica is left in the end, and sessions would wait for ever; say"
                " when one is back with back_after_s"
                + ("" if self.way == "live" else ", or when the run stops with workload.duration_s")
            )
        return self

    @model_validator(mode="after")
    def _time_is_bounded_where_it_has_to_be(self) -> Self:
        duration_s = self.workload.duration_s
        if duration_s is not None and self.way == "live":
            raise ValueError(
                "workload.duration_s: way: live serves every request to its end; choose way:"
                " virtual or fleet, or leave it out"
            )
        if isinstance(self.fleet.arrivals, RatesArrivals) and duration_s is None:
            raise ValueError(
                "fleet.arrivals: requests at a rate come for ever; say when the run stops with"
                " workload.duration_s"
            )
        return self

    @model_validator(mode="after")
    def _lengths_are_nobody_elses(self) -> Self:
        if self.workload.lengths is not None and self.values not in {"generated", "null"}:
            raise ValueError(
                f"workload.lengths: the lengths of values: {self.values} are those of their texts;"
                " leave it out"
            )
        traced = isinstance(self.fleet.arrivals, TraceArrivals) and self.fleet.arrivals.lengths
        if traced and self.values in {"models", "recorded"}:
            raise ValueError(
                f"fleet.arrivals.lengths: the lengths of values: {self.values} are those of their"
                " texts; write lengths: false to follow the trace's times alone"
            )
        if traced and self.workload.lengths is not None:
            lengths = self.workload.lengths
            if lengths.public is not None or lengths.answer is not None:
                raise ValueError(
                    "workload.lengths: the trace says how long prompts and answers are; leave out"
                    " public and answer, or write fleet.arrivals.lengths: false"
                )
        return self

    @model_validator(mode="after")
    def _models_fit_devices(self) -> Self:
        charged = [(self.timing.cloud_model, self.cloud.hardware)]
        charged += [(self.timing.edge_model, each.hardware) for each in self.fleet.classes]
        for model, hardware in charged:
            Roofline(hardware_named(hardware), shape_named(model))
        return self
