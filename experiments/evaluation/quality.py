"""Text metrics of a generated text against its row: ROUGE-L and fact recall.

ROUGE-L is the F1 of the `rouge_score` package without stemming.  A fact counts as found when its
words stand in the text in one piece, whatever the case, not as part of longer words.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from experiments.evaluation.words import rouge


@dataclass(frozen=True, slots=True)
class Quality:
    """Metrics per row, each of shape (rows,), in [0, 1]."""

    rouge_l: NDArray[np.float64]
    profile_recall: NDArray[np.float64]
    fact_recall: NDArray[np.float64]


def rouge_l(texts: Sequence[str], references: Sequence[str]) -> NDArray[np.float64]:
    """ROUGE-L F1 of each text against its reference, shape (rows,)."""
    return rouge("rougeL", texts, references)


def recall(text: str, facts: Sequence[str]) -> float:
    """Share of ``facts`` found in ``text``; 1 where there are none."""
    if not facts:
        return 1.0
    return sum(contains(text, fact) for fact in facts) / len(facts)


def contains(text: str, fact: str) -> bool:
    """Whether ``fact`` stands in ``text``: any case, on word boundaries, any run of spaces."""
    words = r"\s+".join(map(re.escape, fact.split()))
    return re.search(rf"(?<!\w){words}(?!\w)", text, re.IGNORECASE) is not None


def quality(
    texts: Sequence[str],
    references: Sequence[str],
    profile_facts: Sequence[Sequence[str]],
    thing_facts: Sequence[Sequence[str]],
) -> Quality:
    """All metrics of ``texts``, row by row."""
    return Quality(
        rouge_l=rouge_l(texts, references),
        profile_recall=np.array(list(map(recall, texts, profile_facts)), dtype=np.float64),
        fact_recall=np.array(list(map(recall, texts, thing_facts)), dtype=np.float64),
    )
