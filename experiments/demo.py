"""The main job on one page: what ``make demo`` runs and prints.

Four things are printed. Three come from runs that share one cluster: the six methods on the
shipped pair in simulated time; the same exchange at a real model's vocabulary; a short live run
beside the simulation that predicts it, charged with forward costs measured on the same hosts just
before. The fourth is two texts of the first run, without and with steering.
"""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

from costeer.codec.config import CodecConfig
from experiments.calibration import measure
from experiments.hosting import Laboratory, open_port, start_hosts
from experiments.outcome import RunOutcome, check_out_dir
from experiments.planning import Workload, plan_workload
from experiments.progress import Progress
from experiments.report import write_report
from experiments.results.run import FULL_VOCABULARY, LIVE, METHODS, PREDICTION, load
from experiments.results.samples import pick_samples
from experiments.results.tables import live_table, methods_table, samples_table, stage_table
from experiments.run import run_in
from experiments.scenario import Scenario, load_scenario


def run_demo(out_dir: Path, address: str, progress: Progress, tell: Callable[[str], None]) -> Path:
    """Run the parts, tell their tables and two texts, write the report; return its path.

    Args:
        out_dir: a new directory; each part is a run directory in it.
        address: where the hosts live, see ``hosting.open_port``.
        progress: told of parts, arms and tokens.
        tell: takes what is to be printed.

    Raises:
        ConfigError: something cannot be had.
        KeyboardInterrupt: after what there is was written.
    """
    width = shutil.get_terminal_size((110, 24)).columns
    scenarios = {name: load_scenario(file) for name, file in _FILES.items()}
    # The live run is on the first part's hosts.
    shards = max(scenarios[name].fleet.shards for name in (METHODS, LIVE))
    scenarios[METHODS] = _with_shards(scenarios[METHODS], shards)
    check_out_dir(out_dir)
    workloads = {name: plan_workload(scenario) for name, scenario in scenarios.items()}
    actors = sum(scenarios[name].fleet.shards + 1 for name in (METHODS, FULL_VOCABULARY))
    progress.note("starting the hosts")
    with open_port(address, actors) as port:
        pair = start_hosts(scenarios[METHODS], port)
        methods = run_in(pair, scenarios[METHODS], workloads[METHODS], out_dir / METHODS, progress)
        tell(_heading("1. Six methods on the shipped pair", _fleet(scenarios[METHODS]), width))
        tell(methods_table(_arms(methods), width=width))

        generated = start_hosts(scenarios[FULL_VOCABULARY], port)
        vocabulary = run_in(
            generated,
            scenarios[FULL_VOCABULARY],
            workloads[FULL_VOCABULARY],
            out_dir / FULL_VOCABULARY,
            progress,
        )
        tell(
            _heading("2. Where a token's time goes at full vocabulary", _exchange(scenarios), width)
        )
        tell(stage_table(_arms(vocabulary), width=width))

        live, prediction = _live(pair, scenarios[LIVE], workloads[LIVE], out_dir, progress)
        tell(_heading("3. A live run beside its prediction", _live_setting(scenarios[LIVE]), width))
        tell(live_table(_arms(live), _arms(prediction), width=width))

    tell(_heading("4. Two texts, without and with steering", "", width))
    tell(samples_table(pick_samples(load(out_dir / METHODS).requests), width))
    report = write_report(out_dir)
    tell(f"\nreport: {report}")
    return report


_FILES = {METHODS: "demo", FULL_VOCABULARY: "full-vocabulary", LIVE: "live"}


def _with_shards(scenario: Scenario, shards: int) -> Scenario:
    fleet = scenario.fleet.model_copy(update={"shards": shards})
    return scenario.model_copy(update={"fleet": fleet})


def _live(
    pair: Laboratory, scenario: Scenario, workload: Workload, out_dir: Path, progress: Progress
) -> tuple[RunOutcome, RunOutcome]:
    """Measure the hosts, run live, run the same in simulated time charged with what was measured.

    The laboratory may have more shards than the scenario asks for; both runs use its own number.
    """
    laboratory = Laboratory(
        pair.clouds,
        pair.shards[: scenario.fleet.shards],
        pair.cloud_name,
        pair.edge_name,
        pair.port,
    )
    calibration = measure(laboratory, scenario.arms[0].codec or CodecConfig(), progress)
    live = run_in(laboratory, scenario, workload, out_dir / LIVE, progress)
    simulated = scenario.model_copy(update={"way": "virtual", "name": PREDICTION})
    prediction = run_in(
        laboratory, simulated, workload, out_dir / PREDICTION, progress, calibration
    )
    return live, prediction


def _arms(outcome: RunOutcome) -> list[dict[str, Any]]:
    arms: list[dict[str, Any]] = outcome.summary["arms"]
    return arms


def _fleet(scenario: Scenario) -> str:
    links = ", ".join(each.link.resolve().name for each in scenario.fleet.classes)
    return (
        f"{scenario.fleet.devices} devices on {links}; simulated time, forwards charged as"
        f" {scenario.timing.cloud_model} on {scenario.cloud.hardware} and"
        f" {scenario.timing.edge_model} on the devices; frames, select and steer at the pair's own"
        " vocabulary (part 2 has a real one)"
    )


def _exchange(scenarios: dict[str, Scenario]) -> str:
    scenario = scenarios[FULL_VOCABULARY]
    links = " and ".join(each.link.resolve().name for each in scenario.fleet.classes)
    return (
        f"generated logits at V = {scenario.generated.vocab_size:,}, really encoded and sent over"
        f" {links}; charged as in 1"
    )


def _live_setting(scenario: Scenario) -> str:
    return (
        f"{scenario.fleet.devices} devices in real time on this machine; the prediction is charged"
        " with costs measured just before, and gives each device a processor of its own, while the"
        " live devices share this machine's with the cloud and with Ray"
    )


def _heading(title: str, setting: str, width: int) -> str:
    lines = ["", title, "═" * min(len(title), width)]
    return "\n".join([*lines, textwrap.fill(setting, width), ""] if setting else lines)
