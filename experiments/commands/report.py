"""`costeer report`: the report of a run directory, made anew, and its tables as files."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, formats

_FORMATS = ("html", "md", "csv", "tex")


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("report", "write report.html, plots and tables of a run, a partial one too")
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="what `costeer run` wrote")
    parser.add_argument(
        "--format",
        metavar=",".join(_FORMATS),
        type=formats(_FORMATS),
        default=("html",),
        help="html: report.html and plots; the others: tables/*.FORMAT (default: html)",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Write the report and say where it is."""
    from experiments.report import write_report, write_tables

    for suffix in arguments.format:
        if suffix == "html":
            print(write_report(arguments.run_dir))
        else:
            for path in write_tables(arguments.run_dir, suffix):
                print(path)
    return 0
