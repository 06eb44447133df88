"""Hosts as Ray actors.

A host is a plain class; here it is wrapped with ``ray.remote`` and placed. At most one cluster is
entered at a time; one that we started ends with us, one that we joined keeps running without our
actors.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Literal, cast

import ray

from actors.host_news import Feed
from actors.port import Folder, Recovery
from cluster.folders import ship
from cluster.handle import RayHandle, Seat
from cluster.node_metrics import NodeExporters
from cluster.nodes import check_nodes
from cluster.room import Reserved, Room
from cluster.supervised import SupervisedHandle
from costeer.errors import ConfigError

LOCAL = "local"
Placement = Reserved | Literal["loose"]
"""How hosts are placed."""
UNWATCHED = {"task_events_report_interval_ms": 0, "enable_metrics_collection": False}
"""Of a cluster that nobody looks at: no records of each call at its head, no metrics of Ray's own.
In a long live run both would only grow."""
_REACH_TIMEOUT_S = 3.0
_ROOM_TIMEOUT_S = 600.0
"""How long an actor that is made again may wait for room, and load its model."""


class RayPort:
    """A cluster to put hosts on."""

    def __init__(
        self,
        address: str,
        *,
        min_cpus: int = 1,
        min_gpus: float = 0.0,
        groups: Sequence[Sequence[float]] = (),
        placement: Placement = "loose",
    ) -> None:
        """Start a small local cluster, or join one.

        Args:
            address: ``local``, ``auto`` or HOST:PORT.
            min_cpus: logical CPUs that the hosts to come need; a local cluster has at least these,
                whatever the machine has.
            min_gpus: accelerators that they need.
            groups: accelerators of each host, by the group that it will say it belongs to.
            placement: whether room is reserved for them, see ``Room``; ``loose``: it is not, and
                Ray spreads them as it can.

        Raises:
            ConfigError: no cluster answers at the address, it is too small, a node of it has other
                versions than this process, or Ray is entered already.
        """
        self._hosts: list[SupervisedHandle] = []
        self._recoveries: list[Recovery] = []
        self._exporters: NodeExporters | None = None
        self._room: Room | None = None
        # One class for all hosts and all their lives: Ray keeps each that it is given, with the
        # signatures of its methods, here, at its head and wherever a handle arrives. Without task
        # events: a live run makes hundreds of calls a second, each a record at Ray's head.
        self._seats = cast("Any", ray.remote)(num_cpus=1, enable_task_events=False)(Seat)
        if ray.is_initialized():
            raise ConfigError("address: this process is in a Ray cluster already; use its port")
        try:
            _enter(address, min_cpus)
        except Exception as error:
            # Ray raises a bare Exception where a node of its own does not come up in time.
            ray.shutdown()
            reason = str(error).strip().split("\n", 1)[0]
            raise ConfigError(
                f"address: cannot enter a Ray cluster at {address!r} ({reason}); start one with"
                " `ray start --head` (RAY_AUTH_MODE must be the same here and there), or use"
                " --address local or none"
            ) from error
        try:
            _check_room(address, min_cpus, min_gpus)
            if address != LOCAL:
                check_nodes()
            if placement != "loose":
                self._room = Room(groups, placement)
        except BaseException:
            ray.shutdown()
            raise

    @property
    def recoveries(self) -> Sequence[Recovery]:
        """Hosts that died so far and were made again."""
        return tuple(self._recoveries)

    def start(
        self,
        make: Callable[..., object],
        *args: object,
        threads: int = 1,
        gpus: float = 0.0,
        group: int = 0,
    ) -> SupervisedHandle:
        """Make a host in an actor of its own: where room was reserved for it, or on any node.

        What its making raises is raised by the first call.
        """
        where = self._room.take(group, gpus) if self._room is not None else "SPREAD"
        seats = self._seats.options(
            num_gpus=gpus, max_concurrency=threads, scheduling_strategy=where
        )
        host = SupervisedHandle(
            f"{make.__name__} {len(self._hosts)}",
            partial(_seat, partial(seats.remote, make, args)),
            self._recoveries.append,
        )
        self._hosts.append(host)
        return host

    def deliver(self, path: str) -> Folder:
        """Put a folder into the object store; each node that asks for it writes its own copy.

        Raises:
            ConfigError: a file of it cannot be read.
        """
        return ship(path)

    @property
    def feed(self) -> Feed | None:
        """Takes what a host tells of itself, wherever the host is; None where nobody listens."""
        return self._exporters.feed if self._exporters is not None else None

    def serve_metrics(self, host: str) -> Sequence[tuple[str, int, str]]:
        """Serve the metrics of each node's hosts on that node; hosts made from now on feed them.

        Raises:
            ConfigError: a node's exporter cannot listen there.
        """
        self._exporters = NodeExporters(host)
        return self._exporters.targets

    def close(self) -> None:
        """End our actors, and the cluster if it is ours."""
        try:
            if self._exporters is not None:
                self._exporters.end()
            for host in self._hosts:
                host.seat.end()
            if self._room is not None:
                self._room.release()
        finally:
            self._hosts = []
            self._room = None
            ray.shutdown()


def _seat(make: Callable[[], Any], epoch: int) -> RayHandle:
    """Place a host; one that is made again is waited for, so that its time is known."""
    seat = RayHandle(make(), epoch)
    if epoch:
        seat.place(_ROOM_TIMEOUT_S)
    return seat


def _check_room(address: str, cpus: int, gpus: float) -> None:
    found = cast("Any", ray.cluster_resources)()
    if found.get("CPU", 0) < cpus:
        raise ConfigError(
            f"address: the cluster at {address!r} has {found.get('CPU', 0):g} CPUs, the run's"
            f" {cpus} actors need one each; add nodes, lower fleet.shards, or use --address local"
            " or none"
        )
    if found.get("GPU", 0) < gpus:
        raise ConfigError(
            f"address: the cluster at {address!r} has {found.get('GPU', 0):g} GPUs, the models need"
            f" {gpus:g}; add nodes, give parts with models.….gpus, or set models.….device=cpu"
        )


def _enter(address: str, min_cpus: int) -> None:
    # Only errors: Ray says at every start that it protects its local cluster by a token.
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    if address == LOCAL:
        cpus = max(os.cpu_count() or 1, min_cpus)
        ray.init(
            address=LOCAL, num_cpus=cpus, include_dashboard=False, _system_config=UNWATCHED, **quiet
        )
        return
    host, _, port = address.rpartition(":")
    if host:
        # Ray itself tries for minutes, and says so, where nobody listens.
        socket.create_connection((host, int(port)), _REACH_TIMEOUT_S).close()
    ray.init(address=address, **quiet)
