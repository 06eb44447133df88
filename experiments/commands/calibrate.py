"""`costeer calibrate`: measure the pair's forwards on this machine, for simulated runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand, add_json, check_writable, write_file


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
    parser.add_argument(
        "--device",
        metavar="cpu|cuda|…",
        default="cpu",
        help="where both models live while they are measured, as torch names it (default: cpu)",
    )
    parser.add_argument(
        "--batches",
        metavar="N,N,…",
        type=_counts,
        default=(1, 2, 4, 8, 16),
        help="rows of the measured forwards (default: 1,2,4,8,16)",
    )
    parser.add_argument(
        "--contexts",
        metavar="N,N,…",
        type=_counts,
        default=(0, 16, 96),
        help="tokens that each row holds before (default: 0,16,96)",
    )
    parser.add_argument(
        "--roofline",
        metavar="HARDWARE",
        default="laptop-cpu",
        help="whose roofline is checked beside it (default: laptop-cpu)",
    )
    add_json(parser)
    parser.set_defaults(execute=execute)


def _counts(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not all(part.isdecimal() for part in parts):
        raise argparse.ArgumentTypeError(f"{text!r} is no list of whole numbers; write 1,2,4")
    return tuple(int(part) for part in parts)


def execute(arguments: argparse.Namespace) -> int:
    """Measure, check, write, and say how to use it."""
    from experiments.calibration import Measured, calibrate
    from experiments.calibration_text import check_text, variation_text
    from experiments.pair_limits import check_models
    from experiments.progress import progress_for
    from experiments.scenario import HfModel, ModelsConfig
    from netsim.hardware import hardware_named

    check_writable(arguments.out)  # before anything is measured for nothing
    hardware = hardware_named(arguments.roofline).name
    measured = Measured.over(arguments.batches, arguments.contexts, hardware)
    models = ModelsConfig(
        cloud=HfModel(path=arguments.llm, device=arguments.device),
        edge=HfModel(path=arguments.slm, device=arguments.device),
    )
    check_models(models)
    made = calibrate(models, progress_for(), measured)
    write_file(arguments.out, made.to_json())
    if arguments.json:
        print(made.to_json(), end="")
        return 0
    print(f"{check_text(made.checks, hardware)}\n")
    print(f"{variation_text(made.cloud.forward_variation)}\n")
    print(f"{arguments.out}: use it with `--set timing.calibration={arguments.out}`")
    return 0
