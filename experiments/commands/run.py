"""`costeer run`: one scenario, carried out and written down."""

from __future__ import annotations

import argparse
import json
import shutil
import sys

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_run,
    add_scenario,
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
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the scenario; print its tables or its summary."""
    scenario = read_scenario(arguments)
    from experiments.progress import progress_for
    from experiments.run import run_scenario

    out_dir = run_directory(arguments.out, scenario.name)
    with telling_of_partial_run(out_dir):
        outcome = run_scenario(scenario, out_dir, arguments.address, progress_for())
    if arguments.json:
        print(json.dumps({"run_dir": str(outcome.run_dir), **outcome.summary}, indent=2))
        return 0
    from experiments.results.tables import methods_table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
    print(methods_table(outcome.summary["arms"], width=width))
    print(f"\nrun directory: {outcome.run_dir}")
    return 0
