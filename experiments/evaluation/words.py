"""Metrics of a text's words, alone or against a reference.

ROUGE is the F1 of the `rouge-score` package without stemming. METEOR (Lavie & Agarwal 2007) is
NLTK's, with its parameters (α 0.9, β 3, γ 0.5), over words and punctuation signs; without WordNet
it matches words and stems, and figures are then lower than published ones. Distinct-n (Li et al.
2016) is the share of a text's n-grams that differ.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from experiments.evaluation.wordnet import Synset

F64 = npt.NDArray[np.float64]

_TOKEN = re.compile(r"\w+|[^\w\s]")


class Synonyms(Protocol):
    """Where METEOR looks for words of the same meaning."""

    def synsets(self, word: str, /) -> Sequence[Synset]:
        """Return every meaning of a word."""
        ...


def tokens(text: str) -> list[str]:
    """Return a text's words and punctuation signs."""
    return _TOKEN.findall(text)


def rouge(kind: str, texts: Sequence[str], references: Sequence[str]) -> F64:
    """ROUGE F1 (`rouge1`, `rougeL`) of each text against its reference, shape (rows,)."""
    from rouge_score.rouge_scorer import RougeScorer  # noqa: PLC0415 - of the extra `eval`

    scorer = RougeScorer([kind])
    return np.array(
        [
            scorer.score(reference, text)[kind].fmeasure
            for text, reference in zip(texts, references, strict=True)
        ],
        dtype=np.float64,
    )


def meteor(texts: Sequence[str], references: Sequence[str], synonyms: Synonyms) -> F64:
    """METEOR of each text against its reference, shape (rows,)."""
    from nltk.translate.meteor_score import single_meteor_score  # noqa: PLC0415 - extra `eval`

    return np.array(
        [
            single_meteor_score(tokens(reference), tokens(text), wordnet=synonyms)
            for text, reference in zip(texts, references, strict=True)
        ],
        dtype=np.float64,
    )


def distinct(texts: Sequence[str], n: int) -> F64:
    """Share of each text's n-grams that differ, shape (rows,); NaN for texts that have none."""
    return np.array([_distinct(tokens(text.lower()), n) for text in texts], dtype=np.float64)


def _distinct(words: Sequence[str], n: int) -> float:
    grams = list(zip(*(words[start:] for start in range(n)), strict=False))
    return len(set(grams)) / len(grams) if grams else float("nan")
