"""A laboratory: the hosts of a scenario's values, in this process or on a cluster.

Several runs may use one laboratory one after the other, so that models are loaded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Literal

from actors.port import Handle, LocalPort, Port, Recovery, gather
from actors.values.port import ArmSpec, CloudHost, EdgeHost
from actors.values.shadow import Shadow
from actors.values.witness import Witnessed
from costeer.errors import LocalProtocolError
from experiments.host_makers import host_makers
from experiments.interrupt import deferred_interrupt
from experiments.scenario import HfModel, Scenario

NO_CLUSTER = "none"


@dataclass(frozen=True, slots=True)
class Laboratory:
    """Hosts that are up.

    Args:
        clouds: the large model's actors, one for each replica.
        shards: the small model's actors.
        cloud_name: what computes the large model's values, for reports.
        edge_name: the same for the small model.
        port: where they live.
    """

    clouds: tuple[Handle, ...]
    shards: tuple[Handle, ...]
    cloud_name: str
    edge_name: str
    port: Port

    @property
    def cloud(self) -> Handle:
        """The first replica's actor: what is measured of it holds of all."""
        return self.clouds[0]

    @property
    def recoveries(self) -> Sequence[Recovery]:
        """Hosts that died so far and were made again."""
        return self.port.recoveries

    def begin_arm(self, arm: ArmSpec) -> int:
        """Prepare all hosts for an arm; return the vocabulary's size.

        Raises:
            LocalProtocolError: the hosts do not agree on it.
        """
        hosts = (*self.clouds, *self.shards)
        sizes = set(gather([host.submit("begin_arm", arm) for host in hosts]))
        size = sizes.pop()
        if sizes or not isinstance(size, int):
            raise LocalProtocolError(f"hosts disagree on the vocabulary: {size}, {sizes}")
        return size

    def take_witnessed(self) -> list[Witnessed]:
        """Return what the devices kept of the arm's witnessed sessions, and forget it."""
        found = gather([shard.submit("take_witnessed") for shard in self.shards])
        return [step for steps in found if isinstance(steps, list) for step in steps]


@contextmanager
def open_laboratory(
    scenario: Scenario, address: str, prepare: Callable[[Port], None] = lambda _: None
) -> Iterator[Laboratory]:
    """Bring up the hosts that a scenario needs, and end them afterwards.

    Args:
        scenario: says where values come from, and how many replicas and shards there are.
        address: ``none`` for this process, else what ``cluster.ray_port.RayPort`` takes.
        prepare: given the port before any host is made.

    Raises:
        ConfigError: a model cannot be loaded, or no cluster answers.
    """
    if scenario.way == "fleet":
        address = NO_CLUSTER  # no host computes anything
    groups = host_groups(scenario)
    placement, actors = scenario.hosts.placement, sum(map(len, groups))
    with open_port(address, actors, groups=groups, placement=placement) as port:
        prepare(port)
        yield start_hosts(scenario, port)


@contextmanager
def open_port(
    address: str,
    actors: int,
    *,
    groups: Sequence[Sequence[float]] = (),
    placement: Literal["loose", "spread", "pack"] = "loose",
) -> Iterator[Port]:
    """Enter a cluster (or none) with room for so many actors; leave it in any case.

    Args:
        address: ``none``, or what ``cluster.ray_port.RayPort`` takes.
        actors: how many there will be.
        groups: accelerators of each actor, group by group; none takes any if not given.
        placement: see ``cluster.room``.

    Raises:
        ConfigError: no cluster answers, or it has less room.
    """
    port: Port
    if address == NO_CLUSTER:
        port = LocalPort()
    else:
        from cluster.ray_port import RayPort  # noqa: PLC0415 - Ray takes a second to import

        # A cluster that is half started leaves processes behind.
        with deferred_interrupt() as interrupted:
            gpus = sum(map(sum, groups))
            port = RayPort(
                address, min_cpus=actors, min_gpus=gpus, groups=groups, placement=placement
            )
        if interrupted():
            port.close()
            raise KeyboardInterrupt
    try:
        yield port
    finally:
        port.close()


def start_hosts(scenario: Scenario, port: Port, shadow: Shadow | None = None) -> Laboratory:
    """Make the actors of a scenario's hosts.

    Args:
        scenario: says what they host, and how many replicas and shards there are.
        port: where they live.
        shadow: given to both sides, which have to live in this process to share it.

    Raises:
        ConfigError: a model cannot be loaded.
    """
    from actors.cloud import CloudActor  # noqa: PLC0415 - brings numpy in
    from actors.edge import EdgeActor  # noqa: PLC0415

    make_cloud: Callable[[], CloudHost]
    make_edge: Callable[[], EdgeHost]
    make_cloud, make_edge, names = host_makers(scenario, shadow, port.deliver)
    if port.feed is not None:
        from actors.metrics import MeteredHost  # noqa: PLC0415 - only where somebody listens

        make_cloud = partial(MeteredHost, make_cloud, "cloud", port.feed)
        make_edge = partial(MeteredHost, make_edge, "edge", port.feed)
    replicas, shards = scenario.cloud.replicas, scenario.fleet.shards
    # A live shard pulls while another pushes; one thread more for the driver's own calls.
    cloud_gpus, edge_gpus = _gpus(scenario)
    clouds = tuple(
        port.start(CloudActor, make_cloud, threads=2 * shards + 1, gpus=cloud_gpus, group=replica)
        for replica in range(replicas)
    )
    edges = tuple(
        port.start(EdgeActor, make_edge, threads=2, gpus=edge_gpus, group=shard % replicas)
        for shard in range(shards)
    )
    return Laboratory(clouds, edges, *names, port)


def host_groups(scenario: Scenario) -> list[list[float]]:
    """Return the accelerators that each actor takes: of every replica, then of its shards.

    Shards go with the replicas in turn, as devices do that are dealt out round robin; so a shard
    talks most to the replica that it is near.
    """
    cloud_gpus, edge_gpus = _gpus(scenario)
    groups = [[cloud_gpus] for _ in range(scenario.cloud.replicas)]
    for shard in range(scenario.fleet.shards):
        groups[shard % len(groups)].append(edge_gpus)
    return groups


def _gpus(scenario: Scenario) -> tuple[float, float]:
    """Accelerators that a cloud actor takes, and a shard's."""
    if scenario.values != "models":
        return 0.0, 0.0
    models = scenario.models
    cloud = models.cloud.needed_gpus if isinstance(models.cloud, HfModel) else 0.0
    return cloud, models.edge.needed_gpus
