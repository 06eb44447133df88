"""A laboratory: the hosts of a scenario's values, in this process or on a cluster.

Several runs may use one laboratory one after the other, so that models are loaded once.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Literal, TypeVar

from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.port import Folder, Handle, LocalPort, Port, Recovery, gather, here
from actors.values.null import NullConfig
from actors.values.port import ArmSpec, CloudHost, EdgeHost
from actors.values.rows import Rows
from actors.values.shadow import Shadow
from actors.values.witness import Witnessed
from costeer.codec.config import AnyCodecConfig
from costeer.errors import LocalProtocolError
from experiments.interrupt import deferred_interrupt
from experiments.pair_limits import vocab_sizes
from experiments.scenario import AlignedBytes, HfModel, ModelsConfig, Scenario

if TYPE_CHECKING:
    from actors.values.aligned import AlignmentSpec

_Host = TypeVar("_Host", CloudHost, EdgeHost)

NO_CLUSTER = "none"
_NULL_PERIOD = 1_000
"""Positions after which constant tokens repeat, where the vocabulary has so many."""


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


def host_makers(
    scenario: Scenario, shadow: Shadow | None = None, deliver: Callable[[str], Folder] = here
) -> tuple[Callable[[], CloudHost], Callable[[], EdgeHost], tuple[str, str]]:
    """Return makers of both hosts, picklable without a shadow, and their names.

    Args:
        scenario: says what they host.
        shadow: given to both.
        deliver: takes a model's folder along to where the hosts will live.

    Raises:
        ConfigError: a model that is to be delivered is not here.
    """
    if scenario.values == "models":
        models = scenario.models
        sizes = vocab_sizes(models)
        beside = any(each.cloud_drafts and each.cloud_drafts.by_model for each in scenario.arms)
        return (
            _cloud_maker(models, sizes[0], shadow, deliver, beside=beside),
            _edge_maker(models, sizes, shadow, deliver),
            (models.cloud.title, models.edge.title),
        )
    if scenario.values == "generated":
        from actors.values.generated import RowSource  # noqa: PLC0415 - brings numpy in

        generated = scenario.generated
        open_rows = partial(RowSource, generated.build())
        return _row_hosts(open_rows, "generated", shadow, generated.acceptance)
    if scenario.recorded is not None and scenario.values == "recorded":
        from actors.values.recorded import RecordedRows  # noqa: PLC0415 - brings pyarrow in

        recorded = scenario.recorded
        open_recording = partial(RecordedRows, recorded.path)
        return _row_hosts(open_recording, "recorded", shadow, recorded.acceptance)
    if scenario.values == "profile":
        from actors.values.replayed import (  # noqa: PLC0415 - brings pyarrow in
            ReplayCloudHost,
            ReplayEdgeHost,
        )
        from experiments.profile.replay import replay_spec  # noqa: PLC0415 - likewise

        spec = replay_spec(scenario)
        return partial(ReplayCloudHost, spec), partial(ReplayEdgeHost, spec), ("profile", "profile")
    from actors.values.null import NullCloudHost, NullEdgeHost  # noqa: PLC0415

    constants = null_config(scenario)
    weigh = None
    if scenario.generated.constant_bytes == "codec":
        from actors.values.weighing import typical_payload_bytes  # noqa: PLC0415 - brings numpy in

        weigh = partial(typical_payload_bytes, scenario.generated.build())
    cloud = partial(NullCloudHost, constants, weigh)
    return cloud, partial(NullEdgeHost, constants), ("null", "null")


def _cloud_maker(
    models: ModelsConfig,
    vocab_size: int,
    shadow: Shadow | None,
    deliver: Callable[[str], Folder],
    *,
    beside: bool,
) -> Callable[[], CloudHost]:
    cloud = models.cloud
    if isinstance(cloud, HfModel):
        from actors.values.beside import BesideSpec  # noqa: PLC0415 - takes seconds
        from actors.values.model_cloud import ModelCloudHost  # noqa: PLC0415 - likewise

        make: Callable[..., CloudHost] = ModelCloudHost
        if beside:
            # Of the devices' model, but where the large one is.
            held = replace(models.edge.options, device=cloud.options.device)
            make = partial(ModelCloudHost, beside=BesideSpec(_folder(models.edge, deliver), held))
        settings = (models.numerics, vocab_size, shadow)
        return partial(_model_host, make, _folder(cloud, deliver), cloud.options, *settings)
    from actors.completions.client import Endpoint  # noqa: PLC0415 - brings requests in
    from actors.completions.host import CompletionsCloudHost  # noqa: PLC0415 - and transformers

    endpoint = Endpoint(
        cloud.url,
        cloud.model,
        cloud.top_logprobs,
        cloud.timeout_s,
        cloud.retries,
        key_variable=cloud.key_variable,
    )
    return partial(
        CompletionsCloudHost, endpoint, models.tokenizer_location, vocab_size, shadow=shadow
    )


def _edge_maker(
    models: ModelsConfig,
    sizes: tuple[int, int],
    shadow: Shadow | None,
    deliver: Callable[[str], Folder],
) -> Callable[[], EdgeHost]:
    from actors.values.model_edge import ModelEdgeHost  # noqa: PLC0415 - takes seconds

    cloud_size, edge_size = sizes
    make: Callable[..., EdgeHost] = ModelEdgeHost
    if models.aligned:
        cloud = models.cloud
        delivered = _folder(cloud, deliver) if isinstance(cloud, HfModel) else None
        tokenizer = delivered or here(models.tokenizer_location)
        make = partial(_aligned_host, tokenizer, _alignment(models, cloud_size))
    settings = (models.numerics, edge_size, shadow)
    return partial(_model_host, make, _folder(models.edge, deliver), models.edge.options, *settings)


def _alignment(models: ModelsConfig, cloud_size: int) -> AlignmentSpec:
    from actors.models.tokenizer import eos_ids, token_ids  # noqa: PLC0415 - transformers: seconds
    from actors.values.aligned import AlignmentSpec  # noqa: PLC0415 - takes seconds

    chosen, location = models.alignment, models.tokenizer_location
    ends = (*eos_ids(location), *token_ids(location, models.end_tokens))
    spec = AlignmentSpec(
        isinstance(chosen, AlignedBytes), location, cloud_size, tuple(sorted(set(ends)))
    )
    if isinstance(chosen, AlignedBytes):
        spec = replace(spec, depth=chosen.depth, width=chosen.width, least=chosen.least)
    return spec


def _folder(model: HfModel, deliver: Callable[[str], Folder]) -> Folder:
    """Where a model lies on the machine that hosts it."""
    if model.delivery == "path":
        return here(model.location)
    from actors.models.hub import fetched  # noqa: PLC0415 - transformers takes seconds

    return deliver(fetched(model.location))


def _model_host(
    host: Callable[..., _Host],
    folder: Folder,
    options: HostOptions,
    numerics: Numerics,
    vocab_size: int,
    shadow: Shadow | None,
) -> _Host:
    """Return either side's host of a model."""
    return host(folder(), numerics, vocab_size=vocab_size, options=options, shadow=shadow)


def _aligned_host(
    tokenizer: Folder,
    alignment: AlignmentSpec,
    path: str,
    numerics: Numerics,
    *,
    vocab_size: int,
    options: HostOptions,
    shadow: Shadow | None,
) -> EdgeHost:
    """Return a device's host that knows the large model's tokenizer."""
    from actors.values.model_edge import ModelEdgeHost  # noqa: PLC0415 - takes seconds

    return ModelEdgeHost(
        path,
        numerics,
        vocab_size=vocab_size,
        options=options,
        shadow=shadow,
        alignment=replace(alignment, cloud_path=tokenizer()),
    )


def null_config(scenario: Scenario, codec: AnyCodecConfig | None = None) -> NullConfig:
    """Return what a scenario's constant values are.

    Args:
        scenario: says what payloads weigh.
        codec: of the arm, where the scenario says that payloads weigh what it makes of a row.
    """
    # Any vocabulary will do: the tokens are cut to it.
    vocab_size = scenario.generated.vocab_size
    size = scenario.generated.constant_bytes
    if size == "codec":
        from actors.values.weighing import typical_payload_bytes  # noqa: PLC0415 - brings numpy in

        size = 0 if codec is None else typical_payload_bytes(scenario.generated.build(), codec)
    return NullConfig(
        payload_bytes=size,
        vocab_size=vocab_size,
        first_token=0,
        period=min(_NULL_PERIOD, vocab_size),
        acceptance=scenario.generated.acceptance,
        sure=scenario.generated.sure,
    )


def _row_hosts(
    open_rows: Callable[[int], Rows], name: str, shadow: Shadow | None, acceptance: float
) -> tuple[Callable[[], CloudHost], Callable[[], EdgeHost], tuple[str, str]]:
    from actors.values.rows import RowCloudHost, RowEdgeHost  # noqa: PLC0415 - brings numpy in

    return (
        partial(RowCloudHost, open_rows, shadow, acceptance),
        partial(RowEdgeHost, open_rows, shadow, acceptance),
        (name, name),
    )
