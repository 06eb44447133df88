"""`costeer run`: one scenario, carried out and written down."""

from __future__ import annotations

import argparse

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_run,
    add_scenario,
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
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the scenario; print its tables or its summary."""
    scenario = read_scenario(arguments)
    from experiments.progress import progress_for
    from experiments.run import run_scenario

    out_dir = run_directory(arguments.out, scenario.name)
    with telling_of_partial_run(out_dir):
        outcome = run_scenario(scenario, out_dir, arguments.address, progress_for())
    print_outcome(outcome.run_dir, outcome.summary, as_json=arguments.json)
    return 0
