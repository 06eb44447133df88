"""`costeer bottleneck`: where a fleet's time goes, and what would help, by running it again."""

from __future__ import annotations

import argparse
import json

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_run,
    add_scenario,
    count,
    read_scenario,
    run_directory,
    telling_of_partial_run,
)


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add(
        "bottleneck",
        "what holds a fleet back: run it with one more GPU, a tenth of the bytes, half the RTT",
    )
    add_scenario(parser)
    add_run(parser)
    add_json(parser)
    parser.add_argument(
        "--jobs",
        metavar="N",
        type=count,
        help="replicas at the same time (default: one per CPU)",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the fleet and its what-ifs; print what each would bring."""
    scenario = read_scenario(arguments)
    from experiments.fleet.bottleneck import (
        find_bottleneck,
        fleet_columns,
        gain_columns,
        share_columns,
    )
    from experiments.progress import progress_for
    from experiments.results.grid import text_table

    out_dir = run_directory(arguments.out, f"{scenario.name}-bottleneck")
    with telling_of_partial_run(out_dir):
        found = find_bottleneck(
            scenario, out_dir, arguments.address, progress_for(), arguments.jobs
        )
    if arguments.json:
        print(json.dumps({"run_dir": str(out_dir), "runs": found}, indent=2))
        return 0
    base = next(iter(found.values()))
    for columns in (share_columns(base["classes"]), gain_columns(found), fleet_columns(found)):
        print(text_table(columns))
        print()
    print(f"runs: {out_dir}")
    return 0
