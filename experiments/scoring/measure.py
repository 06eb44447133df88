"""From a run directory to scores: one row per arm and request, one column per metric.

Rules
-----
* Requests that failed or were censored have no scores.
* A prompt that several devices asked counts once per arm: greedy texts of one prompt are one text,
  and intervals over copies would be too narrow.
* Arms are compared prompt by prompt.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from costeer.errors import ConfigError
from costeer.methods import Method, method_named
from experiments.evaluation.bootstrap import (
    Interval,
    mean_interval,
    paired_difference,
    sign_flip_p,
)
from experiments.evaluation.words import Synonyms, distinct, meteor, rouge
from experiments.results.frames import ID
from experiments.results.run import Run
from experiments.scenario import Scenario
from experiments.scoring.judge import (
    OVERALL,
    PERSONAL,
    Judge,
    Question,
    points_of,
    swayed_by_place,
)
from experiments.scoring.metrics import (
    ALONE,
    FACTS,
    RATINGS,
    READ,
    REFERENCED,
    REWARD,
    WINS,
    Metric,
)

Reward = Callable[[list[str], list[str]], np.ndarray]
"""(prompts, answers) -> rewards."""


@dataclass(frozen=True, slots=True)
class Scorers:
    """What texts are scored by, beyond their words.

    Args:
        synonyms: METEOR's.
        read: let the pair's own models read the texts.
        reward: a reward model.
        judge: a language model as the judge.
        against: number of the arm that a judge compares the others with; none if None.
    """

    synonyms: Synonyms
    read: bool = False
    reward: Reward | None = None
    judge: Judge | None = None
    against: int | None = None


@dataclass(frozen=True, slots=True)
class Scores:
    """The scores of a run.

    Args:
        frame: columns of ``ID``, `prompt_id`, and one per metric.
        metrics: those that have values.
        notes: what has to be known to read them.
    """

    frame: pd.DataFrame
    metrics: tuple[Metric, ...]
    notes: tuple[str, ...]

    def per_prompt(self, arm: int, metric: Metric) -> pd.Series:
        """Return one value per prompt, by its id; prompts without one are left out."""
        mine = self.frame[self.frame["arm"] == arm]
        return mine.groupby("prompt_id")[metric.key].mean().dropna()

    def interval(self, arm: int, metric: Metric, seed: int = 0) -> Interval | None:
        """Return an arm's mean over prompts; None where it has no value."""
        values = self.per_prompt(arm, metric).to_numpy(dtype=np.float64)
        return mean_interval(values, seed) if len(values) else None

    def difference(
        self, arm: int, baseline: int, metric: Metric, seed: int = 0
    ) -> tuple[Interval, float] | None:
        """Return an arm's paired difference to another, with its p-value; None without pairs."""
        ours, theirs = (self.per_prompt(each, metric) for each in (arm, baseline))
        shared = ours.index.intersection(theirs.index)
        if not len(shared):
            return None
        mine, other = (side.loc[shared].to_numpy(dtype=np.float64) for side in (ours, theirs))
        return paired_difference(mine, other, seed), sign_flip_p(mine - other, seed)


def score(run: Run, scorers: Scorers, tell: Callable[[str], None]) -> Scores:
    """Score a run's texts.

    Args:
        run: as it was read back.
        scorers: what they are scored by.
        tell: is told what is being done, where that takes long.

    Raises:
        ConfigError: the run has no texts, or a scorer cannot work with it.
    """
    whole = run.requests
    if "text" not in whole.columns:
        raise ConfigError(
            f"{run.path}: its requests have no texts, so there is nothing to score; run a scenario"
            " with `values: models`"
        )
    done = whole[whole["text"].notna() & ~whole["failed"] & ~whole["censored"]]
    frame = done.sort_values(ID).reset_index(drop=True)
    if not len(frame):
        raise ConfigError(f"{run.path}: no request came to its end; run it again")
    texts = frame["text"].astype(str).tolist()
    notes: list[str] = []
    _words(frame, texts, scorers.synonyms)
    if scorers.read:
        _read_back(frame, run, tell)
        notes.append(
            "perplexity: of the text, under the large model with the whole context. KL, agree: of"
            " each method from full CoSteer, along CoSteer's texts."
        )
    if scorers.reward is not None:
        tell("reward model")
        frame[REWARD.key] = scorers.reward(frame["personal_prompt"].tolist(), texts)
    if scorers.judge is not None:
        notes += _judged(frame, scorers.judge, scorers.against, tell)
    everything = (*REFERENCED, *FACTS, *ALONE, *READ, REWARD, *RATINGS, WINS)
    found = tuple(
        metric
        for metric in everything
        if metric.key in frame.columns and frame[metric.key].notna().any()
    )
    return Scores(frame[[*ID, "prompt_id", *(each.key for each in found)]], found, tuple(notes))


def _words(frame: pd.DataFrame, texts: list[str], synonyms: Synonyms) -> None:
    references = frame["reference"].fillna("").astype(str).tolist()
    some = np.array([bool(reference) for reference in references])
    for metric, values in (
        ("rouge_1", rouge("rouge1", texts, references)),
        ("rouge_l", rouge("rougeL", texts, references)),
        ("meteor", meteor(texts, references, synonyms)),
    ):
        frame[metric] = np.where(some, values, np.nan)
    frame["distinct_1"] = distinct(texts, 1)
    frame["distinct_2"] = distinct(texts, 2)
    frame["length"] = [float(len(tokens)) for tokens in frame["tokens"]]


def _read_back(frame: pd.DataFrame, run: Run, tell: Callable[[str], None]) -> None:
    from actors.models.chat import prompt_encoder  # noqa: PLC0415 - transformers takes seconds
    from experiments.pair_limits import vocab_size_of  # noqa: PLC0415
    from experiments.scoring.likelihood import PairReader, text_of  # noqa: PLC0415

    scenario = Scenario.model_validate(run.scenario)
    models = scenario.models
    tell("reading the texts with both models")
    reader = PairReader(
        models.hosted_cloud("reading texts back"), models.edge, vocab_size_of(models)
    )
    encode = prompt_encoder(models.tokenizer_location, models.chat.build() if models.chat else None)
    arms = arms_of(scenario)
    steered = {arm: c for arm, (method, c) in arms.items() if method.steered}
    reference = max(steered, key=lambda arm: steered[arm]) if steered else None
    distances: dict[tuple[int, int, int], tuple[float, float]] = {}
    nats = []
    for row in frame.itertuples():
        text = text_of(encode(row.prompt), encode(row.personal_prompt), row.tokens)
        nats.append(reader.nats_per_token(text))
        if reference is not None and row.arm == reference:
            found = reader.distances(text, steered[reference], arms)
            for arm, each in found.items():
                distances[arm, row.device, row.request] = (each.kl_nats, each.agreement)
    frame["nats_per_token"] = nats
    keys = zip(frame["arm"], frame["device"], frame["request"], strict=True)
    pairs = [distances.get(key, (np.nan, np.nan)) for key in keys]
    frame["kl_nats"] = [kl for kl, _ in pairs]
    frame["agreement"] = [agreement for _, agreement in pairs]


def arms_of(scenario: Scenario) -> dict[int, tuple[Method, float]]:
    """Return each arm's method and its c, by number."""
    return {
        index: (method_named(arm.method), arm.strength.c if arm.strength else 0.0)
        for index, arm in enumerate(scenario.arms)
    }


def _judged(
    frame: pd.DataFrame, judge: Judge, against: int | None, tell: Callable[[str], None]
) -> list[str]:
    asked = [
        Question(row.personal_prompt.removesuffix(row.prompt).strip(), row.prompt, row.text)
        for row in frame.itertuples()
    ]
    notes = [f"judge: {judge.model}, temperature 0"]
    for metric, rubric in zip(RATINGS, (OVERALL, PERSONAL), strict=True):
        tell(f"judge {judge.model}: {rubric}")
        given = [judge.rate(rubric, each).value for each in asked]
        frame[metric.key] = [np.nan if value is None else value for value in given]
        unread = sum(value is None for value in given)
        if unread:
            notes.append(f"{unread} {rubric} verdicts of {len(given)} could not be read")
    if against is None:
        return notes
    tell(f"judge {judge.model}: comparisons, each in both orders")
    theirs = {
        (row.device, row.request): row.text for row in frame[frame["arm"] == against].itertuples()
    }
    points: list[float] = []
    swayed = compared = 0
    for row, question in zip(frame.itertuples(), asked, strict=True):
        other = theirs.get((row.device, row.request))
        if row.arm == against or other is None:
            points.append(np.nan)
            continue
        first, second = judge.prefer(question, other)
        value = points_of(first, second)
        compared += 1
        swayed += swayed_by_place(first, second)
        points.append(np.nan if value is None else value)
    frame[WINS.key] = points
    notes.append(
        f"wins: share of comparisons won against the baseline, each asked in both orders; the order"
        f" changed {swayed} of {compared}"
    )
    return notes


def write_scores(scores: Scores, folder: Path) -> Path:
    """Write the scores beside a run's tables; return the file."""
    path = folder / "scores.parquet"
    scores.frame.to_parquet(path, index=False)
    return path
