"""Room on a cluster's nodes: reserved before a host is made, and given back afterwards.

A placement group has room for hosts that are to live near each other (``pack``: one group for each
replica, with its shards, on one node) or apart from each other (``spread``: one group for all, over
as many nodes as there are). A host that is made again takes the room that it had.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, cast

import ray
from ray.util.placement_group import PlacementGroup, placement_group, remove_placement_group
from ray.util.scheduling_strategies import PlacementGroupSchedulingStrategy

from costeer.errors import ConfigError

Reserved = Literal["spread", "pack"]
_WAIT_S = 30.0
"""How long room is waited for that the nodes have, and others use."""


class Room:
    """Room for the hosts of a run."""

    def __init__(
        self, groups: Sequence[Sequence[float]], how: Reserved, wait_s: float = _WAIT_S
    ) -> None:
        """Reserve it, all of it or nothing.

        Args:
            groups: accelerators of each host, by the group that it belongs to: a replica's first,
                then its shards'. Every host takes one logical CPU.
            how: whether each group is packed on a node, or all hosts are spread over the nodes.
            wait_s: how long it is waited for.

        Raises:
            ConfigError: no node is large enough, or others use what there is.
        """
        self._groups: list[PlacementGroup] = []
        self._free: list[tuple[int, float, PlacementGroup, int]] = []
        if how == "pack":
            _check_nodes(groups)
        try:
            if how == "pack":
                for number, gpus in enumerate(groups):
                    self._reserve([(number, each) for each in gpus], "STRICT_PACK")
            else:
                hosts = [(number, each) for number, gpus in enumerate(groups) for each in gpus]
                self._reserve(hosts, "SPREAD")
            self._wait(wait_s)
        except BaseException:
            self.release()
            raise

    def _reserve(self, hosts: Sequence[tuple[int, float]], strategy: str) -> None:
        bundles = [{"CPU": 1.0} | ({"GPU": gpus} if gpus else {}) for _, gpus in hosts]
        group = placement_group(bundles, strategy=strategy)
        self._groups.append(group)
        self._free += [(number, gpus, group, at) for at, (number, gpus) in enumerate(hosts)]

    def _wait(self, wait_s: float) -> None:
        for index, group in enumerate(self._groups):
            if not group.wait(wait_s):
                raise ConfigError(
                    f"hosts.placement: the cluster has had no room within {wait_s:g} s for group"
                    f" {index + 1} of {len(self._groups)}, since others use it; wait for them, or"
                    " choose hosts.placement: loose"
                )

    def take(self, group: int, gpus: float) -> PlacementGroupSchedulingStrategy:
        """Return where the next host of a group is to live."""
        for each in self._free:
            if each[:2] == (group, gpus):
                self._free.remove(each)
                return PlacementGroupSchedulingStrategy(each[2], each[3])
        raise ConfigError(
            f"hosts.placement: no room was reserved for one more host of group {group}"
        )

    def release(self) -> None:
        """Give all of it back."""
        for group in self._groups:
            remove_placement_group(group)
        self._groups = []


def _check_nodes(groups: Sequence[Sequence[float]]) -> None:
    """Refuse groups that no node has room for, whoever uses it."""
    nodes = cast("Any", ray.nodes)()
    rooms = [
        (each["Resources"].get("CPU", 0.0), each["Resources"].get("GPU", 0.0))
        for each in nodes
        if each["Alive"]
    ]
    for number, gpus in enumerate(groups):
        if not any(cpus >= len(gpus) and has >= sum(gpus) for cpus, has in rooms):
            largest = max(rooms, default=(0.0, 0.0))
            raise ConfigError(
                f"hosts.placement: pack: no node has room for replica {number} with its shards,"
                f" which take {len(gpus)} CPUs and {sum(gpus):g} GPUs; the largest has"
                f" {largest[0]:g} and {largest[1]:g}. Add a larger node, lower fleet.shards, or"
                " choose hosts.placement: spread"
            )
