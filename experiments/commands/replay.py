"""`costeer replay`: a recorded run under other links, hardware or fleets, without its models."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_out,
    print_outcome,
    run_directory,
    telling_of_partial_run,
)


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("replay", "time a recorded run anew under other links, hardware or fleets")
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a finished run")
    parser.add_argument(
        "--set",
        metavar="A.B=C",
        action="append",
        default=[],
        dest="overrides",
        help="change one value; link=…, hardware=… stand for every class, codec=… for every arm;"
        " repeatable",
    )
    add_out(parser)
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Replay; print the new run's tables or its summary."""
    from experiments.progress import progress_for
    from experiments.replay.retime import replay_run

    run_dir: Path = arguments.run_dir
    out_dir = run_directory(arguments.out, f"{run_dir.resolve().name}-replay")
    with telling_of_partial_run(out_dir):
        outcome = replay_run(run_dir, arguments.overrides, out_dir, progress_for())
    print_outcome(outcome.run_dir, outcome.summary, as_json=arguments.json)
    if not arguments.json:
        print(f"beside the recorded one: `costeer compare {run_dir} {out_dir}`")
    return 0
