"""How steering bears irrelevant lines in the private context, method by method.

At rate r every line of a context has r lines of other users beside it, mixed in at random. The
facts recalled are still those of the own profile; a text that takes up a foreign line loses them.
"""

from __future__ import annotations

from dataclasses import dataclass

from experiments.baselines.methods import BASELINES, Baseline
from experiments.baselines.study import F64, Decoder, load_pair
from experiments.evaluation.bootstrap import Interval, mean_interval, paired_difference
from experiments.pair_limits import vocab_size_of
from experiments.progress import Progress
from experiments.results.grid import Column, text_table
from experiments.results.intervals import interval_cell
from experiments.scenario import Scenario
from experiments.workload import load_rows

RATES = (0.0, 0.5, 1.0, 2.0)
"""Irrelevant lines per line of one's own."""

_METHODS = (("slm_with", 0.0), ("costeer", 0.476), ("costeer", 1.783), ("llm_with", 0.0))


@dataclass(frozen=True, slots=True)
class Borne:
    """One method at one rate.

    Args:
        title: the method's name, with its strength.
        rate: irrelevant lines per own line.
        rouge_l: over rows.
        profile_recall: the same.
        lost: ROUGE-L minus that without noise, paired; None without noise.
    """

    title: str
    rate: float
    rouge_l: Interval
    profile_recall: Interval
    lost: Interval | None


def study_noise(scenario: Scenario, rows: int, progress: Progress) -> list[Borne]:
    """Decode every method at every rate.

    Args:
        scenario: names the pair and its prompts.
        rows: of each point.
        progress: told of rates.

    Raises:
        ConfigError: models or prompts cannot be had.
    """
    models = scenario.models
    loaded, tokenizer = load_pair(models)
    by_key = {baseline.key: baseline for baseline in BASELINES}
    clean: dict[str, F64] = {}
    found = []
    for rate in RATES:
        progress.note(f"noise: {rate:g} irrelevant lines per line")
        noisy = load_rows(scenario.workload.prompts, rows, noise=rate, seed=scenario.seed)
        longest = scenario.workload.max_new_tokens
        decoder = Decoder(loaded, tokenizer, noisy, longest, vocab_size_of(models))
        for key, strength in _METHODS:
            title = _title(by_key[key], strength)
            quality = decoder.quality(by_key[key], strength)
            clean.setdefault(title, quality.rouge_l)
            found.append(
                Borne(
                    title,
                    rate,
                    mean_interval(quality.rouge_l),
                    mean_interval(quality.profile_recall),
                    paired_difference(quality.rouge_l, clean[title]) if rate else None,
                )
            )
    return found


def noise_text(found: list[Borne], rows: int, width: int | None = None) -> str:
    """Return the table, method by method."""
    ordered = sorted(found, key=lambda each: [one.title for one in found].index(each.title))
    columns = [
        Column("method", tuple(each.title for each in ordered), left=True),
        Column("noise", tuple(f"{each.rate:g}" for each in ordered), "lines a line"),
        Column("ROUGE-L", tuple(interval_cell(each.rouge_l) for each in ordered)),
        Column(
            "change",
            tuple(interval_cell(each.lost) if each.lost else "–" for each in ordered),
            "ROUGE-L, paired",
        ),
        Column("profile", tuple(interval_cell(each.profile_recall) for each in ordered), "recall"),
    ]
    note = f"{rows} rows a point, greedy, float32; mean [95 % interval] over rows"
    return f"{text_table(columns, width)}\n{note}"


def _title(baseline: Baseline, strength: float) -> str:
    return f"{baseline.title}, c = {strength:g}" if strength else baseline.title
