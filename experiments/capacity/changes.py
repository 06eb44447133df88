"""Other scenarios made of one: another number of devices, one arm, one link, a cheaper resource.

A resource has a cost; multiplied by 0.5 it is relieved (a GPU twice as fast, an egress twice as
wide), multiplied by 1.2 it is 20 % dearer. Only what is named changes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from costeer.errors import ConfigError
from experiments.planning import kv_tokens
from experiments.scenario import Scenario

_Data = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Resource:
    """Something that a fleet can run out of.

    Args:
        key: its name in files.
        title: for people.
        relief: what half its cost means, in words.
        apply: multiplies its cost in a scenario's plain data.
    """

    key: str
    title: str
    relief: str
    apply: Callable[[Scenario, _Data, float], None]


def _factors(*names: str) -> Callable[[Scenario, _Data, float], None]:
    def apply(_: Scenario, data: _Data, factor: float) -> None:
        factors = data["timing"]["factors"]
        for name in names:
            factors[name] *= factor

    return apply


def _kv_memory(scenario: Scenario, data: _Data, factor: float) -> None:
    data["cloud"]["kv_tokens"] = max(1, round(kv_tokens(scenario) / factor))
    data["cloud"]["kv_bytes"] = "auto"


def _egress(_: Scenario, data: _Data, factor: float) -> None:
    data["cloud"]["egress_mbps"] /= factor


def _batch(_: Scenario, data: _Data, factor: float) -> None:
    data["cloud"]["max_batch"] = max(1, round(data["cloud"]["max_batch"] / factor))


def _links(key: str, *, inverse: bool) -> Callable[[Scenario, _Data, float], None]:
    def apply(_: Scenario, data: _Data, factor: float) -> None:
        for each in data["fleet"]["classes"]:
            link = each["link"]
            link = {"profile": link} if isinstance(link, str) else link
            by = 1 / factor if inverse else factor
            each["link"] = link | {key: (link.get(key) or 1.0) * by}

    return apply


GPU = Resource(
    "gpu", "GPU compute", "a GPU twice as fast", _factors("cloud_forward", "cloud_logits")
)
KV = Resource("kv", "KV memory", "twice the KV memory", _kv_memory)
EGRESS = Resource("egress", "egress", "an egress twice as wide", _egress)
DEVICE = Resource(
    "device", "device", "devices twice as fast", _factors("edge_forward", "edge_logits")
)
ROUND_TRIP = Resource(
    "rtt", "round trip", "half the round trip", _links("rtt_factor", inverse=False)
)
ACCESS = Resource(
    "access", "access link", "access links twice as fast", _links("rate_factor", inverse=True)
)
BATCH = Resource("batch", "batch limit", "twice the batch", _batch)

RESOURCES = (GPU, KV, EGRESS, DEVICE, ROUND_TRIP, ACCESS, BATCH)
"""What can limit a fleet."""

COSTS = (
    Resource("cloud-forward", "cloud forwards", "", _factors("cloud_forward")),
    Resource("cloud-logits", "select + encode", "", _factors("cloud_logits")),
    Resource("edge-forward", "device forwards", "", _factors("edge_forward")),
    Resource("edge-logits", "steer + decode", "", _factors("edge_logits")),
    EGRESS,
    ROUND_TRIP,
    ACCESS,
    KV,
)
"""Every cost that a conclusion rests on, each by itself."""


def resource_named(key: str) -> Resource:
    """Return one of ``RESOURCES`` or ``COSTS``."""
    return next(each for each in (*RESOURCES, *COSTS) if each.key == key)


def with_cost(scenario: Scenario, resource: Resource, factor: float) -> Scenario:
    """Return the scenario with a resource's cost multiplied.

    Raises:
        ConfigError: a link that follows a trace has no rate to be changed.
    """
    data = scenario.model_dump(mode="json")
    resource.apply(scenario, data, factor)
    return _valid(data, f"{resource.title} × {factor:g}")


def with_devices(scenario: Scenario, devices: int) -> Scenario:
    """Return the scenario with so many devices on one replica, each as busy as before."""
    data = scenario.model_dump(mode="json")
    fleet = data["fleet"]
    if fleet["arrivals"]["kind"] == "poisson":
        grown = devices / scenario.fleet.devices
        arrivals = fleet["arrivals"]
        arrivals["rate_per_s"] *= grown
        arrivals["requests"] = max(1, round(arrivals["requests"] * grown))
    fleet["devices"] = devices
    fleet["shards"] = min(fleet["shards"], devices)
    return _valid(data, f"{devices} devices")


def one_replica(scenario: Scenario) -> Scenario:
    """Return the scenario's part that one replica serves, of about as many devices as it has."""
    data = scenario.model_dump(mode="json")
    replicas = scenario.cloud.replicas
    data["cloud"]["replicas"] = 1
    data["fleet"]["placement"] = {"kind": "round_robin"}
    data["fleet"]["sample"] = None
    whole = _valid(data, "one replica")
    return with_devices(whole, max(1, scenario.fleet.devices // replicas))


def one_arm(scenario: Scenario, index: int) -> Scenario:
    """Return the scenario with one of its arms."""
    data = scenario.model_dump(mode="json")
    data["arms"] = [data["arms"][index]]
    return _valid(data, f"arm {index}")


def link_mixes(scenario: Scenario) -> Mapping[str, Scenario]:
    """Return the scenario under the name of its mix of links, and each link class alone."""
    classes = scenario.fleet.classes
    names = [each.link.resolve().name for each in classes]
    if len(classes) == 1:
        return {names[0]: scenario}
    told = " + ".join(f"{each.share:.0%} {name}" for each, name in zip(classes, names, strict=True))
    mixes = {told: scenario}
    for name in dict.fromkeys(names):
        mine = [each for each, other in zip(classes, names, strict=True) if other == name]
        data = scenario.model_dump(mode="json")
        whole = sum(each.share for each in mine)
        data["fleet"]["classes"] = [
            each.model_dump(mode="json") | {"share": each.share / whole} for each in mine
        ]
        mixes[name] = _valid(data, name)
    return mixes


def _valid(data: _Data, what: str) -> Scenario:
    try:
        return Scenario.model_validate(data)
    except ValueError as error:
        reason = " ".join(str(error).split())
        raise ConfigError(f"capacity: {what}: {reason}") from None
