"""`costeer calibrate`: measure the pair's forwards on this machine, for simulated runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, check_writable, write_file


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("calibrate", "measure the pair on this machine, to charge simulated runs with")
    parser.add_argument(
        "--out",
        metavar="FILE",
        type=Path,
        default=Path("calibration.json"),
        help="where to write it (default: calibration.json)",
    )
    parser.add_argument("--llm", metavar="PATH", default="pair/llm", help="another large model")
    parser.add_argument("--slm", metavar="PATH", default="pair/slm", help="another small model")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Measure, write, and say how to use it."""
    from experiments.calibration import calibrate
    from experiments.pair_limits import check_models
    from experiments.progress import progress_for
    from experiments.scenario import HfModel, ModelsConfig

    check_writable(arguments.out)  # before anything is measured for nothing
    models = ModelsConfig(cloud=HfModel(path=arguments.llm), edge=HfModel(path=arguments.slm))
    check_models(models)
    write_file(arguments.out, calibrate(models, progress_for()).to_json())
    print(f"{arguments.out}: use it with `--set timing.calibration={arguments.out}`")
    return 0
