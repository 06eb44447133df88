"""Texts of the same prompt under different methods, picked by a rule and not by taste."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

STEERING = (
    ("without steering (llm_without)", "llm_without"),
    ("with steering (costeer)", "costeer"),
)
"""The two columns of a sample on a terminal: title and method."""


MARKED = "samples.json"
"""File of a run's directory: a few steered texts, token by token."""


@dataclass(frozen=True, slots=True)
class MarkedToken:
    """One token of a text that was looked at while it was written.

    Args:
        text: what it adds to the text.
        steered: whether another one would have been chosen without Δ; None where nobody looked.
        before: the likeliest tokens and their probabilities before steering.
        after: the same after it.
    """

    text: str
    steered: bool | None = None
    before: tuple[tuple[str, float], ...] = ()
    after: tuple[tuple[str, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Sample:
    """One prompt and what each method wrote.

    Args:
        prompt_id: id of the prompt's row.
        input: the public query.
        reference: the reference text; empty where there is none.
        texts: (title, text) in the order shown.
        marks: title -> the text's tokens, for those that were looked at.
    """

    prompt_id: str
    input: str
    reference: str
    texts: tuple[tuple[str, str], ...]
    marks: Mapping[str, tuple[MarkedToken, ...]] = field(default_factory=dict)


def pick_samples(
    requests: pd.DataFrame,
    count: int = 2,
    methods: Sequence[tuple[str, str]] = STEERING,
    marked: Mapping[tuple[str, str], tuple[MarkedToken, ...]] | None = None,
) -> list[Sample]:
    """Return the first prompts, by id, that every one of the methods finished.

    Fewer, or none, where there are not so many or no texts were kept.

    Args:
        requests: the run's requests, with columns ``text`` and, where known, ``prompt`` and
            ``reference``.
        count: how many at most.
        methods: (title, method) of each text; a method that the run lacks is left out.
        marked: (method, prompt id) -> tokens, of ``marked_texts``.
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
        marks = {
            title: tokens
            for title, name in known
            if (tokens := (marked or {}).get((name, str(prompt_id))))
        }
        prompt, reference = _text(row, "prompt"), _text(row, "reference")
        samples.append(Sample(str(prompt_id), prompt, reference, texts, marks))
    return samples


def marked_texts(run_dir: Path) -> dict[tuple[str, str], tuple[MarkedToken, ...]]:
    """Return a run's marked texts by method and prompt id; empty where it has none.

    Of several arms of a method, the first one's.
    """
    path = run_dir / MARKED
    if not path.exists():
        return {}
    found: dict[tuple[str, str], tuple[MarkedToken, ...]] = {}
    for text in json.loads(path.read_text(encoding="utf-8")):
        tokens = tuple(_token(each) for each in text["tokens"])
        found.setdefault((text["method"], text["prompt_id"]), tokens)
    return found


def _token(given: Mapping[str, Any]) -> MarkedToken:
    before, after = (
        tuple((str(text), float(share)) for text, share in given.get(side, ()))
        for side in ("before", "after")
    )
    return MarkedToken(str(given["text"]), given.get("steered"), before, after)


def _text(row: pd.Series, column: str) -> str:
    value = row.get(column)
    return value if isinstance(value, str) else ""
