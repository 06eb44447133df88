"""`costeer ablate`: many variants of one scenario, side by side."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from experiments.commands.options import AddCommand, add_json, add_run, count

if TYPE_CHECKING:
    from experiments.ablation.config import AblationConfig
    from experiments.ablation.expansion import Expansion
    from experiments.ablation.runner import AblationOutcome

EXIT_FAILED_CELLS = 1
_MINUTE_S = 60


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("ablate", "run every variant of a scenario and compare them")
    parser.add_argument("ablation", metavar="ABLATION", help="shipped name or YAML path")
    parser.add_argument(
        "--jobs", metavar="N", type=count, help="variants at the same time (default: all CPUs)"
    )
    parser.add_argument("--resume", action="store_true", help="keep what is finished, run the rest")
    parser.add_argument("--repeats", metavar="R", type=count, help="seeds per variant")
    parser.add_argument(
        "--dry-run", action="store_true", help="print the variants and an estimate, run nothing"
    )
    add_run(parser)
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Run the cells; print their table. Exit code 1 where a cell failed."""
    from costeer.errors import ConfigError
    from experiments.ablation.config import load_ablation
    from experiments.ablation.expansion import expand

    ablation = load_ablation(arguments.ablation)
    expansion = expand(ablation, arguments.repeats)
    jobs = arguments.jobs
    if arguments.address == "none":
        if jobs is not None and jobs > 1:
            raise ConfigError(f"--jobs {jobs}: --address none runs one cell after the other")
        jobs = 1
    if arguments.dry_run:
        _print_plan(ablation, expansion, jobs or os.cpu_count() or 1, as_json=arguments.json)
        return 0
    from experiments.ablation.runner import run_ablation
    from experiments.ablation.store import Store
    from experiments.progress import progress_for

    out_dir = arguments.out or Path("runs") / f"ablation-{ablation.name}"
    store = Store(out_dir, resume=arguments.resume)
    try:
        outcome = run_ablation(ablation, expansion, store, arguments.address, jobs, progress_for())
    except KeyboardInterrupt:
        print(f"costeer: finished cells are in {out_dir}; go on with --resume", file=sys.stderr)
        raise
    _print_outcome(outcome, as_json=arguments.json)
    return EXIT_FAILED_CELLS if outcome.failures else 0


def _print_plan(
    ablation: AblationConfig, expansion: Expansion, jobs: int, *, as_json: bool
) -> None:
    cells, seconds = expansion.cells, sum(expansion.seconds)
    longest = max(expansion.seconds, default=0.0)
    wall_s = max(seconds / jobs, longest)
    if as_json:
        plan = {
            "name": ablation.name,
            "cells": [
                {"id": cell.id, "labels": dict(cell.labels), "repeat": cell.repeat}
                for cell in cells
            ],
            "estimate_s": wall_s,
        }
        print(json.dumps(plan, indent=2))
        return
    from experiments.results.grid import Column, text_table

    axes = dict.fromkeys(name for cell in cells for name, _ in cell.labels)
    columns = [Column("cell", tuple(cell.id for cell in cells), left=True)]
    columns += [
        Column(name, tuple(dict(cell.labels).get(name, "") for cell in cells), left=True)
        for name in axes
    ]
    if any(cell.repeat for cell in cells):
        columns.append(Column("repeat", tuple(str(cell.repeat) for cell in cells)))
    columns.append(Column("estimate", tuple(f"{each:.0f}" for each in expansion.seconds), unit="s"))
    print(text_table(columns))
    print(f"\n{len(cells)} cells, roughly {_duration(wall_s)} with {jobs} at a time (quiet cores)")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 2 * _MINUTE_S else f"{seconds / _MINUTE_S:.0f} min"


def _print_outcome(outcome: AblationOutcome, *, as_json: bool) -> None:
    from experiments.ablation.collection import by_configuration, collect, over_repeats

    failures = [
        {"id": each.id, "cell": each.title, "reason": each.reason} for each in outcome.failures
    ]
    if as_json:
        rows = over_repeats(collect(outcome.path)) if outcome.finished else None
        told = {
            "path": str(outcome.path),
            "finished": outcome.finished,
            "failures": failures,
            "rows": [] if rows is None else json.loads(rows.to_json(orient="records")),
        }
        print(json.dumps(told, indent=2))
        return
    if outcome.finished:
        from experiments.ablation.findings import findings
        from experiments.ablation.tables import result_columns
        from experiments.results.grid import text_table

        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        means = by_configuration(over_repeats(collect(outcome.path)))
        print(text_table(result_columns(means), width))
        for sentence in findings(means):
            print(f"\n{sentence}")
        print(f"\nreport: {outcome.report}")
    for failure in failures:
        print(
            f"costeer: cell {failure['id']} ({failure['cell']}): {failure['reason']}",
            file=sys.stderr,
        )
