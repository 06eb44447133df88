"""Which of a user's earlier texts go in front of a query: BM25, then a reranker where given."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_WORD = re.compile(r"\w+")
_POOL = 4
"""A reranker sees so many times the records that are kept."""

Rank = Callable[[str, Sequence[str]], Sequence[float]]
"""(query, documents) -> how well each document fits; the larger the better."""


@dataclass(frozen=True, slots=True)
class Bm25:
    """Okapi BM25 over one user's documents (Robertson & Zaragoza 2009, eq. 3.15).

    Args:
        k1: how fast repeated words saturate.
        b: how much long documents are held back, 0 to 1.
    """

    k1: float = 1.5
    b: float = 0.75

    def scores(self, query: str, documents: Sequence[str]) -> list[float]:
        """Return a score per document; 0 where it has no word of the query."""
        counts = [Counter(words(document)) for document in documents]
        lengths = [sum(count.values()) for count in counts]
        mean = sum(lengths) / len(lengths) if lengths else 1.0
        having = Counter(word for count in counts for word in count)
        scores = []
        for count, length in zip(counts, lengths, strict=True):
            score = 0.0
            for word in words(query):
                if count[word]:
                    rarity = math.log1p((len(counts) - having[word] + 0.5) / (having[word] + 0.5))
                    held_back = self.k1 * (1 - self.b + self.b * length / mean)
                    score += rarity * count[word] * (self.k1 + 1) / (count[word] + held_back)
            scores.append(score)
        return scores


def words(text: str) -> list[str]:
    """Return a text's words, in lower case."""
    return _WORD.findall(text.lower())


def retrieve(
    query: str, documents: Sequence[str], count: int, rerank: Rank | None = None
) -> list[int]:
    """Return the indices of the documents that fit a query best, the best first.

    Args:
        query: what is asked.
        documents: what the user wrote before; of equal scores the earlier comes first.
        count: how many to return, at most.
        rerank: scores the best of BM25 (four times as many as are kept) again.
    """
    best = _ordered(range(len(documents)), Bm25().scores(query, documents))
    if rerank is None:
        return best[:count]
    pool = sorted(best[: _POOL * count])
    scores = rerank(query, [documents[index] for index in pool])
    return _ordered(pool, scores)[:count]


def _ordered(indices: Sequence[int], scores: Sequence[float]) -> list[int]:
    ranked = sorted(zip(scores, indices, strict=True), key=lambda each: (-each[0], each[1]))
    return [index for _, index in ranked]
