"""`costeer score`: metrics of a run's texts, with intervals and paired tests."""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from costeer.errors import ConfigError
from experiments.commands.options import AddCommand, add_json
from experiments.commands.scorers import add_scorers, scorers_of, tell_bill

if TYPE_CHECKING:
    from experiments.results.run import Run


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("score", "score a run's texts: words, models, judges; with paired tests")
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory with texts")
    parser.add_argument(
        "--baseline", metavar="METHOD|N", help="compare the other arms with this one"
    )
    parser.add_argument(
        "--read",
        action="store_true",
        help="let the run's own models read the texts: perplexity, KL and agreement with CoSteer",
    )
    add_scorers(parser)
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Score, write beside the run, and print."""
    from experiments.results.run import load
    from experiments.scoring.measure import score, write_scores
    from experiments.scoring.shown import as_json, as_text

    run = load(arguments.run)
    baseline = _arm(run, arguments.baseline) if arguments.baseline else None
    scorers = scorers_of(
        arguments, arguments.run / "verdicts.jsonl", read=arguments.read, against=baseline
    )
    scores = score(run, scorers, lambda what: print(f"costeer: {what} …", file=sys.stderr))
    path = write_scores(scores, arguments.run)
    if arguments.json:
        print(json.dumps(as_json(scores, run.arms, baseline), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(as_text(scores, run.arms, baseline, width))
        print(f"\n{path}")
    tell_bill(arguments, scorers.judge)
    return 0


def _arm(run: Run, named: str) -> int:
    """Return the number of an arm that is named by its method, or by its number from 1."""
    from experiments.results.labels import whole_arms

    arms = whole_arms(run.arms)
    if named.isdecimal() and 0 < int(named) <= len(arms):
        return int(arms[int(named) - 1]["arm"])
    found = [int(arm["arm"]) for arm in arms if arm["method"] == named]
    if len(found) != 1:
        known = ", ".join(f"{place}: {arm['method']}" for place, arm in enumerate(arms, start=1))
        raise ConfigError(f"--baseline {named}: is not one arm; give one of {known}")
    return found[0]
