"""Which tokens of a row are sent: ranks under (logit descending, id ascending).

Shapes: V vocabulary, K selected. Rows are finite float32 on the wire's grid.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

F32: TypeAlias = npt.NDArray[np.float32]
Ids: TypeAlias = npt.NDArray[np.int32]

_STRIDE = 16  # a sample this sparse finds a threshold ~3 times faster than partitioning the row


class Select(Protocol):
    """How many ranks the first payload of a position holds."""

    @property
    def name(self) -> str:
        """Short stable id for tables."""

    @property
    def first_k(self) -> int:
        """Ranks of the first payload; for rules that look at the row, the largest number."""

    def count(self, rounded_V: F32, logsumexp: float) -> int:
        """Ranks of the first payload for this row, 1 … V."""


@dataclass(frozen=True, slots=True)
class Dense:
    """The whole row."""

    vocab_size: int

    @property
    def name(self) -> str:
        """`dense`."""
        return "dense"

    @property
    def first_k(self) -> int:
        """V."""
        return self.vocab_size

    def count(self, rounded_V: F32, logsumexp: float) -> int:  # noqa: ARG002 - the seam's signature
        """V."""
        return self.vocab_size


@dataclass(frozen=True, slots=True)
class TopK:
    """The k best ranks (all of a smaller vocabulary)."""

    k: int
    vocab_size: int

    @property
    def name(self) -> str:
        """`top64`."""
        return f"top{self.k}"

    @property
    def first_k(self) -> int:
        """min(k, V)."""
        return min(self.k, self.vocab_size)

    def count(self, rounded_V: F32, logsumexp: float) -> int:  # noqa: ARG002 - the seam's signature
        """The same for every row."""
        return self.first_k


def top_ids(rounded_V: F32, k: int) -> Ids:
    """Ids of the first k ranks, ascending; among equal logits the lowest ids. 1 ≤ k ≤ V."""
    vocab_size = rounded_V.size
    if k >= vocab_size:
        return np.arange(vocab_size, dtype=np.int32)
    pool = _pool(rounded_V, k)
    logits_P = rounded_V if pool is None else rounded_V[pool]
    floor = np.partition(logits_P, logits_P.size - k)[logits_P.size - k]
    kept = np.flatnonzero(logits_P >= floor)
    surplus = kept.size - k
    if surplus:
        tied = np.flatnonzero(logits_P[kept] == floor)
        kept = np.delete(kept, tied[tied.size - surplus :])
    return (kept if pool is None else pool[kept]).astype(np.int32)


def _pool(rounded_V: F32, k: int) -> npt.NDArray[np.intp] | None:
    """Ascending ids that surely hold the first k ranks, guessed from a sample; None if it fails."""
    sample = rounded_V[::_STRIDE]
    rank = 2 * k // _STRIDE + 8
    if rank >= sample.size:
        return None
    guess = np.partition(sample, sample.size - rank)[sample.size - rank]
    pool = np.flatnonzero(rounded_V >= guess)
    return pool if pool.size >= k else None


def ranked_ids(rounded_V: F32, first_rank: int, last_rank: int) -> Ids:
    """Ids of ranks [first_rank, last_rank), ascending. 0 ≤ first_rank < last_rank ≤ V."""
    ids = top_ids(rounded_V, last_rank)
    if first_rank == 0:
        return ids
    # Ids ascend, so a stable sort by descending logit is the order of ranks.
    order = np.argsort(-rounded_V[ids], kind="stable")
    return np.sort(ids[order[first_rank:]])
