"""`costeer evaluate pair`: what the shipped pair shows, with intervals."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from costeer.errors import ConfigError
from experiments.commands.options import AddCommand, add_json, count
from experiments.splits import SPLITS


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("evaluate", "measure the quality of the shipped pair under every method")
    parser.add_argument("what", metavar="pair", choices=["pair"], help="what to evaluate")
    parser.add_argument(
        "--split", choices=sorted(SPLITS), default="dev", help="held-out rows (default: dev)"
    )
    parser.add_argument("--limit", metavar="N", type=count, help="use only the first N rows")
    parser.add_argument("--llm", metavar="DIR", type=Path, help="another large model")
    parser.add_argument(
        "--slm", metavar="DIR", type=Path, action="append", help="another small model; repeatable"
    )
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Decode, score and print."""
    from experiments.scenario.model import SHIPPED_MODELS

    llm = arguments.llm or SHIPPED_MODELS / "llm"
    slms = arguments.slm or [SHIPPED_MODELS / "slm"]
    for folder in (*slms, llm):
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model {folder}: has no config.json; give a model's folder")
    from experiments.evaluation.pair import evaluate_pair, format_report

    result = evaluate_pair(SPLITS[arguments.split], arguments.limit, llm, slms)
    print(json.dumps(asdict(result), indent=2) if arguments.json else format_report(result))
    return 0
