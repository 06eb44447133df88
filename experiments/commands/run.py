"""`costeer run`: one scenario, carried out and written down."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from costeer.errors import ConfigError
from experiments.commands.options import (
    AddCommand,
    add_json,
    add_run,
    add_scenario,
    count,
    port,
    print_outcome,
    read_scenario,
    run_directory,
    telling_of_partial_run,
)

if TYPE_CHECKING:
    from experiments.scenario import Scenario


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("run", "run a scenario")
    add_scenario(parser, optional=True)
    parser.add_argument(
        "--resume",
        metavar="RUN_DIR",
        type=Path,
        help="go on with a run that was cut off (killed, interrupted, failed); no SCENARIO then",
    )
    add_run(parser)
    add_json(parser)
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=count,
        help="replicas of a large fleet at the same time (default: one per CPU)",
    )
    parser.add_argument(
        "--metrics-port",
        metavar="PORT",
        type=port,
        help="serve Prometheus metrics there while it runs (0: any free port)",
    )
    parser.add_argument(
        "--metrics-host",
        metavar="HOST",
        default="127.0.0.1",
        help="where the metrics listen; 0.0.0.0 opens them to all (default: 127.0.0.1)",
    )
    parser.add_argument(
        "--metrics-targets",
        metavar="FILE.json",
        type=Path,
        help="write there where Prometheus finds this run's exporters, one per node of a cluster",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the scenario; print its tables or its summary."""
    scenario, out_dir = _resumed(arguments) if arguments.resume else _new(arguments)
    from experiments.metrics import MetricsAt
    from experiments.progress import progress_for
    from experiments.run import run_scenario

    with telling_of_partial_run(out_dir, resumable=True):
        number = arguments.metrics_port
        metrics_at = None
        if number is not None:
            metrics_at = MetricsAt(arguments.metrics_host, number, arguments.metrics_targets)
        elif arguments.metrics_targets is not None:
            raise ConfigError(
                "--metrics-targets: there are no exporters to be found; add --metrics-port"
            )
        outcome = run_scenario(
            scenario,
            out_dir,
            arguments.address,
            progress_for(panel=True),
            metrics_at,
            jobs=arguments.jobs,
            resume=arguments.resume is not None,
        )
    print_outcome(outcome.run_dir, outcome.summary, as_json=arguments.json)
    return 0


def _new(arguments: argparse.Namespace) -> tuple[Scenario, Path]:
    if arguments.scenario is None:
        raise ConfigError("run: give a SCENARIO, or --resume RUN_DIR; see `costeer run --help`")
    scenario = read_scenario(arguments)
    return scenario, run_directory(arguments.out, scenario.name)


def _resumed(arguments: argparse.Namespace) -> tuple[Scenario, Path]:
    given = {
        "SCENARIO": arguments.scenario,
        "--set": arguments.overrides,
        "--seed": arguments.seed,
        "--prompts": arguments.prompts,
        "--out": arguments.out,
    }
    for name, value in given.items():
        if value:
            raise ConfigError(
                f"--resume {arguments.resume}: the run goes on as it was begun; leave out {name}"
            )
    from experiments.resume import interrupted_scenario

    return interrupted_scenario(arguments.resume), arguments.resume
