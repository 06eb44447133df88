"""One metrics exporter on each node of a cluster, fed by the hosts that live there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from actors.host_news import HostNews
from actors.metrics import NodeExporter
from costeer.errors import ConfigError

_ANY = ("0.0.0.0", "::")  # noqa: S104 - compared with, not listened at


class NodeFeed:
    """Sends what a host tells to the exporter of the node that the host is on.

    A node that has joined since has none: what its hosts tell is dropped.
    """

    def __init__(self, exporters: Mapping[str, Any]) -> None:
        """Take node id -> actor; travels with the hosts."""
        self._exporters = dict(exporters)

    def __call__(self, news: HostNews) -> None:
        """Send, and do not wait."""
        here = self._exporters.get(ray.get_runtime_context().get_node_id())
        if here is not None:
            here.count.remote(news)


class NodeExporters:
    """The exporters of all nodes that are alive."""

    def __init__(self, host: str) -> None:
        """Start them.

        Args:
            host: address to listen at, on every node; 0.0.0.0 to be reached from other machines.

        Raises:
            ConfigError: one cannot listen there.
        """
        make = cast("Any", ray.remote)(NodeExporter)
        nodes = [node for node in cast("Any", ray.nodes)() if node["Alive"]]
        self._actors = {
            node["NodeID"]: make.options(
                num_cpus=0,
                scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False),
            ).remote(host)
            for node in nodes
        }
        self.targets: list[tuple[str, int, str]] = []
        """Per node the address that it is reached at, the port and the node's name."""
        for node in nodes:
            reached = node["NodeManagerAddress"] if host in _ANY else host
            try:
                port = int(ray.get(self._actors[node["NodeID"]].port.remote()))
            except RayError as error:
                self.end()
                reason = str(error).strip().rsplit("\n", 1)[-1]
                raise ConfigError(
                    f"metrics: node {node['NodeManagerHostname']} cannot serve them ({reason});"
                    " choose another --metrics-host"
                ) from error
            self.targets.append((reached, port, node["NodeManagerHostname"]))
        self.feed = NodeFeed(self._actors)
        """For hosts made from now on."""

    def end(self) -> None:
        """End them."""
        for actor in self._actors.values():
            ray.kill(actor)
