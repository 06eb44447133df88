"""Number formats of logits on the wire, and the grid on which both sides rank them.

Rules
-----
1. `round` is monotone and maps the whole row; its result is "the" logits for cloud and device.
   Rounding makes ties; ranks are taken after it, lowest id first.
2. Every value has a monotone unsigned code (`order`): a < b as numbers iff code(a) < code(b).
   Layouts that need small integers work on codes, negative values included.
3. Negative zero is written as zero, so equal numbers have equal bytes.
4. What a format cannot hold raises LocalProtocolError at the encoder. Whatever `restore` makes of
   hostile bits is checked after it (`costeer.codec.sparse.checked`).

Parameters of a row (a scale, an offset) travel as `param_bytes` bytes; IEEE formats have none.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import LocalProtocolError

F32: TypeAlias = npt.NDArray[np.float32]
Words: TypeAlias = npt.NDArray[np.uint16] | npt.NDArray[np.uint32]


class Values(Protocol):
    """A number format. Shapes: V vocabulary, K selected tokens."""

    @property
    def name(self) -> str:
        """Short stable id for tables."""

    @property
    def word(self) -> np.dtype[np.uint16] | np.dtype[np.uint32]:
        """Little-endian unsigned type of one value on the wire."""

    @property
    def param_bytes(self) -> int:
        """Bytes of row parameters in front of the layout."""

    def round(self, logits_V: F32) -> tuple[F32, bytes]:
        """The row on the format's grid and its parameters. Raises LocalProtocolError if too large."""

    def error_bound(self, logits_V: F32) -> npt.NDArray[np.float64]:
        """Largest |round(x) − x| for each x."""

    def words(self, rounded_K: F32, params: bytes) -> Words:
        """Wire words of values that `round` made."""

    def restore(self, words_K: Words, params: bytes) -> F32:
        """The values of wire words; any bits give some float32."""

    def order(self, words_K: Words) -> Words:
        """Monotone codes of wire words."""

    def disorder(self, codes_K: Words) -> Words:
        """Wire words of monotone codes: the inverse of `order`."""


@dataclass(frozen=True, slots=True)
class _Ieee:
    """What the three IEEE formats share: sign-magnitude bits and the map onto ordered codes."""

    name: str
    word: np.dtype[np.uint16] | np.dtype[np.uint32]
    param_bytes: int = 0

    def order(self, words_K: Words) -> Words:
        """Monotone codes: set the sign bit of positive words, invert negative ones."""
        sign = self._sign()
        return np.asarray(np.where(words_K & sign, ~words_K, words_K | sign), dtype=self.word)

    def disorder(self, codes_K: Words) -> Words:
        """The inverse of `order`."""
        sign = self._sign()
        return np.asarray(np.where(codes_K & sign, codes_K ^ sign, ~codes_K), dtype=self.word)

    def _sign(self) -> np.uint16 | np.uint32:
        return self.word.type(1 << (8 * self.word.itemsize - 1))


class Fp32(_Ieee):
    """IEEE binary32: lossless."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("fp32", np.dtype("<u4"))

    def round(self, logits_V: F32) -> tuple[F32, bytes]:
        """The row itself."""
        return logits_V, b""

    def error_bound(self, logits_V: F32) -> npt.NDArray[np.float64]:
        """Zero: nothing is lost."""
        return np.zeros(logits_V.shape, dtype=np.float64)

    def words(self, rounded_K: F32, params: bytes) -> Words:
        """The bits."""
        return (rounded_K + np.float32(0.0)).view(np.uint32)

    def restore(self, words_K: Words, params: bytes) -> F32:
        """The bits as numbers."""
        return words_K.view(np.float32)


class Fp16(_Ieee):
    """IEEE binary16, round to nearest even: up to 65504, relative error 2⁻¹¹."""

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("fp16", np.dtype("<u2"))

    def round(self, logits_V: F32) -> tuple[F32, bytes]:
        """The nearest half-precision numbers."""
        with np.errstate(over="ignore"):
            rounded_V = logits_V.astype(np.float16).astype(np.float32)
        if not np.isfinite([rounded_V.min(), rounded_V.max()]).all():
            largest = float(np.abs(logits_V).max())
            raise LocalProtocolError(
                f"a logit of magnitude {largest:g} does not fit fp16 (65504); use bf16 or fp32"
            )
        return rounded_V, b""

    def error_bound(self, logits_V: F32) -> npt.NDArray[np.float64]:
        """Half a unit in the last place: |x|·2⁻¹¹, and 2⁻²⁵ for subnormals."""
        return np.abs(logits_V.astype(np.float64)) * 2.0**-11 + 2.0**-25

    def words(self, rounded_K: F32, params: bytes) -> Words:
        """The half-precision bits."""
        return (rounded_K + np.float32(0.0)).astype(np.float16).view(np.uint16)

    def restore(self, words_K: Words, params: bytes) -> F32:
        """The half-precision bits as float32."""
        return words_K.view(np.float16).astype(np.float32)


class Bf16(_Ieee):
    """The upper half of binary32, round to nearest even: float32's range, relative error 2⁻⁸.

    Logits of a bf16 head lie on this grid already and travel without loss.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("bf16", np.dtype("<u2"))

    def round(self, logits_V: F32) -> tuple[F32, bytes]:
        """The nearest bfloat16 numbers; the row itself if it is on the grid."""
        bits_V = logits_V.view(np.uint32)
        low = np.uint32(0xFFFF)
        if not np.bitwise_or.reduce(bits_V) & low:
            return logits_V, b""
        even_V = (bits_V >> np.uint32(16)) & np.uint32(1)
        rounded_V = ((bits_V + (even_V + np.uint32(0x7FFF))) & ~low).view(np.float32)
        if not np.isfinite([rounded_V.min(), rounded_V.max()]).all():
            largest = float(np.abs(logits_V).max())
            raise LocalProtocolError(
                f"a logit of magnitude {largest:g} does not fit bf16; use fp32"
            )
        return rounded_V, b""

    def error_bound(self, logits_V: F32) -> npt.NDArray[np.float64]:
        """Half a unit in the last place: |x|·2⁻⁸, and 2⁻¹³⁴ for subnormals."""
        return np.abs(logits_V.astype(np.float64)) * 2.0**-8 + 2.0**-134

    def words(self, rounded_K: F32, params: bytes) -> Words:
        """The upper halves."""
        bits_K = (rounded_K + np.float32(0.0)).view(np.uint32)
        return (bits_K >> np.uint32(16)).astype(np.uint16)

    def restore(self, words_K: Words, params: bytes) -> F32:
        """The upper halves with zeros below."""
        return (words_K.astype(np.uint32) << np.uint32(16)).view(np.float32)
