"""A codec put together from its four choices, and the seam for a codec of one's own.

Payload, after the entropy stage has been undone (little endian):

    kind u8 · logsumexp f32 · row parameters of the values · body of the layout

Kinds: 0 sparse; 1 dense; 2 sparse, ids counted among the tokens that earlier rounds did not send.

Rules
-----
1. "The" logits of a row are `rounded(row)`: ranks, floor, logsumexp and the full-vocabulary
   reference all refer to it.
2. `encode(row, first, last)` sends ranks [first, last). A sparse body that would not be smaller
   than the dense one is sent dense: the device then knows more for fewer bytes.
3. A sparse payload from a rank beyond 0 counts ids among the unsent: both sides know what was sent,
   and no token can come twice. It is read with what earlier rounds gave; the others stand alone.
4. `decode` takes any bytes: SparseLogits or CodecError, within `max_payload_bytes` in, one row out.
"""

from __future__ import annotations

import importlib
import struct
import zlib
from typing import TYPE_CHECKING, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from costeer.codec.config import (
    AdaptiveConfig,
    CodecConfig,
    CustomCodecConfig,
    FloorConfig,
    SelectConfig,
    StepConfig,
    TopKConfig,
    TopPConfig,
    ValuesConfig,
    ZstdConfig,
)
from costeer.codec.entropy import Entropy, Plain, Zstd
from costeer.codec.layout import Layout, Naive, Planar
from costeer.codec.packed import Packed
from costeer.codec.quantised import Affine8, Step
from costeer.codec.select import Adaptive, Dense, Floor, Select, TopK, TopP, split_ids
from costeer.codec.sparse import SparseLogits, checked, unsent_ids, unsent_indices, within
from costeer.codec.values import Bf16, Fp16, Fp32, Values, Words
from costeer.errors import CodecError, ConfigError, LocalProtocolError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

F32: TypeAlias = npt.NDArray[np.float32]
Range: TypeAlias = tuple[int, int | None]

FORMAT = 2  # of the payload; part of the fingerprint
_SPARSE, _DENSE, _FOLLOWING = 0, 1, 2
_INFINITY_BITS = 0x7F800000
_PREFIX = struct.Struct("<Bf")


@runtime_checkable
class Codec(Protocol):
    """What the machines ask of a codec, a user's own included. Pickles; one per thread."""

    @property
    def name(self) -> str:
        """Short stable id for tables, such as `top64-fp16-naive-zstd3`."""

    @property
    def fingerprint(self) -> int:
        """u32 that two sides compare in OPEN: configuration, vocabulary and format."""

    @property
    def vocab_size(self) -> int:
        """Width of a row (tokens)."""

    @property
    def first_k(self) -> int:
        """Ranks of a position's first payload (the largest number, if it depends on the row)."""

    @property
    def max_payload_bytes(self) -> int:
        """A payload longer than this is not ours."""

    def rounded(self, logits_V: F32) -> F32:
        """Round the row to "the" logits: as the device would know it if everything were sent."""

    def error_bound(self, logits_V: F32) -> npt.NDArray[np.float64]:
        """Largest |rounded(x) − x| for each x; 0 for a lossless codec."""

    def encode(self, logits_V: F32, first_rank: int = 0, last_rank: int | None = None) -> bytes:
        """Payload of ranks [first_rank, last_rank); None: as many as the codec's selection says.

        Raises LocalProtocolError for a row or range that cannot be sent.
        """

    def encode_batch(self, logits_BV: F32, ranges: Sequence[Range]) -> list[bytes]:
        """One payload per row, the same bytes as row by row."""

    def first_count(self, logits_V: F32) -> int:
        """Ranks of this row's first payload: `first_k`, or fewer if the selection looks at it."""

    def decode(self, payload: bytes, known: SparseLogits | None = None) -> SparseLogits:
        """What a payload says, without what was `known` from the position's earlier rounds.

        Raises CodecError, and nothing else, on hostile bytes.
        """


def build_codec(config: CodecConfig | CustomCodecConfig, vocab_size: int) -> Codec:
    """The codec of a configuration for rows of `vocab_size` tokens. Raises ConfigError."""
    if not 0 < vocab_size < 2**31:
        raise ConfigError(f"codec: a vocabulary of {vocab_size} tokens is not possible")
    if isinstance(config, CustomCodecConfig):
        return _load(config, vocab_size)
    return ComposedCodec(config, vocab_size)


class ComposedCodec:
    """select × values × layout × entropy stage."""

    def __init__(self, config: CodecConfig, vocab_size: int) -> None:
        self._config = config
        self._vocab_size = vocab_size
        self._select = _select(config.select, vocab_size)
        self._values = _values(config.values)
        layouts: dict[str, Callable[[Values, int], Layout]] = {
            "naive": Naive,
            "planar": Planar,
            "packed": Packed,
        }
        self._layout = layouts[config.layout](self._values, vocab_size)
        self._entropy: Entropy = (
            Zstd(config.entropy.level, config.entropy.dictionary)
            if isinstance(config.entropy, ZstdConfig)
            else Plain()
        )
        self._prefix_bytes = _PREFIX.size + self._values.param_bytes
        self._dense_bytes = vocab_size * self._values.word.itemsize
        self._max_body_bytes = self._prefix_bytes + self._dense_bytes

    def __reduce__(self) -> tuple[object, tuple[CodecConfig, int]]:
        return ComposedCodec, (self._config, self._vocab_size)

    @property
    def name(self) -> str:
        """The four names and the reference, the last two only if they are not the plain ones."""
        reference = "exact" if self._config.reference == "exact" else ""
        stages = (self._select, self._values, self._layout, self._entropy)
        parts = (*(stage.name for stage in stages), reference)
        return "-".join(part for part in parts if part)

    @property
    def fingerprint(self) -> int:
        """CRC-32 of format, vocabulary and name, which spells out every choice."""
        return zlib.crc32(f"{FORMAT}/{self._vocab_size}/{self.name}".encode())

    @property
    def vocab_size(self) -> int:
        """Width of a row (tokens)."""
        return self._vocab_size

    @property
    def first_k(self) -> int:
        """Ranks of a position's first payload."""
        return self._select.first_k

    @property
    def values_name(self) -> str:
        """Number format of the values, such as `bf16`."""
        return self._values.name

    @property
    def row_independent(self) -> bool:
        """Whether the first payload has as many ranks whatever the row."""
        return isinstance(self._select, (Dense, TopK, Adaptive))

    @property
    def max_payload_bytes(self) -> int:
        """Size of a dense payload, whatever the entropy stage makes of it."""
        return self._entropy.bound(self._max_body_bytes)

    def rounded(self, logits_V: F32) -> F32:
        """The row on the grid of the values."""
        row_V = self._finite(logits_V)
        return self._values.fit(row_V).round(row_V)

    def error_bound(self, logits_V: F32) -> npt.NDArray[np.float64]:
        """The values' bound."""
        return self._values.fit(logits_V).error_bound(logits_V)

    def encode(self, logits_V: F32, first_rank: int = 0, last_rank: int | None = None) -> bytes:
        """One payload: round the row, rank it, write what was asked for."""
        row_V = self._finite(logits_V)
        grid = self._values.fit(row_V)
        rounded_V = grid.round(row_V)
        lse = row_logsumexp(rounded_V)
        last = self._select.count(rounded_V, lse) if last_rank is None else last_rank
        self._check_ranks(first_rank, last)
        kind, body = _SPARSE, b""
        if last - first_rank < self._vocab_size:
            sent_S, ids_K = split_ids(rounded_V, first_rank, last)
            kind, body = self._sparse(sent_S, ids_K, grid.words(rounded_V[ids_K]))
        if not 0 < len(body) < self._dense_bytes:
            kind, body = _DENSE, self._layout.write_dense(grid.words(rounded_V))
        return self._entropy.pack(_PREFIX.pack(kind, lse) + grid.params + body)

    def encode_ranked(
        self, ids_R: npt.NDArray[np.int32], logits_R: F32, logsumexp: float, first_rank: int = 0
    ) -> bytes:
        """Payload of ranks [first_rank, R) of a row that somebody else has rounded and ranked.

        Args:
            ids_R: ids by rank, from rank 0.
            logits_R: their rounded logits.
            logsumexp: of the rounded row, a float32.
            first_rank: ranks before it were sent already.

        Raises:
            LocalProtocolError: the values are not a float format, or the dense row would be
                smaller, which takes the row itself.
        """
        self._check_ranks(first_rank, len(ids_R))
        if self._values.param_bytes:
            raise LocalProtocolError(f"{self.name} needs the whole row to be encoded")
        sent_S, asked = np.sort(ids_R[:first_rank]), np.argsort(ids_R[first_rank:])
        ids_K = np.ascontiguousarray(ids_R[first_rank:][asked])
        logits_K = np.ascontiguousarray(logits_R[first_rank:][asked])
        kind, body = self._sparse(sent_S, ids_K, self._values.fit(logits_K).words(logits_K))
        if not 0 < len(body) < self._dense_bytes:
            raise LocalProtocolError(f"{len(ids_R)} ranks are dearer than the dense row: send that")
        return self._entropy.pack(_PREFIX.pack(kind, logsumexp) + body)

    def _sparse(
        self, sent_S: npt.NDArray[np.int32], ids_K: npt.NDArray[np.int32], words_K: Words
    ) -> tuple[int, bytes]:
        """Kind and body of ids that follow those sent."""
        if sent_S.size:
            return _FOLLOWING, self._layout.write_sparse(unsent_indices(ids_K, sent_S), words_K)
        return _SPARSE, self._layout.write_sparse(ids_K, words_K)

    def _check_ranks(self, first: int, last: int) -> None:
        if not 0 <= first < last <= self._vocab_size:
            raise LocalProtocolError(
                f"ranks [{first}, {last}) are not within a vocabulary of {self._vocab_size}"
            )

    def encode_batch(self, logits_BV: F32, ranges: Sequence[Range]) -> list[bytes]:
        """Row by row."""
        if logits_BV.shape != (len(ranges), self._vocab_size):
            raise LocalProtocolError(f"{len(ranges)} ranges for a batch of shape {logits_BV.shape}")
        return [self.encode(row, *span) for row, span in zip(logits_BV, ranges, strict=True)]

    def first_count(self, logits_V: F32) -> int:
        """As the selection says."""
        if self.row_independent:
            return self._select.first_k
        rounded_V = self.rounded(logits_V)
        return self._select.count(rounded_V, row_logsumexp(rounded_V))

    def decode(self, payload: bytes, known: SparseLogits | None = None) -> SparseLogits:
        """Undo the stages, checking each."""
        body = self._entropy.unpack(payload, self._max_body_bytes)
        if len(body) <= self._prefix_bytes:
            raise CodecError(f"payload body of {len(body)} bytes has no room for logits")
        kind, lse = _PREFIX.unpack_from(body)
        grid = self._values.grid(body[_PREFIX.size : self._prefix_bytes])
        rest = memoryview(body)[self._prefix_bytes :]
        if kind == _DENSE:
            ids_K = np.arange(self._vocab_size, dtype=np.int32)
            words_K = self._layout.read_dense(rest)
        elif kind in {_SPARSE, _FOLLOWING} and len(rest) < self._dense_bytes:
            ids_K, words_K = self._layout.read_sparse(rest)
        else:
            raise CodecError(f"payload of kind {kind} with {len(rest)} bytes is not one of ours")
        if kind == _FOLLOWING:
            if known is None:
                raise CodecError("payload follows an earlier round that did not arrive")
            ids_K = unsent_ids(ids_K, known)
        sent = checked(ids_K, grid.restore(words_K), lse, self._vocab_size)
        if self._config.reference == "rounded":
            return sent
        floor = np.array([sent.floor], np.float32)
        return within(sent, grid.error_bound(sent.logits_K), float(grid.error_bound(floor)[0]))

    def _finite(self, logits_V: F32) -> F32:
        if logits_V.shape != (self._vocab_size,) or logits_V.dtype != np.float32:
            raise LocalProtocolError(
                f"codec expects float32 of shape ({self._vocab_size},), "
                f"not {logits_V.dtype} of shape {logits_V.shape}"
            )
        from costeer.codec import kernels  # noqa: PLC0415 - numba takes half a second to import

        row_V = np.ascontiguousarray(logits_V)
        if kernels.largest_magnitude_bits(row_V.view(np.uint32)) >= _INFINITY_BITS:
            raise LocalProtocolError("a row of logits holds NaN or infinity and cannot be sent")
        return row_V


def row_logsumexp(logits_V: F32) -> float:
    """Logsumexp of a finite row in nats: a float32, never below the largest logit."""
    from costeer.codec import kernels  # noqa: PLC0415 - numba takes half a second to import

    row_V = np.ascontiguousarray(logits_V)
    return float(np.float32(kernels.logsumexp(row_V, float(row_V.max()))))


def _select(config: SelectConfig, vocab_size: int) -> Select:
    if isinstance(config, TopKConfig):
        return TopK(config.k, vocab_size)
    if isinstance(config, TopPConfig):
        return TopP(config.p, config.k_max, vocab_size)
    if isinstance(config, FloorConfig):
        return Floor(config.a, config.k_max, vocab_size)
    if isinstance(config, AdaptiveConfig):
        return Adaptive(config.k_min, config.k_max, vocab_size)
    return Dense(vocab_size)


def _values(config: ValuesConfig) -> Values:
    if isinstance(config, StepConfig):
        return Step(config.step_nats)
    formats: dict[str, Callable[[], Values]] = {
        "fp32": Fp32,
        "fp16": Fp16,
        "bf16": Bf16,
        "int8": Affine8,
    }
    return formats[config]()


def _load(config: CustomCodecConfig, vocab_size: int) -> Codec:
    module_name, _, class_name = config.kind.partition(":")
    try:
        made = getattr(importlib.import_module(module_name), class_name)(
            vocab_size=vocab_size, **config.options
        )
    except (ImportError, AttributeError, TypeError) as error:
        raise ConfigError(f"codec {config.kind!r} cannot be built: {error}") from error
    if not isinstance(made, Codec):
        raise ConfigError(f"codec {config.kind!r} lacks what costeer.codec.Codec asks for")
    return made
