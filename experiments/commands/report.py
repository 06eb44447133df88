"""`costeer report`: the report of a run directory, made anew."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("report", "write report.html and the plots of a run, a partial one too")
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="what `costeer run` wrote")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from experiments.report import write_report

    print(write_report(arguments.run_dir))
    return 0
