"""What makes the hosts of a scenario's values, wherever they will live."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from actors.models.numerics import Numerics
from actors.models.options import HostOptions
from actors.port import Folder, here
from actors.values.null import RANKS_BYTES, NullConfig
from actors.values.port import CloudHost, EdgeHost
from actors.values.rows import Rows
from actors.values.shadow import Shadow
from costeer.codec.config import AnyCodecConfig
from costeer.errors import ConfigError
from experiments.pair_limits import vocab_sizes
from experiments.scenario import AlignedBytes, HfModel, ModelsConfig, Scenario

if TYPE_CHECKING:
    from actors.values.aligned import AlignmentSpec

_Host = TypeVar("_Host", CloudHost, EdgeHost)
_NULL_PERIOD = 1_000
"""Positions after which constant tokens repeat, where the vocabulary has so many."""


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
    if scenario.generated.needs_ranks and size != "codec" and size < RANKS_BYTES:
        raise ConfigError(
            f"generated.constant_bytes: payloads of which needs_ranks are asked have {RANKS_BYTES}"
            f" bytes at least, not {size}; raise it, or leave needs_ranks out"
        )
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
        needs_ranks=scenario.generated.needs_ranks,
    )


def null_sizes(scenario: Scenario, codec: AnyCodecConfig) -> Callable[[tuple[int, int]], int]:
    """Return what ranks [first, last) weigh in a scenario of constant values.

    Args:
        scenario: says what payloads weigh.
        codec: of the arm.
    """
    from actors.values.null import sent_ranks  # noqa: PLC0415 - needed for constants alone
    from actors.values.weighing import typical_payload_bytes  # noqa: PLC0415 - brings numpy in

    size, config = scenario.generated.constant_bytes, scenario.generated.build()

    def size_of(ranks: tuple[int, int]) -> int:
        if size == "codec":
            return typical_payload_bytes(config, codec, sent_ranks(codec, ranks))
        return size

    return size_of


def _row_hosts(
    open_rows: Callable[[int], Rows], name: str, shadow: Shadow | None, acceptance: float
) -> tuple[Callable[[], CloudHost], Callable[[], EdgeHost], tuple[str, str]]:
    from actors.values.rows import RowCloudHost, RowEdgeHost  # noqa: PLC0415 - brings numpy in

    return (
        partial(RowCloudHost, open_rows, shadow, acceptance),
        partial(RowEdgeHost, open_rows, shadow, acceptance),
        (name, name),
    )
