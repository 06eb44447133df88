"""Coarser number formats than a model's own: multiples of a step, and 255 levels over a row.

Both follow the rules of `costeer.codec.values`. What they save is small next to what they cost: a
certificate against the row before rounding then has to clear the intervals (`reference: exact`).
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import CodecError, LocalProtocolError

if TYPE_CHECKING:
    from costeer.codec.values import Words

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]

_STEP_MOST = 0x7FFF
_LEVELS = 255
_MIDDLE = 127
_BOUNDS = struct.Struct("<ff")


def _words(codes_K: F64, word: np.dtype[np.unsignedinteger[Any]]) -> Words:
    """Sign and magnitude of whole numbers."""
    sign = word.type(1 << (8 * word.itemsize - 1))
    magnitudes_K: Words = np.abs(codes_K).astype(word)
    return np.where(codes_K < 0, magnitudes_K | sign, magnitudes_K)


def _codes(words_K: Words) -> F64:
    """Whole numbers of words; −0.0 for the word that no encoder writes."""
    sign = words_K.dtype.type(1 << (8 * words_K.itemsize - 1))
    magnitudes_K = (words_K & ~sign).astype(np.float64)
    return np.where(words_K & sign, -magnitudes_K, magnitudes_K)


def _single_rounding(logits_V: F32) -> F64:
    """What the last rounding to float32 may add to an error."""
    return np.abs(logits_V.astype(np.float64)) * 2.0**-23 + 2.0**-149


@dataclass(frozen=True, slots=True)
class Step:
    """Multiples of `step_nats`, up to 32,767 of them either way."""

    step_nats: float
    word: np.dtype[np.unsignedinteger[Any]] = np.dtype("<u2")  # noqa: RUF009 - dtypes do not change
    param_bytes: int = 0
    params: bytes = b""

    @property
    def name(self) -> str:
        """`step0.25`."""
        return "step" + np.format_float_positional(self.step_nats, trim="-")

    def fit(self, logits_V: F32) -> Step:  # noqa: ARG002 - the grid is the same for every row
        """Itself."""
        return self

    def grid(self, params: bytes) -> Step:  # noqa: ARG002 - there are no parameters
        """Itself."""
        return self

    def round(self, logits_V: F32) -> F32:
        """The nearest multiples."""
        codes_V = np.rint(logits_V.astype(np.float64) / self.step_nats)
        if max(codes_V.max(), -codes_V.min()) > _STEP_MOST:
            largest = float(np.abs(logits_V).max())
            raise LocalProtocolError(
                f"a logit of magnitude {largest:g} does not fit {_STEP_MOST} steps of "
                f"{self.step_nats:g} nats; use a larger step or fp32"
            )
        return (codes_V * self.step_nats).astype(np.float32) + np.float32(0.0)

    def error_bound(self, logits_V: F32) -> F64:
        """Half a step."""
        return self.step_nats / 2 + _single_rounding(logits_V)

    def words(self, rounded_K: F32) -> Words:
        """Sign and magnitude of the multiples."""
        return _words(np.rint(rounded_K.astype(np.float64) / self.step_nats), self.word)

    def restore(self, words_K: Words) -> F32:
        """The multiples."""
        return (_codes(words_K) * self.step_nats).astype(np.float32)


@dataclass(frozen=True, slots=True)
class Affine8:
    """One byte a value: 255 levels from the row's least to its largest logit."""

    name: str = "int8"
    word: np.dtype[np.unsignedinteger[Any]] = np.dtype("u1")  # noqa: RUF009 - dtypes do not change
    param_bytes: int = _BOUNDS.size

    def fit(self, logits_V: F32) -> AffineGrid:
        """Levels over the row."""
        return AffineGrid(float(logits_V.min()) + 0.0, float(logits_V.max()) + 0.0)

    def grid(self, params: bytes) -> AffineGrid:
        """Levels between two finite bounds. Raises CodecError."""
        low, high = _BOUNDS.unpack(params)
        if not (math.isfinite(low) and math.isfinite(high) and low <= high):
            raise CodecError(f"payload has int8 levels from {low} to {high}")
        return AffineGrid(low, high)


@dataclass(frozen=True)
class AffineGrid:
    """255 levels from `low` to `high`, both among them."""

    low: float
    high: float

    @property
    def params(self) -> bytes:
        """Both bounds."""
        return _BOUNDS.pack(self.low, self.high)

    @cached_property
    def _levels(self) -> F32:
        share = np.arange(_LEVELS) / (_LEVELS - 1)
        levels = (self.low * (1.0 - share) + self.high * share).astype(np.float32)
        # Monotone by force: where levels lie closer than float32 can tell, noise may reorder them.
        return np.maximum.accumulate(levels) + np.float32(0.0)

    def _indices(self, logits_V: F32) -> npt.NDArray[np.intp]:
        step = (self.high - self.low) / (_LEVELS - 1)
        if step == 0.0:
            return np.zeros(logits_V.shape, np.intp)
        return np.rint((logits_V.astype(np.float64) - self.low) / step).astype(np.intp)

    def round(self, logits_V: F32) -> F32:
        """The nearest levels."""
        return self._levels[self._indices(logits_V)]

    def error_bound(self, logits_V: F32) -> F64:
        """Half the distance of two levels."""
        step = (self.high - self.low) / (_LEVELS - 1)
        widest = max(abs(self.low), abs(self.high))
        return np.full(logits_V.shape, step / 2 + widest * 2.0**-23 + 2.0**-149)

    def words(self, rounded_K: F32) -> Words:
        """Sign and magnitude of the level's number, counted from the middle one."""
        return _words((self._indices(rounded_K) - _MIDDLE).astype(np.float64), np.dtype("u1"))

    def restore(self, words_K: Words) -> F32:
        """The levels; NaN for the word that no encoder writes."""
        codes_K = _codes(words_K)
        logits_K = self._levels[codes_K.astype(np.intp) + _MIDDLE]
        logits_K[np.signbit(codes_K) & (codes_K == 0.0)] = np.nan
        return logits_K
