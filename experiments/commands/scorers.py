"""Options that say what texts are scored by."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from experiments.evaluation.words import Synonyms
    from experiments.scoring.judge import Judge
    from experiments.scoring.measure import Scorers


def add_scorers(parser: argparse.ArgumentParser) -> None:
    """WordNet, a reward model, a judge."""
    parser.add_argument(
        "--wordnet",
        metavar="DIR",
        type=Path,
        help="WordNet's database, for METEOR's synonyms (default: /usr/share/wordnet if there)",
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


def scorers_of(
    arguments: argparse.Namespace, verdicts: Path, *, read: bool = False, against: int | None = None
) -> Scorers:
    """Return what `add_scorers`' arguments name.

    Args:
        arguments: of the command.
        verdicts: file that a judge's verdicts are kept in.
        read: let the run's own models read the texts.
        against: number of the arm that a judge compares the others with.

    Raises:
        ConfigError: something named is not there.
    """
    from experiments.scoring.measure import Scorers

    reward = None
    if arguments.reward is not None:
        from experiments.scoring.reward import RewardModel

        reward = RewardModel(
            arguments.reward, arguments.device, trust_code=arguments.trust_code
        ).scores
    return Scorers(_synonyms(arguments.wordnet), read, reward, _judge(arguments, verdicts), against)


def tell_bill(arguments: argparse.Namespace, judge: Judge | None) -> None:
    """Say on standard error what a judge's new verdicts cost."""
    if judge is None:
        return
    from experiments.scoring.judge import cost

    asked = judge.asked
    tokens_in = sum(each.prompt_tokens for each in asked)
    tokens_out = sum(each.completion_tokens for each in asked)
    said = f"costeer: judge: {len(asked)} new verdicts, {tokens_in:,} tokens in, {tokens_out:,} out"
    prices = arguments.judge_price
    if prices is None:
        said += "; --judge-price IN,OUT says what that costs"
    else:
        said += f": {cost(asked, *prices):.4f} in the currency of --judge-price"
    print(said, file=sys.stderr)


def _judge(arguments: argparse.Namespace, verdicts: Path) -> Judge | None:
    if arguments.judge is None:
        return None
    from experiments.scoring.judge import Judge, JudgeSettings

    settings = JudgeSettings(arguments.judge, arguments.judge_model, arguments.judge_prompts)
    return Judge(settings, verdicts)


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


def _prices(text: str) -> tuple[float, float]:
    try:
        given, answered = (float(each) for each in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not IN,OUT: two numbers") from None
    return given, answered
