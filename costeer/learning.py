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

Every step of it is integers, logarithms in 2⁻³² nats and probabilities in 2⁻³⁰, so the order of
sums does not matter: ``costeer.starting_k`` does the same as loops, which numba compiles, and a
test holds the two equal. Its tables come of floating point and are rounded to these units.

It runs in the cloud engine, one for all sessions of an arm, since they share models and strength
and so what is needed. It is told MORE counts and nothing else of a device. The device need not know
k: which token is chosen does not depend on it.

Legend: H shapes, K starting values, N bins of the needed number of ranks, B brackets, R rounds of
refinement and the first answer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from costeer.codec.bound import ids_bits
from costeer.errors import LocalProtocolError
from costeer.refinement import Ladder, RefineConfig
from costeer.starting_k import (
    COARSE_BITS,
    FINE_BITS,
    FINE_STEPS,
    FORGET_BITS,
    PROBABILITY_BITS,
    WEIGHT_BITS,
)

F64 = npt.NDArray[np.float64]
I64 = npt.NDArray[np.int64]
SpanBytes = Callable[[int, int], int]

MAX_ROUND_TRIP_BYTES = 1 << 24
"""16 MiB in a round trip are beyond any trade-off: the whole row is smaller."""

_LN_MEDIANS = np.arange(-1.0, 9.01, 0.25)
_SPREADS = np.array([0.4, 0.7, 1.0, 1.4, 1.9, 2.5])
_PRIOR_LN_MEDIAN = 2.0
_PRIOR_SPREAD = 2.0
_HEAVY_SHARE = 0.01
_LEAST_CHANCE = 1e-12
_NATS = 1 << 32
"""What logarithms are in."""
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


def ladders_of(spec: LearnerSpec) -> tuple[Ladder, ...]:
    """Return the ladders that a learner chooses from, by their starting k."""
    starts_K = sqrt2_grid(min(spec.least_k, spec.vocab_size), min(spec.most_k, spec.vocab_size))
    return tuple(Ladder(start, spec.vocab_size, spec.refine) for start in starts_K)


@dataclass(frozen=True, slots=True, eq=False)
class LearnerTables:
    """What a learner knows before it has seen anything, as integers.

    Args:
        ladders: of each starting k.
        prior_H: logarithm of each shape's weight.
        chance_HN: probability of each bin under each shape.
        bracket_KR: which bracket it is that a step of each starting k was decided after so many
            MORE requests; -1 where there is no such round.
        log_BH: logarithm of each bracket's probability under each shape.
        bytes_KN: what each starting k costs if so many ranks are needed.
        rounds_KN: MORE requests that it then takes.
        coarse: e to the minus n-th coarse step of logarithms, as far as it counts.
        fine: likewise of fine steps, those within a coarse one.
    """

    ladders: tuple[Ladder, ...]
    prior_H: I64
    chance_HN: I64
    bracket_KR: I64
    log_BH: I64
    bytes_KN: I64
    rounds_KN: I64
    coarse: I64
    fine: I64

    @classmethod
    def of(cls, spec: LearnerSpec) -> LearnerTables:
        """Return those of a learner."""
        ladders = ladders_of(spec)
        edges_N = np.array(sqrt2_grid(ladders[0].first_k, spec.vocab_size), np.int64)
        costs = [_costs(ladder, spec.span_bytes, edges_N) for ladder in ladders]
        shapes_HN = _shapes(edges_N)
        bracket_KR, log_BH = _brackets(ladders, edges_N, shapes_HN)
        prior_H = -0.5 * ((_ln_medians_H() - _PRIOR_LN_MEDIAN) / _PRIOR_SPREAD) ** 2
        coarse_nats, fine_nats = 2.0**COARSE_BITS / _NATS, 2.0**FINE_BITS / _NATS
        steps = np.arange(round((WEIGHT_BITS + 1) * math.log(2) / coarse_nats) + 1)
        return cls(
            ladders=ladders,
            prior_H=_rounded(prior_H * _NATS),
            chance_HN=_rounded(shapes_HN * 2.0**PROBABILITY_BITS),
            bracket_KR=bracket_KR,
            log_BH=log_BH,
            bytes_KN=np.array([bytes_N for bytes_N, _ in costs], np.int64),
            rounds_KN=np.array([rounds_N for _, rounds_N in costs], np.int64),
            coarse=_rounded(np.exp(-steps * coarse_nats) * 2.0**PROBABILITY_BITS),
            fine=_rounded(np.exp(-np.arange(FINE_STEPS) * fine_nats) * 2.0**PROBABILITY_BITS),
        )


class KLearner:
    """The weights of the shapes, and the starting k that follows from them."""

    __slots__ = ("_log_weight_H", "_start_of", "_tables")

    def __init__(self, spec: LearnerSpec) -> None:
        """Start from the prior."""
        self._tables = LearnerTables.of(spec)
        self._log_weight_H = self._tables.prior_H.copy()
        self._start_of = {ladder.first_k: at for at, ladder in enumerate(self._tables.ladders)}

    def ladder(self, round_trip_bytes: int, free_bytes: int = 0) -> Ladder:
        """Return the ladder of least expected cost on a link.

        Args:
            round_trip_bytes: what the link could carry in a round trip; more than
                ``MAX_ROUND_TRIP_BYTES`` counts as that.
            free_bytes: of a step that cost no time.
        """
        tables = self._tables
        behind_H = self._log_weight_H.max() - self._log_weight_H
        step_H = np.minimum(behind_H >> COARSE_BITS, len(tables.coarse) - 1)
        coarse_H = np.where(behind_H >> COARSE_BITS < len(tables.coarse), tables.coarse[step_H], 0)
        fine_H = tables.fine[(behind_H >> FINE_BITS) % FINE_STEPS]
        weight_H = (coarse_H * fine_H) >> (2 * PROBABILITY_BITS - WEIGHT_BITS)
        chance_N = weight_H @ tables.chance_HN // weight_H.sum()
        price = min(round_trip_bytes, MAX_ROUND_TRIP_BYTES)
        dear_KN = np.maximum(tables.bytes_KN - free_bytes, 0)
        cost_K = (dear_KN + price * tables.rounds_KN) @ chance_N
        return tables.ladders[int(np.argmin(cost_K))]

    def learn(self, decided: Iterable[tuple[Ladder, int]]) -> None:
        """Learn from several steps: the ladder of each, and its MORE requests."""
        for ladder, rounds in decided:
            self.observe(ladder, rounds)

    def observe(self, ladder: Ladder, rounds: int) -> None:
        """Learn from a step of this ladder that was decided after ``rounds`` MORE requests.

        Raises:
            LocalProtocolError: a ladder that it never chose, or a round that this has not.
        """
        start = self._start_of.get(ladder.first_k)
        if start is None:
            raise LocalProtocolError(f"learner: it never chose {ladder}")
        brackets_R = self._tables.bracket_KR[start]
        bracket = brackets_R[rounds] if rounds < len(brackets_R) else -1
        if bracket < 0:
            raise LocalProtocolError(f"learner: {ladder} has no round {rounds}")
        self._log_weight_H -= self._log_weight_H >> FORGET_BITS
        self._log_weight_H += self._tables.log_BH[bracket]


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


def _brackets(
    ladders: Iterable[Ladder], edges_N: npt.NDArray[np.int64], shapes_HN: F64
) -> tuple[I64, I64]:
    """Which bracket each ladder's rounds are, and the logarithm of each bracket's probability."""
    bins: dict[tuple[int, int], int] = {}
    rows = []
    for ladder in ladders:
        row = [-1] * (ladder.config.max_rounds + 1)
        for rounds in range(len(row)):
            if rounds and not ladder.has(rounds):
                break
            failed, reached = ladder.ranks(rounds)
            first = int(np.searchsorted(edges_N, failed, side="right")) if failed else 0
            last = max(int(np.searchsorted(edges_N, reached, side="left")), first)
            row[rounds] = bins.setdefault((first, last), len(bins))
        rows.append(row)
    log_BH = [
        np.log(shapes_HN[:, first : last + 1].sum(axis=1) + _LEAST_CHANCE) for first, last in bins
    ]
    return np.array(rows, np.int64), _rounded(np.array(log_BH) * _NATS)


def _rounded(values: F64) -> I64:
    return np.rint(values).astype(np.int64)


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
