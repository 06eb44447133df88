"""Measured costs of a pair on this machine, for simulated runs that are to be charged with them."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from actors.calibrate import CloudPoints, EdgePoints, Grid
from actors.values.port import ArmSpec
from costeer.codec.config import AnyCodecConfig, CodecConfig
from costeer.codec.core import build_codec
from costeer.errors import ConfigError, LocalProtocolError
from costeer.methods import method_named
from costeer.sampling import Sampling
from experiments.calibration_check import CheckedForward, checked, roofline_of
from experiments.hosting import Laboratory, open_laboratory
from experiments.machine import processor_name
from experiments.pair_limits import context_limits
from experiments.progress import Progress
from experiments.scenario import ArmConfig, FleetConfig, HfModel, ModelsConfig, Scenario
from netsim.hardware.calibrated import Calibrated, Linear
from netsim.hardware.variation import variation_of

CLOUD_GRID = Grid(rows=(1, 2, 4, 8, 16), new_tokens=(1, 32), contexts=(16, 96), repeats=5)
EDGE_GRID = Grid(rows=(2, 4, 8, 16), new_tokens=(1, 64), contexts=(0, 96), repeats=5)
"""What is measured; a small grid, since a shipped run's sessions are short."""

_RANKS = 64


@dataclass(frozen=True, slots=True)
class Measured:
    """What a calibration measures, and what it is checked on.

    Args:
        cloud: points of the large model.
        edge: points of the small model; two rows a device.
        checked: whether forwards between these points are measured as well, for the check alone.
        roofline: hardware whose roofline is checked beside it.
    """

    cloud: Grid = CLOUD_GRID
    edge: Grid = EDGE_GRID
    checked: bool = False
    roofline: str = "laptop-cpu"

    @classmethod
    def over(cls, batches: Sequence[int], contexts: Sequence[int], roofline: str) -> Self:
        """Return what measures these batch sizes and contexts, and checks them in between.

        Raises:
            ConfigError: too few to lie between, or not ascending.
        """
        for name, given, least in (("--batches", batches, 1), ("--contexts", contexts, 0)):
            if len(given) < _ENDS or list(given) != sorted(set(given)) or given[0] < least:
                raise ConfigError(
                    f"{name} {','.join(map(str, given))}: give two or more ascending numbers from"
                    f" {least}"
                )
        rows = tuple(sorted({2 * -(-each // 2) for each in batches}))
        cloud = replace(CLOUD_GRID, rows=tuple(batches), contexts=tuple(contexts))
        edge = replace(EDGE_GRID, rows=rows, contexts=tuple(contexts))
        return cls(cloud, edge, checked=True, roofline=roofline)


_ENDS = 2


def between(grid: Grid, multiple: int = 1) -> Grid:
    """Return the points in the middle of a grid's, none of them its own.

    Args:
        grid: the points.
        multiple: rows are a multiple of this; where none lies in between, the grid's own stay.
    """

    def middles(axis: Sequence[int], step: int) -> tuple[int, ...]:
        found = {step * round((low + high) / 2 / step) for low, high in pairwise(axis)}
        return tuple(sorted(found - set(axis))) or tuple(axis[-1:])

    return replace(
        grid,
        rows=middles(grid.rows, multiple),
        new_tokens=(grid.new_tokens[0], *middles(grid.new_tokens, 1)),
        contexts=middles(grid.contexts, 1),
    )


class PairCalibration(BaseModel):
    """Both sides, measured with the codec that the runs to come use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    codec: str
    """Name of the codec that was measured; others are charged by their number of values alike."""
    vocab_size: int = Field(ge=1)
    """V that was measured; what passes over the vocabulary is charged in proportion to V."""
    cloud: Calibrated
    """The large model."""
    edge: Calibrated
    """The small model, two rows a device."""
    checks: tuple[CheckedForward, ...] = ()
    """Forwards that were measured for the check alone; empty where it was left out."""

    @classmethod
    def from_json(cls, text: str, where: str) -> Self:
        """Read what ``to_json`` wrote.

        Raises:
            ConfigError: it is something else; ``where`` names it.
        """
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            key = ".".join(map(str, first["loc"]))
            raise ConfigError(
                f"{where}: {key}: {first['msg'].lower()}; make it with `costeer calibrate`"
            ) from None

    def to_json(self) -> str:
        """Return the calibration as JSON text."""
        return self.model_dump_json(indent=1) + "\n"


def calibrate(
    models: ModelsConfig, progress: Progress, measured: Measured = Measured()
) -> PairCalibration:
    """Measure a pair in this process.

    Args:
        models: the pair, and where each lives.
        progress: told what is being done.
        measured: the points.

    Raises:
        ConfigError: a model cannot be loaded, or has no room for a point.
    """
    if models.aligned:
        raise ConfigError(
            "models.alignment: steps are measured on a pair of one vocabulary; leave it out with"
            " such a pair, or let hardware be named (timing) instead of measured"
        )
    room = min(context_limits(models).values())
    for grid in (measured.cloud, measured.edge):
        needs = max(grid.contexts) + max(grid.new_tokens)
        if needs > room:
            raise ConfigError(
                f"--contexts {max(grid.contexts)}: with {max(grid.new_tokens)} new tokens that is"
                f" more than the {room} that the models allow; give shorter ones"
            )
    progress.note("loading the models")
    scenario = Scenario(
        name="calibration",
        models=models,
        fleet=FleetConfig.model_validate(
            {"devices": 1, "classes": [{"share": 1, "link": "ideal", "hardware": "laptop-cpu"}]}
        ),
        arms=(ArmConfig(method="costeer"),),
    )
    with open_laboratory(scenario, "none") as laboratory:
        codec = CodecConfig.model_validate("top64-bf16-packed")
        made = measure(laboratory, codec, progress, measured)
        if not measured.checked:
            return made
        progress.note("measuring points in between, to check it on")
        checks = _check(laboratory, made, models, measured, codec)
        return made.model_copy(update={"checks": checks})


def _check(
    laboratory: Laboratory,
    made: PairCalibration,
    models: ModelsConfig,
    measured: Measured,
    codec: AnyCodecConfig,
) -> tuple[CheckedForward, ...]:
    vocab_size = laboratory.begin_arm(_steered(codec))
    few = min(_RANKS, vocab_size)
    payload = laboratory.cloud.call("sample_payload", few)
    # Both at the same time, as what is checked was measured.
    with ThreadPoolExecutor(1) as pool:
        grid = between(measured.edge, 2)
        shard = pool.submit(laboratory.shards[0].call, "calibrate", grid, {few: payload})
        cloud = laboratory.cloud.call("calibrate", between(measured.cloud), (few, vocab_size))
        edge = shard.result()
    if not (isinstance(cloud, CloudPoints) and isinstance(edge, EdgePoints)):
        raise LocalProtocolError(f"calibrate: hosts reported {cloud!r}, {edge!r}")
    found: tuple[CheckedForward, ...] = ()
    for side, points, model, of in (
        ("cloud", cloud.forward, made.cloud, models.cloud),
        ("edge", edge.forward, made.edge, models.edge),
    ):
        roofline = None
        if isinstance(of, HfModel):
            roofline = roofline_of(of, models.numerics.value, measured.roofline)
        found += checked(side, points, model, roofline)
    return found


def _steered(codec: AnyCodecConfig) -> ArmSpec:
    return ArmSpec(method_named("costeer"), 1.0, codec, Sampling(), seed=0)


def measure(
    laboratory: Laboratory,
    codec: AnyCodecConfig,
    progress: Progress,
    measured: Measured = Measured(),
) -> PairCalibration:
    """Measure the hosts of a laboratory where they are, all at once: a run's share the machine too.

    Args:
        laboratory: its hosts; their sessions are forgotten.
        codec: of the runs to come.
        progress: told what is being done.
        measured: the points.
    """
    steered = _steered(codec)
    vocab_size = laboratory.begin_arm(steered)
    ranks = (min(_RANKS, vocab_size), vocab_size)
    progress.note("measuring both models, at the same time as in a live run")
    payloads = {count: laboratory.cloud.call("sample_payload", count) for count in reversed(ranks)}
    with ThreadPoolExecutor(1 + len(laboratory.shards)) as pool:
        shards = [
            pool.submit(shard.call, "calibrate", measured.edge, payloads)
            for shard in laboratory.shards
        ]
        cloud = pool.submit(laboratory.cloud.call, "calibrate", measured.cloud, ranks).result()
        edge, *_ = [shard.result() for shard in shards]
    laboratory.begin_arm(replace(steered, method=method_named("slm_with")))
    choose_ns = laboratory.shards[0].call("calibrate_choice", measured.edge.repeats)
    if not (
        isinstance(cloud, CloudPoints)
        and isinstance(edge, EdgePoints)
        and isinstance(choose_ns, int)
    ):
        raise LocalProtocolError(f"calibrate: hosts reported {cloud!r}, {edge!r}, {choose_ns!r}")
    return PairCalibration(
        codec=build_codec(codec, vocab_size).name,
        vocab_size=vocab_size,
        cloud=_cloud_model(cloud, laboratory.cloud_name, vocab_size),
        edge=_edge_model(edge, choose_ns, laboratory.edge_name, vocab_size),
    )


def _per_logit(cost_ns: float, vocab_size: int) -> Linear:
    """A pass over the vocabulary, measured at one V only: taken as proportional to V."""
    return Linear(base_ns=0, per_value_ns=max(0.0, cost_ns) / vocab_size)


_NOTHING = Linear(base_ns=0, per_value_ns=0)


def _cloud_model(points: CloudPoints, name: str, vocab_size: int) -> Calibrated:
    """Select and encode were measured together; the dense row tells them apart."""
    few = {rows: took_ns for rows, ranks, took_ns in points.select if ranks != vocab_size}
    ranks = next((count for _, count, _ in points.select if count != vocab_size), 0)
    dense_ns = next(took_ns for _, count, took_ns in points.select if count == vocab_size)
    per_value_ns = max(0.0, dense_ns - few.get(1, dense_ns)) / max(1, vocab_size - ranks)
    select = Linear.through(
        (rows * vocab_size, max(0, round(took_ns - rows * ranks * per_value_ns)))
        for rows, took_ns in (few or {1: dense_ns}).items()
    )
    return Calibrated.from_points(
        points.forward,
        model=name,
        host=_host(),
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        select=select,
        encode=Linear(base_ns=0, per_value_ns=per_value_ns),
        decode=_NOTHING,
        steer=_NOTHING,
        choose=_per_logit(points.choose_ns, vocab_size),
        forward_variation=variation_of(points.ratios),
        kv_bytes_per_token=1,
        kv_tokens=2**40,
    )


def _edge_model(points: EdgePoints, choose_ns: int, name: str, vocab_size: int) -> Calibrated:
    return Calibrated.from_points(
        points.forward,
        model=name,
        host=_host(),
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        select=_NOTHING,
        encode=_NOTHING,
        decode=Linear.through(points.decode),
        steer=_per_logit(points.steer_ns - choose_ns, vocab_size),
        choose=_per_logit(choose_ns, vocab_size),
        kv_bytes_per_token=1,
        kv_tokens=2**40,
    )


def _host() -> str:
    return f"{os.cpu_count()} x {processor_name()}"
