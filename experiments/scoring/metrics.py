"""The metrics of a run's texts: what each is called and which way is better."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Metric:
    """One metric.

    Args:
        key: column of the scores.
        title: its name in tables.
        unit: under the name; may be empty.
        better: +1 if more is better, −1 if less is, 0 if neither.
        exponential: values are logarithms, and means are shown as their exponential.
    """

    key: str
    title: str
    unit: str = ""
    better: int = 1
    exponential: bool = False


REFERENCED = (
    Metric("rouge_1", "ROUGE-1"),
    Metric("rouge_l", "ROUGE-L"),
    Metric("meteor", "METEOR"),
)
"""Against the row's reference."""

FACTS = (Metric("profile_recall", "profile", "recall"), Metric("fact_recall", "fact", "recall"))
"""Against the row's facts."""

ALONE = (
    Metric("distinct_1", "distinct-1", better=0),
    Metric("distinct_2", "distinct-2", better=0),
    Metric("length", "length", "tokens", better=0),
)
"""Of the text alone."""

READ = (
    Metric("nats_per_token", "perplexity", "LLM w/", better=-1, exponential=True),
    Metric("kl_nats", "KL", "nats", better=-1),
    Metric("agreement", "agree", "same token"),
)
"""By the pair's own models."""

REWARD = Metric("reward", "reward")
RATINGS = (
    Metric("judge_overall", "overall", "judge"),
    Metric("judge_personal", "personal", "judge"),
)
WINS = Metric("judge_wins", "wins", "judge")
