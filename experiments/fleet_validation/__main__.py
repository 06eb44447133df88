"""``python -m experiments.fleet_validation [--write PAGE.md]``: run, compare, print the page."""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

from costeer.errors import CosteerError
from experiments.fleet_validation.design import CALIBRATING, live_points, middle
from experiments.fleet_validation.figures import draw_correlation, draw_live, draw_middle
from experiments.fleet_validation.live import (
    LiveOutcome,
    live_scenario_of,
    run_point,
    timed_laboratory,
)
from experiments.fleet_validation.middle import MiddleOutcome, run_middle
from experiments.fleet_validation.page import page
from experiments.fleet_validation.runs import Runs
from experiments.hosting import open_port
from experiments.machine import processor_name
from experiments.progress import progress_for

_DEVICES, _FEW_DEVICES = 1_000, 24
_TOKENS, _FEW_TOKENS = 32, 12


def main() -> int:
    """Validate; what was simulated before and kept is not run again."""
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    arguments = _parser().parse_args()
    began_s = time.monotonic()
    runs = Runs(arguments.runs, arguments.address, progress_for())
    found: MiddleOutcome | None = None
    live: list[LiveOutcome] = []
    try:
        if arguments.only != "live":
            size = (_FEW_DEVICES, _FEW_TOKENS) if arguments.short else (_DEVICES, _TOKENS)
            found = run_middle(middle(*size), runs)
        if arguments.only != "middle":
            live = _live(runs, arguments.address, arguments.repeats, short=arguments.short)
    except CosteerError as error:
        print(f"validate-fleet: {error}", file=sys.stderr)
        return 1
    images = []
    if arguments.write is not None:
        images = _draw(found, live, arguments.write.parent / "images", arguments.write.parent)
    machine = f"{os.cpu_count()} × {processor_name()}"
    text = page(found, live, images, machine, time.monotonic() - began_s)
    print(text)
    if arguments.write is not None:
        arguments.write.write_text(text, encoding="utf-8")
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="experiments.fleet_validation", description=__doc__)
    parser.add_argument("--write", metavar="PAGE.md", type=Path, help="where the page goes as well")
    parser.add_argument("--only", choices=("middle", "live"), help="one part alone")
    parser.add_argument("--short", action="store_true", help="tens of devices, in a minute")
    parser.add_argument(
        "--runs",
        metavar="DIR",
        type=Path,
        default=Path("runs/fleet-validation"),
        help="where runs are kept (default: runs/fleet-validation)",
    )
    parser.add_argument(
        "--repeats", metavar="N", type=int, default=3, help="live runs of a load (default: 3)"
    )
    parser.add_argument(
        "--address", metavar="local|none", default="local", help="Ray, or all in this process"
    )
    return parser


def _live(runs: Runs, address: str, repeats: int, *, short: bool) -> list[LiveOutcome]:
    points = live_points()[-1:] if short else live_points()
    scenario = live_scenario_of(points[0], CALIBRATING, 0, runs)
    with open_port(address, actors=2) as port:
        laboratory = timed_laboratory(scenario, port)
        return [run_point(point, laboratory, runs, repeats) for point in points]


def _draw(
    found: MiddleOutcome | None, live: list[LiveOutcome], folder: Path, beside: Path
) -> list[str]:
    """Draw what there is; return the files as the page names them."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    if found is not None:
        paths += [folder / "fleet-middle.svg", folder / "fleet-correlation.svg"]
        draw_middle(found, paths[0])
        draw_correlation(found, paths[1])
    if live:
        paths.append(folder / "fleet-live.svg")
        draw_live(live, paths[-1])
    return [path.relative_to(beside).as_posix() for path in paths]


if __name__ == "__main__":
    sys.exit(main())
