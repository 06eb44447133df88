"""The whole protocol over a real path, held against the same scenario in simulated time.

``costeer serve`` runs on one of the two hosts, ``costeer device`` on the other, with the shipped
pair. The simulated run is charged with what both processes measured of themselves in a run before,
of one device and other prompts: a cloud step (its wait for the model's thread included), a select,
a device's forward, a decode and a steer cost their means. Links, frames and tokens are the model's
own, so what is judged is everything between the computations.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import pandas as pd

from actors.costs import Costs
from actors.plan import ArmPlan, CodecTerms
from actors.records import Recorder
from actors.virtual.driver import VirtualDriver
from costeer.errors import ConfigError
from experiments.hosting import open_laboratory
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.results import Run, load
from experiments.run import run_arms
from experiments.scenario import Scenario, load_scenario
from experiments.validation.hosts import PathSpec, TwoHosts
from experiments.ways import Drive, Way
from netsim.hardware import Fixed

_MS = 1_000_000
_ROOT = Path(__file__).parents[2]
_SETTINGS = (
    "fleet.shards=1",
    "fleet.arrivals={kind: closed, think_s: 0, requests_per_device: 3}",
    "workload.max_new_tokens=48",
    "arms=[{method: costeer, codec: {select: {kind: top_k, k: 64}, values: bf16, layout: packed}}]",
)


@dataclass(frozen=True, slots=True)
class ExchangeCase:
    """A path and how many devices cross it, each on a connection of its own.

    Args:
        devices: how many.
        rate_mbps: of the path; wide enough for all of them.
        rtt_ms: of the empty path.
    """

    devices: int
    rate_mbps: int
    rtt_ms: int

    @property
    def path(self) -> PathSpec:
        """What lies between the hosts."""
        return PathSpec(self.rate_mbps * 1_000_000, self.rtt_ms * _MS // 2)


@dataclass(frozen=True, slots=True)
class ExchangeOutcome:
    """What a case took, really and in simulated time.

    Args:
        case: which.
        tokens: how many were generated.
        itl_ms: mean time between tokens: (real, simulated).
        total_s: from the first request to the last token: (real, simulated).
        same_tokens: whether the output digests agree.
    """

    case: ExchangeCase
    tokens: int
    itl_ms: tuple[float, float]
    total_s: tuple[float, float]
    same_tokens: bool


CASES = (
    ExchangeCase(1, 20, 40),
    ExchangeCase(1, 5, 150),
    ExchangeCase(2, 20, 40),
)


def scenario_of(case: ExchangeCase) -> Scenario:
    """Return the scenario of a case: the shipped pair over the path's figures."""
    return load_scenario("demo", _settings(case))


def _settings(case: ExchangeCase) -> list[str]:
    link = (
        f"{{down_mbps: {case.rate_mbps}, up_mbps: {case.rate_mbps}, rtt_s: {case.rtt_ms / 1000},"
        " transport: tcp}"
    )
    classes = f"fleet.classes=[{{share: 1, hardware: laptop-cpu, link: {link}}}]"
    return [*_SETTINGS, f"fleet.devices={case.devices}", classes]


Charges: TypeAlias = tuple[Fixed, Fixed]
"""What operations cost the cloud and a device."""


def measure_charges(net: TwoHosts) -> Charges:
    """Run one device on prompts that judge nothing; return what computing cost both sides.

    Raises:
        ConfigError: one of the two commands failed.
    """
    net.lay(CASES[0].path)
    with tempfile.TemporaryDirectory(prefix="costeer-exchange-") as name:
        _run(net, CASES[0], Path(name), "workload.prompts=dev")
        return _charges(load(Path(name) / "real").tokens)


def hold(net: TwoHosts, case: ExchangeCase, charges: Charges) -> ExchangeOutcome:
    """Run a case on two hosts, then simulate it.

    Raises:
        ConfigError: one of the two commands failed.
    """
    net.lay(case.path)
    scenario = scenario_of(case)
    with tempfile.TemporaryDirectory(prefix="costeer-exchange-") as name:
        folder = Path(name)
        _run(net, case, folder)
        real = load(folder / "real")
        simulated = _simulate(scenario, charges, folder / "simulated")
        digests = {run.summary["output_digest"] for run in (real, simulated)}
        itl_ms = _between_ms(real.tokens), _between_ms(simulated.tokens)
        total_s = _total_s(real.tokens), _total_s(simulated.tokens)
    return ExchangeOutcome(case, len(real.tokens), itl_ms, total_s, len(digests) == 1)


def _run(net: TwoHosts, case: ExchangeCase, folder: Path, *more: str) -> None:
    """Run both commands; the run directory is ``real``."""
    program = [sys.executable, "-m", "experiments.cli"]
    paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths), "OMP_NUM_THREADS": "1"}
    settings = [part for each in (*_settings(case), *more) for part in ("--set", each)]
    token = ["--token-file", str(folder / "token")]
    serve = [*program, "serve", "demo", *settings, *token, "--host", net.cloud.address]
    cloud = net.cloud.command([*serve, "--port", "0"])
    with subprocess.Popen(
        cloud, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as server:
        try:
            address = server.stdout.readline().strip() if server.stdout is not None else ""
            device = [*program, "device", "demo", *settings, *token, "--connect", address]
            command = net.edge.command([*device, "--out", str(folder / "real")])
            done = subprocess.run(
                command, check=False, capture_output=True, text=True, env=environment
            )
        finally:
            server.terminate()
    if done.returncode:
        raise ConfigError(f"`costeer device` failed: {done.stderr.strip()}")


@dataclass(frozen=True, slots=True)
class _Measured(Fixed):
    """Costs of one run: a forward of a prompt differs from that of a token."""

    prompt: int = 0

    @property
    def origin(self) -> str:
        """Measured."""
        return "measured"

    def forward_ns(self, new_tokens: Sequence[int], contexts: Sequence[int]) -> int:
        """See CostModel."""
        del contexts
        return self.prompt if max(new_tokens) > 1 else self.forward


def _charges(tokens: pd.DataFrame) -> Charges:
    """What cloud and device measured, on average."""
    first, later = tokens[tokens.position == 0], tokens[tokens.position > 0]
    step_ns = tokens.stage_cloud_queue_ns + tokens.stage_cloud_compute_ns
    forward_ns = tokens.busy_edge_ns + tokens.stage_edge_wait_ns
    cloud = _Measured(
        forward=int(step_ns[later.index].mean()),
        prompt=int(step_ns[first.index].mean()),
        select=int(later.stage_select_encode_ns.mean()),
    )
    device = _Measured(
        forward=int(forward_ns[later.index].mean()),
        prompt=int(forward_ns[first.index].mean()),
        decode=int(later.stage_decode_ns.mean()),
        steer=int(later.stage_steer_ns.mean()),
    )
    return cloud, device


def _simulate(scenario: Scenario, charges: Charges, out_dir: Path) -> Run:
    cloud, device = charges

    with open_laboratory(scenario, "none") as laboratory:

        def begin(
            plan: ArmPlan, terms: CodecTerms, recorder: Recorder
        ) -> tuple[Drive, dict[str, str]]:
            edges = {each.device_class: device for each in scenario.fleet.classes}
            costs = Costs(cloud, edges, terms.ladder)
            driver = VirtualDriver(
                plan, terms, costs, laboratory.clouds, laboratory.shards, recorder
            )
            return driver.run, {"compute": costs.origin}

        workload = plan_workload(scenario)
        way = Way("virtual", begin)
        run_arms(laboratory, way, scenario, workload, out_dir, NoProgress())
    return load(out_dir)


def _between_ms(tokens: pd.DataFrame) -> float:
    """Mean time between tokens, the first of each request left out."""
    return float(tokens[tokens.position > 0].latency_ns.mean() / _MS)


def _total_s(tokens: pd.DataFrame) -> float:
    return float(tokens.chosen_at_ns.max() / 1e9)
