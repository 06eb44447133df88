"""`costeer bench`: measure this machine; every figure goes to a JSON file."""

from __future__ import annotations

import argparse
import json
import os
import platform
from importlib import import_module
from pathlib import Path
from typing import Any

from experiments.commands.options import AddCommand, check_writable, count, write_file

MODULES = (
    "codec",
    "overlap",
    "slots",
    "links",
    "drivers",
    "starts",
    "peers",
    "cells",
    "cluster",
    "gpu",
)
"""Modules of `experiments.bench`, in the order in which they run."""


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add(
        "bench", "measure steering, codecs, hosts, links, drivers and clusters on this machine"
    )
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("bench.json"),
        help="where to write the results (default: bench.json)",
    )
    parser.add_argument("--only", choices=MODULES, help="measure one group alone")
    parser.add_argument(
        "--repeats", metavar="N", type=count, default=20, help="of each figure (default: 20)"
    )
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Measure, write, print."""
    from experiments.machine import processor_name
    from experiments.progress import progress_for

    progress = progress_for()
    check_writable(arguments.out)  # before anything is measured for nothing
    rows: list[dict[str, Any]] = []
    for name in MODULES if arguments.only is None else (arguments.only,):
        progress.note(f"measuring {name}")
        rows += import_module(f"experiments.bench.{name}").run(arguments.repeats)
    machine = {
        "processor": processor_name(),
        "cores": os.cpu_count(),
        "python": platform.python_version(),
    }
    results = {"machine": machine, "origin": "measured", "rows": rows}
    write_file(arguments.out, json.dumps(results, indent=2) + "\n")
    print(_table(rows))
    print(f"\nresults: {arguments.out}")
    return 0


def _table(rows: list[dict[str, Any]]) -> str:
    from experiments.results.grid import Column, number, text_table

    def column(title: str, key: str, scale: float, decimals: int, unit: str) -> list[Column]:
        if not any(key in row for row in rows):
            return []
        values = [row.get(key) for row in rows]
        scaled = [None if value is None else value * scale for value in values]
        shown = tuple(
            number(value, decimals if value is None or value >= 1 else decimals and 3)
            for value in scaled
        )
        return [Column(title, shown, unit=unit)]

    keys = [
        Column(key, tuple(str(row.get(key, "")) for row in rows), left=True)
        for key in ("bench", "case")
    ]
    targets = tuple(_target(row) for row in rows)
    return text_table(
        [
            *keys,
            *column("median", "median_s", 1e6, 1, "µs"),
            *column("rate", "tokens_per_s", 1.0, 0, "tokens/s"),
            *column("payload", "payload_bytes", 1.0, 0, "bytes"),
            *column("frame", "frame_bytes", 1.0, 0, "bytes"),
            *column("coder bound", "entropy_coder_bytes", 1.0, 0, "bytes"),
            *column("ids bound", "ids_bound_bytes", 1.0, 0, "bytes"),
            *column("of a bare loop", "share", 100.0, 0, "%"),
            *column("speed-up", "speedup", 1.0, 1, "×"),
            *column("of the floor", "floor_share", 100.0, 0, "%"),
            *column("of a step", "step_share", 100.0, 1, "%"),
            *column("of all CPU", "cpu_share", 100.0, 0, "%"),
            *column("room for", "devices", 1.0, 0, "devices"),
            *column("roofline's error", "roofline_error", 100.0, 0, "%"),
            *([Column("target", targets)] if any(targets) else []),
        ]
    )


def _target(row: dict[str, Any]) -> str:
    """What a figure is to reach: some shares and a speed-up at least, others and a time at most."""
    target = row.get("target")
    if target is None:
        return ""
    if "speedup" in row:
        return f"≥ {target:g} ×"
    if "step_share" in row:
        return f"≤ {target * 100:.0f} %"
    at_least = "share" in row or "floor_share" in row
    micros = target * 1e6
    most = f"{micros:,.0f}" if micros.is_integer() else f"{micros:g}"
    return f"≥ {target * 100:.0f} %" if at_least else f"≤ {most} µs"
