"""What limits a fleet: first by rules from what was measured, then by relieving each resource.

The rules, in this order, at the smallest fleet that breaks the objectives:

1. Not even one device keeps them: the largest part of a token's time (of the first token where
   TTFT or E2E is broken), be it the device's own work, the round trip, the transfer over the access
   link, or the cloud.
2. TTFT or E2E is broken while sessions wait for memory and more than 90 % of it are reserved:
   KV memory.
3. Otherwise the part of that time that grew most since the smallest fleet measured. What grows in
   the cloud is GPU compute, on the device the device; what grows in the network is the egress,
   since devices share nothing else there, or the access link where they share one. How busy a GPU
   is says little: it takes what is there as one batch, and is never idle long before it is full.

The rules only guess. What counts is the same search with each resource relieved: the one that
raises the capacity most, by 10 % at least, is what limits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from experiments.capacity.changes import (
    ACCESS,
    DEVICE,
    EGRESS,
    GPU,
    KV,
    ROUND_TRIP,
    Resource,
    resource_named,
)
from experiments.capacity.probe import Point
from experiments.scenario import Scenario

KV_SHARE = 0.9
LEAST_GAIN = 1.1

_CLOUD = ("cloud_queue", "cloud_compute", "select_encode")
_DEVICE = ("device_queue", "decode", "edge_wait", "steer")
_NETWORK = ("uplink", "downlink", "refinement")


@dataclass(frozen=True, slots=True)
class Guess:
    """What the rules say.

    Args:
        resource: what limits.
        reason: the figure that says so.
    """

    resource: Resource
    reason: str


def guess(points: Sequence[Point], scenario: Scenario) -> Guess | None:
    """Return what the rules say of a search's points; None where nothing was broken.

    Args:
        points: by number of devices.
        scenario: for the links of its devices.
    """
    broken = [point for point in points if not point["met"]]
    if not broken:
        return None
    return _largest_alone(broken[0], scenario) or _most_grown(points[0], broken[0], scenario)


def _is_slow_start(at: Point) -> bool:
    return bool(at["broken"]) and all(name.startswith(("ttft", "e2e")) for name in at["broken"])


def _largest_alone(at: Point, scenario: Scenario) -> Guess | None:
    """Rule 1."""
    if at["devices"] != 1:
        return None
    parts = _parts(at, _is_slow_start(at))
    largest = max(parts, key=lambda part: parts[part])
    share = parts[largest] / total if (total := sum(parts.values())) else 0.0
    return Guess(_alone(largest, at, scenario), f"{share:.0%} of a single device's time")


def _most_grown(first: Point, at: Point, scenario: Scenario) -> Guess:
    """Rules 2 and 3."""
    slow_start = _is_slow_start(at)
    parts = _parts(at, slow_start)
    count = f"{at['devices']:,} devices"
    if slow_start and at["waited_sessions"] and (at["kv_peak_share"] or 0.0) > KV_SHARE:
        return Guess(KV, f"{at['waited_sessions']:,} sessions waited for memory at {count}")
    before = _parts(first, slow_start)
    grown = {part: parts[part] - before[part] for part in parts}
    most = max(grown, key=lambda part: grown[part])
    what = "a first token" if slow_start else "a token"
    since = (
        f"{grown[most] * 1e3:+,.1f} ms {what} in the {most} from {first['devices']:,} to {count}"
    )
    if most == "cloud":
        return Guess(GPU, f"{since}, {_percent(at['gpu_busy_share'])} busy")
    if most == "device":
        return Guess(DEVICE, since)
    shared = any(each.shared_by > 1 for each in scenario.fleet.classes)
    egress = at["egress_busy_share"]
    if shared and (egress or 0.0) < _HALF:
        return Guess(ACCESS, since)
    return Guess(EGRESS, f"{since}, egress {_percent(egress)} busy")


_HALF = 0.5


def _percent(share: float | None) -> str:
    return "not" if share is None else f"{share:.0%}"


def _parts(point: Point, slow_start: bool) -> dict[str, float]:
    """A token's mean time in the cloud, on the device and in the network, seconds.

    Args:
        point: what was measured.
        slow_start: of first tokens, instead of those after them.
    """
    stages = _first_tokens(point) if slow_start else point["itl_breakdown_s"]
    return {
        name: sum(stages.get(stage) or 0.0 for stage in of)
        for name, of in (("cloud", _CLOUD), ("device", _DEVICE), ("network", _NETWORK))
    }


def _first_tokens(point: Point) -> dict[str, float]:
    """What the stages of all tokens and of later ones leave to the first ones."""
    tokens, requests = point["tokens"], point["requests"]
    return {
        stage: (
            tokens * (point["breakdown_s"][stage] or 0.0)
            - (tokens - requests) * (point["itl_breakdown_s"][stage] or 0.0)
        )
        / max(1, requests)
        for stage in point["breakdown_s"]
    }


def _alone(part: str, point: Point, scenario: Scenario) -> Resource:
    """Return what a single device waits for in a part; the network's is split by its links."""
    if part != "network":
        return GPU if part == "cloud" else DEVICE
    bits = 8 * (point["wire_bytes_down_per_token"] or 0.0)
    transfer_s = trip_s = 0.0
    for each in scenario.fleet.classes:
        link = each.link.resolve()
        transfer_s += each.share * (bits / link.down.rate_bps if link.down.rate_bps else 0.0)
        trip_s += each.share * link.mean_round_trip_ns / 1e9
    return ACCESS if transfer_s > trip_s else ROUND_TRIP


@dataclass(frozen=True, slots=True)
class Relief:
    """What relieving one resource brought.

    Args:
        resource: which.
        devices: the capacity then; None where nothing was broken up to the limit.
        gain: over the capacity as it is; infinite from none.
    """

    resource: Resource
    devices: int | None
    gain: float


def reliefs(devices: int, found: Mapping[str, Mapping[str, Any]], limit: int) -> list[Relief]:
    """Return what each relief brought, the largest first.

    Args:
        devices: the capacity as it is, with the same seed.
        found: per resource key what its search found.
        limit: the largest fleet tried.
    """
    made = []
    for key, each in found.items():
        reached = each["devices"]
        unbroken = each["beyond"] is None
        count = limit if unbroken else reached
        gain = count / devices if devices else (float("inf") if count else 1.0)
        made.append(Relief(resource_named(key), None if unbroken else reached, gain))
    return sorted(made, key=lambda relief: -relief.gain)


def verified(found: Sequence[Relief]) -> Resource | None:
    """Return what limits, as the reliefs show it; None where no single one brings 10 %."""
    if not found or found[0].gain < LEAST_GAIN:
        return None
    return found[0].resource
