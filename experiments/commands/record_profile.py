"""`costeer record-profile`: sizes and outcomes of a finished run, to replay in large fleets."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, check_writable


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("record-profile", "keep a run's sizes and outcomes, to replay in large fleets")
    parser.add_argument("run_dir", metavar="RUN_DIR", type=Path, help="a finished run")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("profile.parquet"),
        help="where to write the profile (default: profile.parquet)",
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Record, and say what is in the profile and how to use it."""
    from experiments.profile.record import record_profile
    from experiments.profile.statistics import profile_table

    check_writable(arguments.out)  # before anything is read for nothing
    profile = record_profile(arguments.run_dir, arguments.out)
    size_kb = arguments.out.stat().st_size / 1e3
    origin = profile.origin
    print(
        f"{arguments.out}: {profile.sessions} sessions of {origin.run}, V = {origin.vocab_size:,},"
        f" sizes {origin.bytes_origin}, {size_kb:,.0f} kB\n"
    )
    print(profile_table(profile))
    print(f"\nuse it with `--set values=profile --set profile.path={arguments.out}`")
    return 0
