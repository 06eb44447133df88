"""Which tokens of a row are sent: ranks under (logit descending, id ascending).

Shapes: V vocabulary, K selected. Rows are finite float32 on the wire's grid.
"""

from __future__ import annotations

import math
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


@dataclass(frozen=True, slots=True)
class Adaptive:
    """As many of the best ranks as the engine asks for; what it learns is in costeer.learning."""

    k_min: int
    k_max: int
    vocab_size: int

    @property
    def name(self) -> str:
        """`adaptive4to4096`."""
        return f"adaptive{self.k_min}to{self.k_max}"

    @property
    def first_k(self) -> int:
        """The fewest that may come: a device must be able to ask for every later round."""
        return min(self.k_min, self.vocab_size)

    def count(self, rounded_V: F32, logsumexp: float) -> int:  # noqa: ARG002 - the seam's signature
        """Without an engine's word, the fewest."""
        return self.first_k


@dataclass(frozen=True, slots=True)
class TopP:
    """The fewest ranks whose probabilities sum to p, at most k_max."""

    p: float
    k_max: int
    vocab_size: int

    @property
    def name(self) -> str:
        """`topp0.95max1024`."""
        return f"topp{_plain(self.p)}max{self.k_max}"

    @property
    def first_k(self) -> int:
        """min(k_max, V − 1): where a row got fewer ranks, there is always MORE to ask for."""
        return min(self.k_max, max(self.vocab_size - 1, 1))

    def count(self, rounded_V: F32, logsumexp: float) -> int:
        """By the probabilities of the best k_max."""
        best_K = rounded_V[ranked_ids(rounded_V, 0, self.first_k)].astype(np.float64)
        mass_K = np.cumsum(np.exp(np.sort(best_K)[::-1] - logsumexp))
        return min(int(np.searchsorted(mass_K, self.p)) + 1, self.first_k)


@dataclass(frozen=True, slots=True)
class Floor:
    """The ranks with p ≥ a·p_max, at most k_max."""

    a: float
    k_max: int
    vocab_size: int

    @property
    def name(self) -> str:
        """`floor0.01max1024`."""
        return f"floor{_plain(self.a)}max{self.k_max}"

    @property
    def first_k(self) -> int:
        """min(k_max, V − 1): where a row got fewer ranks, there is always MORE to ask for."""
        return min(self.k_max, max(self.vocab_size - 1, 1))

    def count(self, rounded_V: F32, logsumexp: float) -> int:  # noqa: ARG002 - the seam's signature
        """Logits of at least the largest + ln a."""
        least = np.float32(float(rounded_V.max()) + math.log(self.a))
        return min(max(int(np.count_nonzero(rounded_V >= least)), 1), self.first_k)


def _plain(number: float) -> str:
    """Without an exponent: its minus sign would cut a codec's name in two."""
    return np.format_float_positional(number, trim="-")


def ranked_ids(rounded_V: F32, first_rank: int, last_rank: int) -> Ids:
    """Ids of ranks [first_rank, last_rank), ascending. 0 ≤ first_rank < last_rank ≤ V."""
    return split_ids(rounded_V, first_rank, last_rank)[1]


def split_ids(rounded_V: F32, first_rank: int, last_rank: int) -> tuple[Ids, Ids]:
    """Ids of ranks [0, first_rank) and of [first_rank, last_rank), each ascending.

    Among equal logits the lowest ids come first. 0 ≤ first_rank < last_rank ≤ V.
    """
    if first_rank == 0 and last_rank == rounded_V.size:
        return np.empty(0, np.int32), np.arange(last_rank, dtype=np.int32)
    from costeer.codec import kernels  # noqa: PLC0415 - numba takes half a second to import

    row_V = np.ascontiguousarray(rounded_V)
    keys_V = np.empty(row_V.size, np.uint64)
    found = kernels.pool_keys(row_V, _guess(row_V, last_rank), keys_V)
    if found < last_rank:  # the sample misled
        found = kernels.pool_keys(row_V, -np.inf, keys_V)
    keys_P = keys_V[:found]
    if first_rank == 0:
        worst = np.partition(keys_P, last_rank - 1)[last_rank - 1]
        return np.empty(0, np.int32), kernels.ids_between(keys_P, np.uint64(0), worst)
    cuts = np.partition(keys_P, (first_rank - 1, first_rank, last_rank - 1))
    sent_K = kernels.ids_between(keys_P, np.uint64(0), cuts[first_rank - 1])
    return sent_K, kernels.ids_between(keys_P, cuts[first_rank], cuts[last_rank - 1])


def _guess(rounded_V: F32, k: int) -> float:
    """A logit that most likely at least k others reach and not many more, from a sample."""
    sample = rounded_V[::_STRIDE]
    rank = 2 * k // _STRIDE + 8
    if rank >= sample.size:
        return -np.inf
    return float(np.partition(sample, sample.size - rank)[sample.size - rank])
