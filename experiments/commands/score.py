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

if TYPE_CHECKING:
    from experiments.evaluation.words import Synonyms
    from experiments.results.run import Run
    from experiments.scoring.judge import Judge


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("score", "score a run's texts: words, models, judges; with paired tests")
    parser.add_argument("run", metavar="RUN", type=Path, help="run directory with texts")
    parser.add_argument(
        "--baseline", metavar="METHOD|N", help="compare the other arms with this one"
    )
    parser.add_argument(
        "--wordnet",
        metavar="DIR",
        type=Path,
        help="WordNet's database, for METEOR's synonyms (default: /usr/share/wordnet if there)",
    )
    parser.add_argument(
        "--read",
        action="store_true",
        help="let the run's own models read the texts: perplexity, KL and agreement with CoSteer",
    )
    parser.add_argument("--reward", metavar="MODEL", help="a reward model: folder or hub name")
    parser.add_argument(
        "--trust-code", action="store_true", help="run the code that comes with the reward model"
    )
    parser.add_argument("--device", default="cpu", help="of the reward model (default: cpu)")
    parser.add_argument(
        "--judge", metavar="URL", help="an OpenAI-compatible server as judge, up to and with /v1"
    )
    parser.add_argument("--judge-model", metavar="NAME", default="", help="its model")
    parser.add_argument(
        "--judge-prompts", metavar="DIR", type=Path, help="overall.txt, personal.txt, pairwise.txt"
    )
    parser.add_argument(
        "--judge-price",
        metavar="IN,OUT",
        type=_prices,
        help="per million tokens of prompts and of answers; prints what judging cost",
    )
    add_json(parser)
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Score, write beside the run, and print."""
    from experiments.results.run import load
    from experiments.scoring.measure import Scorers, score, write_scores
    from experiments.scoring.shown import as_json, as_text

    run = load(arguments.run)
    baseline = _arm(run, arguments.baseline) if arguments.baseline else None
    judge = _judge(arguments)
    reward = None
    if arguments.reward is not None:
        from experiments.scoring.reward import RewardModel

        reward = RewardModel(
            arguments.reward, arguments.device, trust_code=arguments.trust_code
        ).scores
    scorers = Scorers(_synonyms(arguments.wordnet), arguments.read, reward, judge, baseline)
    scores = score(run, scorers, lambda what: print(f"costeer: {what} …", file=sys.stderr))
    path = write_scores(scores, arguments.run)
    if arguments.json:
        print(json.dumps(as_json(scores, run.arms, baseline), indent=2))
    else:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else None
        print(as_text(scores, run.arms, baseline, width))
        print(f"\n{path}")
    if judge is not None:
        print(_bill(judge, arguments.judge_price), file=sys.stderr)
    return 0


def _judge(arguments: argparse.Namespace) -> Judge | None:
    if arguments.judge is None:
        return None
    from experiments.scoring.judge import Judge, JudgeSettings

    settings = JudgeSettings(arguments.judge, arguments.judge_model, arguments.judge_prompts)
    return Judge(settings, arguments.run / "verdicts.jsonl")


def _bill(judge: Judge, prices: tuple[float, float] | None) -> str:
    from experiments.scoring.judge import cost

    asked = judge.asked
    tokens_in, tokens_out = (
        sum(each.prompt_tokens for each in asked),
        sum(each.completion_tokens for each in asked),
    )
    said = f"costeer: judge: {len(asked)} new verdicts, {tokens_in:,} tokens in, {tokens_out:,} out"
    if prices is None:
        return f"{said}; --judge-price IN,OUT says what that costs"
    return f"{said}: {cost(asked, *prices):.4f} in the currency of --judge-price"


def _synonyms(folder: Path | None) -> Synonyms:
    from experiments.evaluation.wordnet import DEFAULT_FOLDER, NoWordNet, WordNet

    if folder is not None:
        return WordNet(folder)
    if (DEFAULT_FOLDER / "index.noun").is_file():
        return WordNet(DEFAULT_FOLDER)
    print(
        "costeer: METEOR matches words and stems alone: there is no WordNet at"
        f" {DEFAULT_FOLDER}; apt install wordnet-base, or --wordnet DIR",
        file=sys.stderr,
    )
    return NoWordNet()


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


def _prices(text: str) -> tuple[float, float]:
    try:
        given, answered = (float(each) for each in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT: two numbers") from None
    return given, answered
