"""Measured costs of a pair on this machine, for simulated runs that are to be charged with them."""

from __future__ import annotations

import platform
import time
from pathlib import Path
from typing import Self

from pydantic import BaseModel, ConfigDict, ValidationError

from actors.calibrate import CloudPoints, EdgePoints, Grid
from actors.port import gather
from actors.values.port import ArmSpec
from costeer.codec.config import CodecConfig
from costeer.errors import ConfigError, LocalProtocolError
from costeer.methods import method_named
from costeer.sampling import Sampling
from experiments.hosting import Laboratory, open_laboratory
from experiments.progress import Progress
from experiments.scenario import ArmConfig, FleetConfig, ModelsConfig, Scenario
from netsim.hardware.calibrated import Calibrated, Linear

CLOUD_GRID = Grid(rows=(1, 2, 4, 8, 16), new_tokens=(1, 32), contexts=(16, 96), repeats=5)
EDGE_GRID = Grid(rows=(2, 4, 8, 16), new_tokens=(1, 64), contexts=(0, 96), repeats=5)
"""What is measured; a small grid, since a shipped run's sessions are short."""

_RANKS = 64


class PairCalibration(BaseModel):
    """Both sides, measured with the codec that the runs to come use."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cloud: Calibrated
    """The large model. Select and encode are measured together and stand under ``select``."""
    edge: Calibrated
    """The small model, two rows a device."""

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


def calibrate(models: ModelsConfig, progress: Progress) -> PairCalibration:
    """Measure a pair in this process.

    Raises:
        ConfigError: a model cannot be loaded.
    """
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
        return measure(laboratory, CodecConfig.model_validate("top64-bf16-naive"), progress)


def measure(laboratory: Laboratory, codec: CodecConfig, progress: Progress) -> PairCalibration:
    """Measure the hosts of a laboratory where they are, all at once: a run's share the machine too.

    Args:
        laboratory: its hosts; their sessions are forgotten.
        codec: of the runs to come.
        progress: told what is being done.
    """
    arm = ArmSpec(method_named("costeer"), 1.0, codec, Sampling(), seed=0)
    vocab_size = laboratory.begin_arm(arm)
    progress.note("measuring both models, at the same time as in a live run")
    payload = laboratory.cloud.call("sample_payload", _RANKS)
    cloud, edge, *_ = gather(
        [
            laboratory.cloud.submit("calibrate", CLOUD_GRID, _RANKS),
            *(shard.submit("calibrate", EDGE_GRID, payload) for shard in laboratory.shards),
        ]
    )
    if not (isinstance(cloud, CloudPoints) and isinstance(edge, EdgePoints)):
        raise LocalProtocolError(f"calibrate: the hosts reported {cloud!r} and {edge!r}")
    return PairCalibration(
        cloud=_cloud_model(cloud, laboratory.cloud_name, vocab_size),
        edge=_edge_model(edge, laboratory.edge_name),
    )


def _constant(cost_ns: int) -> Linear:
    return Linear(base_ns=cost_ns, per_value_ns=0)


def _cloud_model(points: CloudPoints, name: str, vocab_size: int) -> Calibrated:
    nothing = _constant(0)
    return Calibrated.from_points(
        points.forward,
        model=name,
        host=_host(),
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        select=Linear.through((rows * vocab_size, took_ns) for rows, took_ns in points.select),
        encode=nothing,
        decode=nothing,
        steer=nothing,
        choose=_constant(points.choose_ns),
        kv_bytes_per_token=1,
        kv_tokens=2**40,
    )


def _edge_model(points: EdgePoints, name: str) -> Calibrated:
    nothing = _constant(0)
    return Calibrated.from_points(
        points.forward,
        model=name,
        host=_host(),
        date=time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        select=nothing,
        encode=nothing,
        decode=_constant(points.decode_ns),
        steer=_constant(points.steer_ns),
        choose=nothing,
        kv_bytes_per_token=1,
        kv_tokens=2**40,
    )


def _host() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()
