"""`costeer evaluate …`: the shipped pair, steering's price, drafts, and the paper's tables."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from costeer.errors import ConfigError
from experiments.commands import paper
from experiments.commands.options import AddCommand, add_json, add_study_out, count, share
from experiments.splits import SPLITS

_LEAST = 2


def register(add: AddCommand) -> None:
    """Add the command and what it can evaluate."""
    parser = add(
        "evaluate", "the shipped pair, what steering reveals, and the paper's tables and figure"
    )
    kinds = parser.add_subparsers(metavar="WHAT", required=True)
    _register_pair(kinds.add_parser("pair", help="the shipped pair under every method"))
    _register_privacy(
        kinds.add_parser("privacy", help="how well observers guess whose profile was used")
    )
    _register_speculation(
        kinds.add_parser("speculation", help="what drafts are worth, on which link")
    )
    _register_pace(
        kinds.add_parser("pace", help="drafts and starting k, learnt together, beside fixed pairs")
    )
    _register_gate(
        kinds.add_parser("gate", help="what steering that pauses saves, and costs in the text")
    )
    paper.register(kinds.add_parser)


def _register_pair(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--split", choices=sorted(SPLITS), default="dev", help="held-out rows (default: dev)"
    )
    parser.add_argument("--limit", metavar="N", type=count, help="use only the first N rows")
    parser.add_argument("--llm", metavar="DIR", type=Path, help="another large model")
    parser.add_argument(
        "--slm", metavar="DIR", type=Path, action="append", help="another small model; repeatable"
    )
    add_json(parser)
    parser.set_defaults(execute=_evaluate_pair)


def _register_privacy(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--candidates", metavar="N", type=count, default=8, help="profiles to tell (default: 8)"
    )
    parser.add_argument(
        "--questions",
        metavar="N",
        type=count,
        default=16,
        help="questions that each asks; the first half teaches (default: 16)",
    )
    add_study_out(parser, "privacy", "page, figure and data")
    add_json(parser)
    parser.set_defaults(execute=_evaluate_privacy)


def _register_speculation(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--acceptance",
        metavar="A",
        type=share,
        default=0.9,
        help="share of drafts that are right, on the grid of links (default: 0.9, the shipped"
        " pair's)",
    )
    add_study_out(parser, "speculation", "figures, tables and data")
    add_json(parser)
    parser.set_defaults(execute=_evaluate_speculation)


def _register_pace(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--acceptance", metavar="A", type=share, default=0.9, help="of drafts (default: 0.9)"
    )
    parser.add_argument(
        "--vocab", metavar="V", type=count, default=8_192, help="logits of a row (default: 8192)"
    )
    parser.add_argument(
        "--tokens", metavar="N", type=count, default=120, help="of each text (default: 120)"
    )
    parser.add_argument("--seeds", metavar="S", type=count, default=2, help="runs (default: 2)")
    add_json(parser)
    parser.set_defaults(execute=_evaluate_pace)


def _register_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--limit", metavar="N", type=count, default=24, help="held-out prompts (default: 24)"
    )
    parser.add_argument(
        "--max-new-tokens", metavar="N", type=count, default=64, help="of each text (default: 64)"
    )
    add_study_out(parser, "gate", "table and data")
    add_json(parser)
    parser.set_defaults(execute=_evaluate_gate)


def _evaluate_pair(arguments: argparse.Namespace) -> int:
    """Decode, score and print."""
    from experiments.scenario.models import SHIPPED_MODELS

    llm = arguments.llm or SHIPPED_MODELS / "llm"
    slms = arguments.slm or [SHIPPED_MODELS / "slm"]
    for folder in (*slms, llm):
        if not (folder / "config.json").is_file():
            raise ConfigError(f"model {folder}: has no config.json; give a model's folder")
    from experiments.evaluation.pair import evaluate_pair, format_report

    result = evaluate_pair(SPLITS[arguments.split], arguments.limit, llm, slms)
    print(json.dumps(asdict(result), indent=2) if arguments.json else format_report(result))
    return 0


def _evaluate_privacy(arguments: argparse.Namespace) -> int:
    """Run every candidate's sessions, let the observers guess, write and print."""
    if arguments.candidates < _LEAST or arguments.questions < _LEAST:
        raise ConfigError(
            f"evaluate privacy: --candidates {arguments.candidates} and --questions"
            f" {arguments.questions}: at least {_LEAST} of each, so that there is a choice and"
            " something to learn from"
        )
    from experiments.privacy.shown import table, write_page
    from experiments.privacy.study import STRENGTHS, study
    from experiments.progress import progress_for

    found = study(arguments.candidates, arguments.questions, STRENGTHS, progress_for())
    page = write_page(found, arguments.out)
    print(json.dumps(asdict(found), indent=2) if arguments.json else table(found))
    if not arguments.json:
        print(f"\n{page}")
    return 0


def _evaluate_speculation(arguments: argparse.Namespace) -> int:
    """Run every method on every link, write and print."""
    from experiments.speculation.shown import table, write_study
    from experiments.speculation.study import study

    found = study(arguments.acceptance)
    folder = write_study(found, arguments.out)
    print(json.dumps(asdict(found), indent=2) if arguments.json else table(found))
    if not arguments.json:
        print(f"\n{folder}")
    return 0


def _evaluate_gate(arguments: argparse.Namespace) -> int:
    """Run CoSteer beside steering that pauses, read the texts back, write and print."""
    from experiments.pausing.shown import table, write_study
    from experiments.pausing.study import study
    from experiments.progress import progress_for

    found = study(arguments.limit, arguments.max_new_tokens, progress_for())
    folder = write_study(found, arguments.out)
    print(json.dumps(asdict(found), indent=2) if arguments.json else table(found))
    if not arguments.json:
        print(f"\n{folder}")
    return 0


def _evaluate_pace(arguments: argparse.Namespace) -> int:
    """Run every fixed pair and the learnt one on every link, and print."""
    from experiments.speculation.together import table, together

    seeds = range(1, arguments.seeds + 1)
    found = together(arguments.acceptance, arguments.vocab, arguments.tokens, seeds)
    told = [asdict(each) for each in found]
    print(json.dumps(told, indent=2) if arguments.json else table(found))
    return 0
