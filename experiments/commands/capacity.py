"""`costeer capacity`: how many devices one replica can serve, and what limits it."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
import textwrap
from pathlib import Path
from typing import Any

from experiments.commands.options import (
    AddCommand,
    add_json,
    add_run,
    add_scenario,
    count,
    read_scenario,
)

_WIDTH = 110


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("capacity", "find how many devices a replica can serve, and what limits it")
    add_scenario(parser)
    parser.add_argument(
        "--slo",
        metavar="NAME=S",
        action="append",
        required=True,
        help="an objective in seconds: ttft, itl, tpot or e2e, _ and p50, p95, p99 or mean, "
        "e.g. itl_p95=0.2; repeatable, all have to hold",
    )
    parser.add_argument(
        "--limit",
        metavar="N",
        type=count,
        default=20_000,
        help="the largest fleet that is tried, devices per replica (default: 20000)",
    )
    parser.add_argument("--repeats", metavar="R", type=count, default=3, help="seeds (default: 3)")
    parser.add_argument(
        "--links",
        choices=("all", "scenario", "each"),
        default="all",
        help="the scenario's mix of links, each class alone, or both (default: all)",
    )
    parser.add_argument(
        "--no-sensitivity", action="store_true", help="leave out ±20 %% on every cost"
    )
    parser.add_argument(
        "--jobs", metavar="N", type=count, help="searches at the same time (default: all CPUs)"
    )
    parser.add_argument("--resume", action="store_true", help="keep what is finished, run the rest")
    add_run(parser)
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Search; print table and sentences. Exit code 0 also where no fleet keeps what was asked."""
    from costeer.errors import ConfigError
    from experiments.capacity.page import write_page
    from experiments.capacity.slo import parse_slos
    from experiments.capacity.store import Store
    from experiments.capacity.study import Question, run_study
    from experiments.progress import progress_for

    slos = parse_slos(arguments.slo)
    scenario = read_scenario(arguments)
    if scenario.way == "live":
        raise ConfigError(
            f"{scenario.name}: a live fleet cannot be made larger; choose way: virtual or fleet"
        )
    jobs = arguments.jobs
    if arguments.address == "none":
        if jobs is not None and jobs > 1:
            raise ConfigError(f"--jobs {jobs}: --address none runs one search after the other")
        jobs = 1
    question = Question(
        scenario,
        slos,
        arguments.limit,
        arguments.repeats,
        arguments.links,
        sensitivity=not arguments.no_sensitivity,
    )
    out_dir = arguments.out or Path("runs") / f"capacity-{scenario.name}"
    store = Store(out_dir, resume=arguments.resume)
    try:
        study = run_study(question, store, arguments.address, jobs, progress_for())
    except KeyboardInterrupt:
        print(f"costeer: finished searches are in {out_dir}; go on with --resume", file=sys.stderr)
        raise
    report = write_page(store.path, study)
    if arguments.json:
        print(json.dumps({"path": str(store.path), **study}, indent=2, ensure_ascii=False))
    else:
        _print(study, report)
    return 0


def _print(study: dict[str, Any], report: Path) -> None:
    from experiments.capacity.tables import capacity_columns, findings
    from experiments.results.grid import text_table

    width = shutil.get_terminal_size().columns if sys.stdout.isatty() else _WIDTH
    print(text_table(capacity_columns(study), width))
    for sentence in findings(study):
        print(f"\n{textwrap.fill(sentence, width)}")
    print(f"\nreport: {report}")
