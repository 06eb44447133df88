"""Other scenarios of one: only what is named changes."""

from __future__ import annotations

from typing import Any

import pytest

from experiments.capacity.changes import (
    COSTS,
    RESOURCES,
    link_mixes,
    one_arm,
    one_replica,
    resource_named,
    with_cost,
    with_devices,
)
from experiments.planning import kv_tokens
from tests.experiments.small_runs import scenario


def leaves(data: Any, path: str = "") -> dict[str, Any]:
    """Every value of plain data under its path."""
    if isinstance(data, dict):
        return {k: v for key in data for k, v in leaves(data[key], f"{path}.{key}").items()}
    if isinstance(data, list):
        return {k: v for i, each in enumerate(data) for k, v in leaves(each, f"{path}.{i}").items()}
    return {path: data}


@pytest.mark.parametrize("resource", [*RESOURCES, *COSTS], ids=lambda each: each.key)
def test_a_cost_there_and_back_is_the_same_fleet(resource: Any) -> None:
    usual = scenario(cloud={"max_batch": 64, "kv_tokens": 4096})
    half = with_cost(usual, resource, 0.5)
    assert half != usual
    again = with_cost(half, resource, 2.0)
    one, other = ([each.link.resolve() for each in made.fleet.classes] for made in (usual, again))
    assert [(a.down.rate_bps, a.rtt_ns) for a in one] == [
        (b.down.rate_bps, b.rtt_ns) for b in other
    ]
    differing = {
        path
        for path, value in leaves(again.model_dump(mode="json")).items()
        if leaves(usual.model_dump(mode="json")).get(path) != value
    }
    assert all(".link" in path for path in differing)


def test_half_the_cost_of_memory_is_twice_the_memory() -> None:
    usual = scenario()
    roomy = with_cost(usual, resource_named("kv"), 0.5)
    assert kv_tokens(roomy) == 2 * kv_tokens(usual)


def test_devices_of_an_open_loop_bring_their_own_requests() -> None:
    fleet = scenario().fleet.model_dump(mode="json") | {
        "arrivals": {"kind": "poisson", "rate_per_s": 6.0, "requests": 30}
    }
    grown = with_devices(scenario(fleet=fleet), 12)
    assert grown.fleet.devices == 12
    assert grown.fleet.arrivals.model_dump() == {
        "kind": "poisson",
        "rate_per_s": 24.0,
        "requests": 120,
    }


def test_a_mix_comes_apart_into_its_links() -> None:
    mixes = link_mixes(scenario())
    assert list(mixes) == ["67% 4g-eu + 33% cable", "4g-eu", "cable"]
    alone = mixes["cable"].fleet.classes
    assert [(each.share, each.hardware) for each in alone] == [(1.0, "laptop-cpu")]
    assert list(link_mixes(mixes["cable"])) == ["cable"]


def test_one_arm_and_one_replica_of_a_fleet() -> None:
    whole = scenario(
        way="fleet",
        values="null",
        cloud={"replicas": 3},
        fleet=scenario().fleet.model_dump() | {"devices": 31},
    )
    part = one_replica(whole)
    assert (part.cloud.replicas, part.fleet.devices) == (1, 10)
    assert [arm.method for arm in one_arm(part, 2).arms] == ["costeer"]
