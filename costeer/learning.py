"""A starting k that learns: how many ranks the first frame of a step had best hold.

Theory
------
What a step costs on a link is bytes/rate + extra rounds · RTT; times the rate, that is
bytes + rounds · (rate · RTT), so one number says all about a link: the bytes that it could carry in
a round trip. Few ranks first are cheap and often not enough, many are dear and seldom needed.

How many ranks a step needs nobody knows beforehand. Afterwards the number of MORE requests brackets
it: more than what the last failed round had reached, at most what the successful one reached. Below
a starting k that is always enough nothing is seen, so a histogram would never come down again. The
learner therefore weighs a family of shapes: the needed number is lognormal with one of 41 medians
(some seven ranks, give or take a factor of seven, if nothing is known) and one of 6 spreads, a
hundredth of it P(n > k) ∝ 1/k whatever the shape (steps that no lognormal foresees). Each bracket
multiplies a shape's weight by the probability that the shape gave it, older ones count for less,
and the next k is the one of least expected cost, refinement included, under the weighted mean of
the shapes. A row of successes moves weight to smaller medians, and k with it; how fast depends on
what a failure would cost.

It runs in the cloud engine, one for all sessions of an arm, since they share models and strength
and so what is needed. It is told MORE counts and nothing else of a device. The device need not know
k: which token is chosen does not depend on it.

Legend: H shapes, K starting values, N bins of the needed number of ranks.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from costeer.codec.bound import ids_bits
from costeer.refinement import Ladder, RefineConfig

F64 = npt.NDArray[np.float64]
SpanBytes = Callable[[int, int], int]

MAX_ROUND_TRIP_BYTES = 1 << 24
"""16 MiB in a round trip are beyond any trade-off: the whole row is smaller."""

_LN_MEDIANS = np.arange(-1.0, 9.01, 0.25)
_SPREADS = np.array([0.4, 0.7, 1.0, 1.4, 1.9, 2.5])
_PRIOR_LN_MEDIAN = 2.0
_PRIOR_SPREAD = 2.0
_HEAVY_SHARE = 0.01
_FORGET = 1 / 1024
"""Each observation takes this share of what is known: a memory of some thousand tokens."""
_LEAST_CHANCE = 1e-12
_AROUND_BYTES = 20
_WORD_BYTES = {"fp32": 4, "fp16": 2, "bf16": 2, "int8": 1, "step": 2}
_PACKED_VALUE_BITS = {"fp32": 26, "fp16": 13, "bf16": 7, "int8": 5, "step": 7}


def sqrt2_grid(first: int, last: int) -> tuple[int, ...]:
    """Return first, √2·first, 2·first, … rounded, the largest being ``last``."""
    steps = range(2 * max(last.bit_length(), 1))
    inner = {round(first * 2 ** (step / 2)) for step in steps}
    return (*sorted(k for k in inner if k < last), last)


@dataclass(frozen=True, slots=True)
class LearnerSpec:
    """What a learner works on.

    Args:
        refine: growth and cap of the refinement.
        vocab_size: V.
        least_k: the smallest starting k.
        most_k: the largest.
        span_bytes: bytes of a frame with ranks [first, last), about.
    """

    refine: RefineConfig
    vocab_size: int
    least_k: int
    most_k: int
    span_bytes: SpanBytes


class KLearner:
    """The weights of the shapes, and the starting k that follows from them."""

    __slots__ = ("_bytes_KN", "_chance_HN", "_edges_N", "_ladders", "_log_weight_H", "_rounds_KN")

    def __init__(self, spec: LearnerSpec) -> None:
        """Start from the prior."""
        starts_K = sqrt2_grid(min(spec.least_k, spec.vocab_size), min(spec.most_k, spec.vocab_size))
        self._ladders = tuple(Ladder(start, spec.vocab_size, spec.refine) for start in starts_K)
        self._edges_N = np.array(sqrt2_grid(starts_K[0], spec.vocab_size), np.int64)
        costs = [_costs(ladder, spec.span_bytes, self._edges_N) for ladder in self._ladders]
        self._bytes_KN = np.array([bytes_N for bytes_N, _ in costs], np.float64)
        self._rounds_KN = np.array([rounds_N for _, rounds_N in costs], np.float64)
        self._chance_HN = _shapes(self._edges_N)
        self._log_weight_H = -0.5 * ((_ln_medians_H() - _PRIOR_LN_MEDIAN) / _PRIOR_SPREAD) ** 2

    def ladder(self, round_trip_bytes: int, free_bytes: int = 0) -> Ladder:
        """Return the ladder of least expected cost on a link.

        Args:
            round_trip_bytes: what the link could carry in a round trip; more than
                ``MAX_ROUND_TRIP_BYTES`` counts as that.
            free_bytes: of a step that cost no time.
        """
        weight_H = np.exp(self._log_weight_H - self._log_weight_H.max())
        chance_N = weight_H @ self._chance_HN
        price = min(round_trip_bytes, MAX_ROUND_TRIP_BYTES)
        dear_KN = np.maximum(self._bytes_KN - free_bytes, 0.0)
        cost_K = (dear_KN + price * self._rounds_KN) @ chance_N
        return self._ladders[int(np.argmin(cost_K))]

    def learn(self, decided: Iterable[tuple[Ladder, int]]) -> None:
        """Learn from several steps: the ladder of each, and its MORE requests."""
        for ladder, rounds in decided:
            self.observe(ladder, rounds)

    def observe(self, ladder: Ladder, rounds: int) -> None:
        """Learn from a step of this ladder that was decided after ``rounds`` MORE requests."""
        failed, reached = ladder.ranks(rounds) if rounds else (0, ladder.first_k)
        first = int(np.searchsorted(self._edges_N, failed, side="right")) if failed else 0
        last = max(int(np.searchsorted(self._edges_N, reached, side="left")), first)
        bracket_H = self._chance_HN[:, first : last + 1].sum(axis=1)
        self._log_weight_H *= 1.0 - _FORGET
        self._log_weight_H += np.log(bracket_H + _LEAST_CHANCE)


def packed_bytes(vocab_size: int, values: str) -> SpanBytes:
    """Return how large a packed frame of ranks [first, last) is, about.

    The ids at their information, log2 C(V − first, last − first), which Rice codes reach within
    2 %, the monotone codes of the values at the bits that generated rows took, and 20 bytes around
    them; never more than the dense row.

    Args:
        vocab_size: V.
        values: number format of the codec, ``step`` for any step.
    """
    dense_bytes = vocab_size * _WORD_BYTES[values] + _AROUND_BYTES

    def span_bytes(first: int, last: int) -> int:
        sent = last - first
        bits = 1.02 * ids_bits(vocab_size - first, sent) + _PACKED_VALUE_BITS[values] * sent
        return min(round(bits / 8) + _AROUND_BYTES, dense_bytes)

    return span_bytes


def naive_bytes(vocab_size: int, values: str) -> SpanBytes:
    """Return how large a frame of 4-byte ids and whole values is; arguments as above."""
    word_bytes = _WORD_BYTES[values]

    def span_bytes(first: int, last: int) -> int:
        sparse_bytes = (last - first) * (4 + word_bytes)
        return min(sparse_bytes, vocab_size * word_bytes) + _AROUND_BYTES

    return span_bytes


def _ln_medians_H() -> F64:
    return np.repeat(_LN_MEDIANS, len(_SPREADS))


def _shapes(edges_N: npt.NDArray[np.int64]) -> F64:
    """Probability of each bin under each shape; bin j holds needs in (edge j−1, edge j]."""
    spread_H = np.tile(_SPREADS, len(_LN_MEDIANS))
    z_HN = (np.log(edges_N)[None, :] - _ln_medians_H()[:, None]) / spread_H[:, None]
    below_HN = 0.5 * (1.0 + np.vectorize(math.erf)(z_HN / math.sqrt(2)))
    below_HN[:, -1] = 1.0
    lognormal_HN = np.diff(below_HN, axis=1, prepend=0.0)
    above_N = 1.0 / np.concatenate(([edges_N[0] / 2], edges_N[:-1]))
    heavy_N = -np.diff(above_N, append=0.0)
    mixed_HN: F64 = (1 - _HEAVY_SHARE) * lognormal_HN + _HEAVY_SHARE * heavy_N / heavy_N.sum()
    return mixed_HN


def _costs(
    ladder: Ladder, span_bytes: SpanBytes, edges_N: npt.NDArray[np.int64]
) -> tuple[list[int], list[int]]:
    """Bytes and extra rounds of a ladder for each needed number of ranks."""
    reached, rounds = ladder.first_k, 0
    sent_bytes = span_bytes(0, reached)
    bytes_N, rounds_N = [], []
    for needed in edges_N.tolist():
        while reached < needed and ladder.has(rounds + 1):
            rounds += 1
            first, reached = ladder.ranks(rounds)
            sent_bytes += span_bytes(first, reached)
        bytes_N.append(sent_bytes)
        rounds_N.append(rounds)
    return bytes_N, rounds_N
