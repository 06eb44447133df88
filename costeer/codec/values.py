"""Number formats of logits on the wire, and the grid on which both sides rank them.

Rules
-----
1. `round` is monotone and maps the whole row; its result is "the" logits for cloud and device.
   Rounding makes ties; ranks are taken after it, lowest id first.
2. A wire word is sign (its top bit) and magnitude of a whole-numbered code, and codes are monotone:
   a < b as numbers iff code(a) < code(b). Layouts that need small integers work on codes.
3. Negative zero is written as zero and has no code, so equal numbers have equal bytes.
4. What a format cannot hold raises LocalProtocolError at the encoder. Whatever `restore` makes of
   hostile bits is checked after it (`costeer.codec.sparse.checked`).

A format whose grid depends on the row (a scale, an offset) fits it, sends `param_bytes` bytes of
parameters and rebuilds it from them; IEEE formats are their own grid and send none.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Protocol, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import LocalProtocolError

F32: TypeAlias = npt.NDArray[np.float32]
F64: TypeAlias = npt.NDArray[np.float64]
Words: TypeAlias = npt.NDArray[np.unsignedinteger[Any]]


class Grid(Protocol):
    """The numbers that one row may hold. Shapes: V vocabulary, K selected tokens."""

    @property
    def params(self) -> bytes:
        """What the other side needs to rebuild the grid."""

    def round(self, logits_V: F32) -> F32:
        """The nearest numbers of the grid. Raises LocalProtocolError if a logit is too large."""

    def error_bound(self, logits_V: F32) -> F64:
        """Largest |round(x) − x|, given x or given round(x)."""

    def words(self, rounded_K: F32) -> Words:
        """Wire words of numbers that `round` made."""

    def restore(self, words_K: Words) -> F32:
        """The numbers of wire words; any bits give some float32."""


class Values(Protocol):
    """A number format: gives the grid of a row."""

    @property
    def name(self) -> str:
        """Short stable id for tables."""

    @property
    def word(self) -> np.dtype[np.unsignedinteger[Any]]:
        """Little-endian unsigned type of one value on the wire."""

    @property
    def param_bytes(self) -> int:
        """Bytes of `Grid.params`."""

    def fit(self, logits_V: F32) -> Grid:
        """The grid for a finite row."""

    def grid(self, params: bytes) -> Grid:
        """The grid of received parameters. Raises CodecError if no `fit` gives them."""


@dataclass(frozen=True, slots=True)
class _Ieee(ABC):
    """What the three IEEE formats share: their bits are sign and magnitude already."""

    name: str
    word: np.dtype[np.unsignedinteger[Any]]
    param_bytes: int = 0
    params: bytes = b""

    def fit(self, logits_V: F32) -> Self:  # noqa: ARG002 - the grid is the same for every row
        """Itself."""
        return self

    def grid(self, params: bytes) -> Self:  # noqa: ARG002 - there are no parameters
        """Itself."""
        return self

    @abstractmethod
    def words(self, rounded_K: F32) -> Words:
        """Wire words of numbers on the grid."""

    @abstractmethod
    def restore(self, words_K: Words) -> F32:
        """The numbers of wire words."""


class Fp32(_Ieee):
    """IEEE binary32: lossless."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("fp32", np.dtype("<u4"))

    def round(self, logits_V: F32) -> F32:
        """The row itself."""
        return logits_V

    def error_bound(self, logits_V: F32) -> F64:
        """Zero: nothing is lost."""
        return np.zeros(logits_V.shape, dtype=np.float64)

    def words(self, rounded_K: F32) -> Words:
        """The bits."""
        return (rounded_K + np.float32(0.0)).view(np.uint32)

    def restore(self, words_K: Words) -> F32:
        """The bits as numbers."""
        return words_K.view(np.float32)


class Fp16(_Ieee):
    """IEEE binary16, round to nearest even: up to 65504, relative error 2⁻¹¹."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("fp16", np.dtype("<u2"))

    def round(self, logits_V: F32) -> F32:
        """The nearest half-precision numbers."""
        with np.errstate(over="ignore"):
            rounded_V = logits_V.astype(np.float16).astype(np.float32)
        if not np.isfinite([rounded_V.min(), rounded_V.max()]).all():
            largest = float(np.abs(logits_V).max())
            raise LocalProtocolError(
                f"a logit of magnitude {largest:g} does not fit fp16 (65504); use bf16 or fp32"
            )
        return rounded_V

    def error_bound(self, logits_V: F32) -> F64:
        """Half a unit in the last place: |x|·2⁻¹¹, and 2⁻²⁵ for subnormals."""
        return np.abs(logits_V.astype(np.float64)) * 2.0**-11 + 2.0**-25

    def words(self, rounded_K: F32) -> Words:
        """The half-precision bits."""
        return (rounded_K + np.float32(0.0)).astype(np.float16).view(np.uint16)

    def restore(self, words_K: Words) -> F32:
        """The half-precision bits as float32."""
        return words_K.view(np.float16).astype(np.float32)


class Bf16(_Ieee):
    """The upper half of binary32, round to nearest even: float32's range, relative error 2⁻⁸.

    Logits of a bf16 head lie on this grid already and travel without loss.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("bf16", np.dtype("<u2"))

    def round(self, logits_V: F32) -> F32:
        """The nearest bfloat16 numbers; the row itself if it is on the grid."""
        bits_V = logits_V.view(np.uint32)
        low = np.uint32(0xFFFF)
        if not np.bitwise_or.reduce(bits_V) & low:
            return logits_V
        even_V = (bits_V >> np.uint32(16)) & np.uint32(1)
        rounded_V = ((bits_V + (even_V + np.uint32(0x7FFF))) & ~low).view(np.float32)
        if not np.isfinite([rounded_V.min(), rounded_V.max()]).all():
            largest = float(np.abs(logits_V).max())
            raise LocalProtocolError(
                f"a logit of magnitude {largest:g} does not fit bf16; use fp32"
            )
        return rounded_V

    def error_bound(self, logits_V: F32) -> F64:
        """Half a unit in the last place: |x|·2⁻⁸, and 2⁻¹³⁴ for subnormals."""
        return np.abs(logits_V.astype(np.float64)) * 2.0**-8 + 2.0**-134

    def words(self, rounded_K: F32) -> Words:
        """The upper halves."""
        bits_K = (rounded_K + np.float32(0.0)).view(np.uint32)
        return (bits_K >> np.uint32(16)).astype(np.uint16)

    def restore(self, words_K: Words) -> F32:
        """The upper halves with zeros below."""
        return (words_K.astype(np.uint32) << np.uint32(16)).view(np.float32)
