"""`costeer demo`: the main job, what `make demo` runs."""

from __future__ import annotations

import argparse

from experiments.commands.options import (
    AddCommand,
    add_run,
    run_directory,
    telling_of_partial_run,
)


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("demo", "24 devices steer a cloud model across slow links: the whole tour")
    add_run(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the demo; it prints its own tables."""
    from experiments.demo import run_demo
    from experiments.progress import progress_for

    out_dir = run_directory(arguments.out, "demo")
    with telling_of_partial_run(out_dir):
        run_demo(out_dir, arguments.address, progress_for(panel=True), print)
    return 0
