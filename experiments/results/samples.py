"""Texts of the same prompt under different methods, picked by a rule and not by taste."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

STEERING = (
    ("without steering (llm_without)", "llm_without"),
    ("with steering (costeer)", "costeer"),
)
"""The two columns of a sample on a terminal: title and method."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and what each method wrote.

    Args:
        prompt_id: id of the prompt's row.
        input: the public query.
        reference: the reference text; empty where there is none.
        texts: (title, text) in the order shown.
    """

    prompt_id: str
    input: str
    reference: str
    texts: tuple[tuple[str, str], ...]


def pick_samples(
    requests: pd.DataFrame,
    count: int = 2,
    methods: Sequence[tuple[str, str]] = STEERING,
) -> list[Sample]:
    """Return the first prompts, by id, that every one of the methods finished.

    Fewer, or none, where there are not so many or no texts were kept.

    Args:
        requests: the run's requests, with columns ``text`` and, where known, ``prompt`` and
            ``reference``.
        count: how many at most.
        methods: (title, method) of each text; a method that the run lacks is left out.
    """
    if "text" not in requests.columns or "method" not in requests.columns:
        return []
    kept = requests[requests["text"].notna() & ~requests["failed"] & ~requests["censored"]]
    known = [(title, name) for title, name in methods if (kept["method"] == name).any()]
    if not known:
        return []
    first = kept.drop_duplicates(["method", "prompt_id"]).set_index(["method", "prompt_id"])
    shared = set.intersection(*(set(first.loc[name].index) for _, name in known))
    samples = []
    for prompt_id in sorted(shared)[:count]:
        texts = tuple((title, first.loc[(name, prompt_id), "text"]) for title, name in known)
        row = first.loc[(known[0][1], prompt_id)]
        samples.append(Sample(str(prompt_id), _text(row, "prompt"), _text(row, "reference"), texts))
    return samples


def _text(row: pd.Series, column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""
