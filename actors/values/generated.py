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

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.values.port import ArmSpec
from actors.values.shadow import DenseShadow
from actors.values.steering_host import Selector, Steerer
from actors.values.waves import waves_of
from costeer.errors import ConfigError, LocalProtocolError
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeOp,
    EdgeSteer,
    Release,
)
from netsim.random import (
    Stream,
    hash_u64,
    normal_quantile,
    normal_quantile_array,
    open_uniform_at,
    stream_key,
    u64,
    u64_at,
    uniform_at,
)

F32 = npt.NDArray[np.float32]

_LEAST_SLOPE = 1.1
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
    """

    vocab_size: int = 151_936
    sigma: float = 1.0
    boosted: int = 2
    boost_nats: tuple[float, float] = (1.0, 4.0)
    boost_ranks: int = 64
    noise_nats: float = 0.25

    def __post_init__(self) -> None:
        if self.vocab_size < 1:
            raise ConfigError(
                f"generated: vocab_size must be positive, not {self.vocab_size}; "
                "151936 is Qwen2.5's"
            )
        if self.sigma < 0 or self.noise_nats < 0:
            raise ConfigError("generated: sigma and noise_nats must not be negative")
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

    def logits(self, session: int, position: int, stream: Stream = Stream.LOGITS) -> F32:
        """Return the (V,) float32 logits of one position, on the bf16 grid."""
        config = self._config
        key = stream_key(self._seed, stream, session)
        first = position * _DRAWS
        spread = normal_quantile(open_uniform_at(key, first + 1))
        slope = min(max(2.1 * float(np.exp(0.45 * spread)), _LEAST_SLOPE), 6.0)
        highest = 18.0 + 12.0 * uniform_at(key, first + 2)
        shift = self._shift(key, first)
        vocab = config.vocab_size
        by_place = slice(vocab - shift, 2 * vocab - shift)
        shape_V = self._head_2V[by_place] * np.float32(-slope)
        shape_V -= self._tail_2V[by_place]
        shape_V += np.float32(highest)
        row_V: F32 = shape_V[self._place_V]
        if config.noise_nats:
            row_V += self._normal(u64_at(key, first + 3), config.noise_nats)
        return _on_bf16_grid(row_V)

    def delta(self, session: int, position: int) -> F32:
        """Return the (V,) float32 Δ of one position, in nats."""
        config = self._config
        key = stream_key(self._seed, Stream.EDGE_LOGITS, session)
        first = position * _DRAWS
        delta_V = self._normal(u64_at(key, first + 3), config.sigma)
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

    def _normal(self, key: int, sigma: float) -> F32:
        """Normal variates for every id: 16 random bits each, more of them in the tails."""
        lanes_V = _hashes(key, self._words).astype("<u8", copy=False).view("<u2")
        lanes_V = lanes_V[: self._config.vocab_size]
        values_V: F32 = self._normals[lanes_V]
        # One comparison for both tails: the low and the high lanes meet where uint16 wraps.
        tail_K = np.flatnonzero(lanes_V + np.uint16(_TAIL_LANES) < np.uint16(2 * _TAIL_LANES))
        bits_K = _hashes(key, tail_K.astype(np.uint64) + np.uint64(1 << 40)) >> np.uint64(12)
        fine_K = (lanes_V[tail_K] + (bits_K + 0.5) * 2.0**-52) / _LANES
        values_V[tail_K] = normal_quantile_array(fine_K)
        values_V *= np.float32(sigma)
        return values_V


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


class _Positions:
    """Which position each session's newest row belongs to.

    A forward does not name its position. The first one makes position 0 (as do further chunks of
    the prompt, until the row has been used), each later one the next; whoever uses a row names the
    position, which corrects the count for a resumed session.
    """

    def __init__(self) -> None:
        self._newest: dict[int, tuple[int, bool]] = {}

    def advance(self, session: int) -> int:
        """Return the position of a forward's row."""
        position, used = self._newest.get(session, (0, False))
        position += used
        self._newest[session] = (position, False)
        return position

    def use(self, session: int, position: int) -> None:
        """A row of this position was used."""
        self._newest[session] = (position, True)

    def forget(self, session: int) -> None:
        """The session is over."""
        self._newest.pop(session, None)


class GeneratedCloudHost:
    """A large model whose logits are generated.

    Args:
        config: shape of the rows.
        shadow: compares every choice with that from the whole row, where given.
    """

    def __init__(self, config: GeneratedConfig, shadow: DenseShadow | None = None) -> None:
        self._config = config
        self._shadow = shadow
        self._rows: dict[int, tuple[int, F32]] = {}
        self._positions = _Positions()
        self._source: RowSource | None = None
        self._selector: Selector | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec and seed; return the vocabulary's size."""
        self._rows.clear()
        self._positions = _Positions()
        self._source = RowSource(self._config, arm.seed)
        self._selector = Selector(arm, self._config.vocab_size, self._shadow)
        return self._config.vocab_size

    def execute(self, ops: Sequence[CloudOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        return [self._execute(op) for op in ops]

    def _execute(self, op: CloudOp | Release) -> object:
        if isinstance(op, CloudForward):
            for row in op.rows:
                self._row(row.session, self._positions.advance(row.session))
            return None
        if isinstance(op, CloudSelect):
            if self._selector is None:
                raise LocalProtocolError("cloud host: an operation before begin_arm")
            return self._selector.select(op, self._used_row)
        self._rows.pop(op.session, None)
        self._positions.forget(op.session)
        return None

    def _used_row(self, session: int, position: int) -> F32:
        self._positions.use(session, position)
        return self._row(session, position)

    def _row(self, session: int, position: int) -> F32:
        if self._source is None:
            raise LocalProtocolError("cloud host: an operation before begin_arm")
        at, row_V = self._rows.get(session, (-1, None))
        if row_V is None or at != position:
            row_V = self._source.logits(session, position)
            self._rows[session] = (position, row_V)
        return row_V


class GeneratedEdgeHost:
    """A small model whose Δ (or, where it decodes alone, whose logits) are generated.

    Args:
        config: shape of the rows.
        shadow: compares every choice with that from the whole row, where given.
    """

    def __init__(self, config: GeneratedConfig, shadow: DenseShadow | None = None) -> None:
        self._config = config
        self._shadow = shadow
        self._rows: dict[int, tuple[int, F32]] = {}
        self._positions = _Positions()
        self._steered = False
        self._source: RowSource | None = None
        self._steerer: Steerer | None = None

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec and seed; return the vocabulary's size."""
        self._rows.clear()
        self._positions = _Positions()
        self._steered = arm.method.steered
        self._source = RowSource(self._config, arm.seed)
        self._steerer = Steerer(arm, self._config.vocab_size, self._shadow)
        return self._config.vocab_size

    def execute(self, ops: Sequence[EdgeOp | Release]) -> list[object]:
        """Values of the operations, in order."""
        if self._steerer is None:
            raise LocalProtocolError("edge host: an operation before begin_arm")
        values: list[object] = [None] * len(ops)
        for wave in waves_of(ops):
            for _, forward in wave.forwards:
                self._row(forward.session, self._positions.advance(forward.session))
            for place, op in wave.others:
                values[place] = self._execute(op, self._steerer)
        return values

    def _execute(self, op: EdgeOp | Release, steerer: Steerer) -> object:
        if isinstance(op, EdgeDecode):
            steerer.decode(op)
            return None
        if isinstance(op, EdgeSteer):
            return steerer.steer(op, self._used_row(op.session, op.position))
        if isinstance(op, EdgeChoose):
            row_V = self._used_row(op.session, op.position)
            return steerer.choose(op.session, op.position, row_V)
        self._rows.pop(op.session, None)
        self._positions.forget(op.session)
        steerer.forget(op.session)
        return None

    def _used_row(self, session: int, position: int) -> F32:
        self._positions.use(session, position)
        return self._row(session, position)

    def _row(self, session: int, position: int) -> F32:
        """Δ of a steered arm, the small model's logits of another, made once per position."""
        if self._source is None:
            raise LocalProtocolError("edge host: an operation before begin_arm")
        at, row_V = self._rows.get(session, (-1, None))
        if row_V is None or at != position:
            row_V = (
                self._source.delta(session, position)
                if self._steered
                else self._source.logits(session, position, Stream.EDGE_LOGITS)
            )
            self._rows[session] = (position, row_V)
        return row_V
