"""Several nodes of a cluster on one machine, to measure what crosses from one to another."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from ray.cluster_utils import Cluster

from cluster.ray_port import UNWATCHED


@contextmanager
def local_nodes(nodes: int, cpus: int) -> Iterator[str]:
    """Start nodes that are joined by their address, and end them afterwards.

    Args:
        nodes: that hosts may live on, besides a head without room for any.
        cpus: logical CPUs of each.
    """
    make: Any = Cluster  # not annotated there
    head = {"num_cpus": 0, "include_dashboard": False, "_system_config": UNWATCHED}
    cluster = make(initialize_head=True, head_node_args=head)
    try:
        for _ in range(nodes):
            cluster.add_node(num_cpus=cpus)
        cluster.wait_for_nodes()
        yield str(cluster.address)
    finally:
        cluster.shutdown()
