"""`costeer run`: one scenario, carried out and written down."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_run,
    add_scenario,
    port,
    print_outcome,
    read_scenario,
    run_directory,
    telling_of_partial_run,
)


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("run", "run a scenario")
    add_scenario(parser)
    add_run(parser)
    add_json(parser)
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
    scenario = read_scenario(arguments)
    from costeer.errors import ConfigError
    from experiments.metrics import MetricsAt
    from experiments.progress import progress_for
    from experiments.run import run_scenario

    out_dir = run_directory(arguments.out, scenario.name)
    with telling_of_partial_run(out_dir):
        number = arguments.metrics_port
        metrics_at = None
        if number is not None:
            metrics_at = MetricsAt(arguments.metrics_host, number, arguments.metrics_targets)
        elif arguments.metrics_targets is not None:
            raise ConfigError(
                "--metrics-targets: there are no exporters to be found; add --metrics-port"
            )
        outcome = run_scenario(
            scenario, out_dir, arguments.address, progress_for(panel=True), metrics_at
        )
    print_outcome(outcome.run_dir, outcome.summary, as_json=arguments.json)
    return 0
