"""Values made up from a seed: rows of logits and Δ at any vocabulary, really encoded.

Theory
------
No model of this laboratory has 151,936 logits, and the cost of a codec depends on the shape of a
row alone. A row has the shape of a large model's: over the ids in an order of their own,
``max − g ln rank`` plus a little noise, g lognormal(ln 2.1, 0.45) clipped to 1.1–6, max uniform in
18–30, rounded to the bf16 grid; from rank 1,000 on the slope is 1.1, the long tail that brings the
mean entropy to some 2 nats. Δ is normal with some plausible tokens (within the row's first
ranks) raised, as a private context does. Everything is a pure function of (seed, session,
position): whether a row is made early, again, or by another process makes no difference.

A row of 151,936 is made without a logarithm or a sort: the ids' order is one fixed permutation,
entered at a place of the position's own, and a normal variate is a table look-up by 16 random
bits, refined in the tails so that they reach as far as they should.

Which tokens a text consists of has no meaning here, nor has how long it is: sessions of generated
values should have no end token.

Legend: V vocabulary, K a few ids.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt

from costeer.errors import ConfigError
from netsim.maths import normal_quantile, normal_quantile_array
from netsim.random import (
    Stream,
    hash_u64,
    open_uniform_at,
    stream_key,
    u64,
    u64_at,
    uniform_at,
)

F32 = npt.NDArray[np.float32]
F64 = npt.NDArray[np.float64]
Quantiles = Callable[[F64], F64]

_LEAST_SLOPE = 1.1
_MOST_SLOPE = 6.0
_TAIL_FROM_RANK = 1_000
_LANES = 1 << 16
_TAIL_LANES = 64
_DRAWS = 64
"""Counters per position: four for the row, two for each raised token."""
_MOST_BOOSTED = (_DRAWS - 4) // 2


@dataclass(frozen=True, slots=True)
class GeneratedConfig:
    """The shape of generated rows.

    Args:
        vocab_size: logits of a row.
        sigma: standard deviation of Δ, in nats.
        boosted: tokens per position whose Δ is raised.
        boost_nats: by how much at least and at most.
        boost_ranks: the cloud's ranks that raised tokens are drawn from.
        noise_nats: standard deviation of a logit about the shape of its rank.
        slope: median slope g of the head, nats per e-fold of rank.
        slope_spread: standard deviation of ln g.
        highest: the largest logit of a row at least and at most.
        tail: how Δ falls off: ``normal``, or ``laplace`` (exponential, the heavier one).
    """

    vocab_size: int = 151_936
    sigma: float = 1.0
    boosted: int = 2
    boost_nats: tuple[float, float] = (1.0, 4.0)
    boost_ranks: int = 64
    noise_nats: float = 0.25
    slope: float = 2.1
    slope_spread: float = 0.45
    highest: tuple[float, float] = (18.0, 30.0)
    tail: Literal["normal", "laplace"] = "normal"

    def __post_init__(self) -> None:
        if self.vocab_size < 1:
            raise ConfigError(
                f"generated: vocab_size must be positive, not {self.vocab_size}; "
                "151936 is Qwen2.5's"
            )
        if min(self.sigma, self.noise_nats, self.slope_spread) < 0 or self.slope <= 0:
            raise ConfigError(
                "generated: sigma, noise_nats and slope_spread must not be negative, slope positive"
            )
        if not 0 <= self.boosted <= _MOST_BOOSTED or not 0 < self.boost_ranks <= self.vocab_size:
            raise ConfigError(
                f"generated: boosted must be within 0 and {_MOST_BOOSTED}, boost_ranks within 1 and"
                f" vocab_size ({self.vocab_size}), not {self.boosted} and {self.boost_ranks}"
            )


class RowSource:
    """Rows of logits and of Δ, as a pure function of (seed, session, position)."""

    def __init__(self, config: GeneratedConfig, seed: int) -> None:
        """Prepare the tables that all rows share (some ten milliseconds at V = 151,936)."""
        self._config = config
        self._seed = seed
        vocab = config.vocab_size
        middles = (np.arange(_LANES, dtype=np.float64) + 0.5) / _LANES
        self._normals = normal_quantile_array(middles).astype(np.float32)
        quantiles = _laplace_quantile_array if config.tail == "laplace" else normal_quantile_array
        self._quantiles = quantiles
        self._deltas = quantiles(middles).astype(np.float32)
        self._words = np.arange(-(-vocab // 4), dtype=np.uint64)
        keys_V = _hashes(u64(seed, Stream.LOGITS, 0, 0), np.arange(vocab, dtype=np.uint64))
        self._order_V: npt.NDArray[np.intp] = np.argsort(keys_V)
        self._place_V: npt.NDArray[np.intp] = np.empty(vocab, dtype=np.intp)
        self._place_V[self._order_V] = np.arange(vocab)
        ln_rank_V = np.log(np.arange(1, vocab + 1, dtype=np.float64))
        head_V = np.minimum(ln_rank_V, np.log(_TAIL_FROM_RANK))
        # Laid out twice, so that a slice reads them from any rank on and round.
        self._head_2V: F32 = np.tile(head_V, 2).astype(np.float32)
        self._tail_2V: F32 = np.tile(_LEAST_SLOPE * (ln_rank_V - head_V), 2).astype(np.float32)

    @property
    def vocab_size(self) -> int:
        """V."""
        return self._config.vocab_size

    def logits(self, session: int, position: int, stream: Stream = Stream.LOGITS) -> F32:
        """Return the (V,) float32 logits of one position, on the bf16 grid."""
        config = self._config
        key = stream_key(self._seed, stream, session)
        first = position * _DRAWS
        spread = normal_quantile(open_uniform_at(key, first + 1))
        slope = config.slope * float(np.exp(config.slope_spread * spread))
        slope = min(max(slope, _LEAST_SLOPE), _MOST_SLOPE)
        low, high = config.highest
        highest = low + (high - low) * uniform_at(key, first + 2)
        shift = self._shift(key, first)
        vocab = config.vocab_size
        by_place = slice(vocab - shift, 2 * vocab - shift)
        shape_V = self._head_2V[by_place] * np.float32(-slope)
        shape_V -= self._tail_2V[by_place]
        shape_V += np.float32(highest)
        row_V: F32 = shape_V[self._place_V]
        if config.noise_nats:
            noise_key = u64_at(key, first + 3)
            row_V += self._draw(noise_key, config.noise_nats, self._normals, normal_quantile_array)
        return _on_bf16_grid(row_V)

    def delta(self, session: int, position: int) -> F32:
        """Return the (V,) float32 Δ of one position, in nats."""
        config = self._config
        key = stream_key(self._seed, Stream.EDGE_LOGITS, session)
        first = position * _DRAWS
        delta_V = self._draw(u64_at(key, first + 3), config.sigma, self._deltas, self._quantiles)
        shift = self._shift(stream_key(self._seed, Stream.LOGITS, session), first)
        low, high = config.boost_nats
        for index in range(config.boosted):
            draw = first + 4 + 2 * index
            rank = int(uniform_at(key, draw) * config.boost_ranks)
            token = self._order_V[(rank + shift) % config.vocab_size]
            delta_V[token] += np.float32(low + (high - low) * uniform_at(key, draw + 1))
        return delta_V

    def _shift(self, key: int, first: int) -> int:
        return u64_at(key, first) % self._config.vocab_size

    def _draw(self, key: int, sigma: float, table: F32, quantiles: Quantiles) -> F32:
        """Variates for every id: 16 random bits each, more of them in the tails."""
        lanes_V = _hashes(key, self._words).astype("<u8", copy=False).view("<u2")
        lanes_V = lanes_V[: self._config.vocab_size]
        values_V: F32 = table[lanes_V]
        # One comparison for both tails: the low and the high lanes meet where uint16 wraps.
        tail_K = np.flatnonzero(lanes_V + np.uint16(_TAIL_LANES) < np.uint16(2 * _TAIL_LANES))
        bits_K = _hashes(key, tail_K.astype(np.uint64) + np.uint64(1 << 40)) >> np.uint64(12)
        fine_K = (lanes_V[tail_K] + (bits_K + 0.5) * 2.0**-52) / _LANES
        values_V[tail_K] = quantiles(fine_K)
        values_V *= np.float32(sigma)
        return values_V


def _laplace_quantile_array(share_N: F64) -> F64:
    """Quantiles of the Laplace distribution of variance 1."""
    centred_N = share_N - 0.5
    folded_N: F64 = np.log1p(-2.0 * np.abs(centred_N)) / np.sqrt(2.0)
    return -np.sign(centred_N) * folded_N


def _hashes(key: int, counters: npt.NDArray[np.uint64]) -> npt.NDArray[np.uint64]:
    return hash_u64(np.full(1, key, dtype=np.uint64), counters)


def _on_bf16_grid(row_V: F32) -> F32:
    """Round float32 to bf16, ties to even, in place."""
    bits_V = row_V.view(np.uint32)
    odd_V = (bits_V >> np.uint32(16)) & np.uint32(1)
    bits_V += odd_V
    bits_V += np.uint32(0x7FFF)
    bits_V &= np.uint32(0xFFFF_0000)
    return row_V
