"""How selected ids and value words become bytes.

A layout writes two bodies: `sparse` (K ascending ids and their words) and `dense` (V words, ids
implied). Readers take hostile bytes: whatever is wrong with them raises CodecError, and nothing is
allocated beyond a vocabulary's row. Words come back as the values' wire words, unchecked; ids may
come back in any order and range, `costeer.codec.sparse.checked` looks at them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from costeer.errors import CodecError

if TYPE_CHECKING:
    from costeer.codec.values import Values, Words

Ids: TypeAlias = npt.NDArray[np.int32]


class Layout(Protocol):
    """An arrangement of ids and value words. A dense body has V words' bytes in any layout."""

    @property
    def name(self) -> str:
        """Short stable id for tables."""

    def write_sparse(self, ids_K: Ids, words_K: Words) -> bytes:
        """Body of K ascending ids with their words."""

    def read_sparse(self, body: memoryview) -> tuple[Ids, Words]:
        """Ids and words of a sparse body. Raises CodecError."""

    def write_dense(self, words_V: Words) -> bytes:
        """Body of the whole row."""

    def read_dense(self, body: memoryview) -> Words:
        """Words of a dense body. Raises CodecError."""


@dataclass(frozen=True, slots=True)
class Naive:
    """Records of (u32 id, value word), little endian, in ascending ids; dense: the words alone."""

    values: Values
    vocab_size: int
    name: str = "naive"

    @property
    def _record(self) -> np.dtype[np.void]:
        return np.dtype([("id", "<u4"), ("word", self.values.word)])

    def write_sparse(self, ids_K: Ids, words_K: Words) -> bytes:
        """K records."""
        records = np.empty(ids_K.size, dtype=self._record)
        records["id"] = ids_K
        records["word"] = words_K
        return records.tobytes()

    def read_sparse(self, body: memoryview) -> tuple[Ids, Words]:
        """As many records as there are bytes for; a remainder raises CodecError."""
        if len(body) % self._record.itemsize:
            raise CodecError(f"sparse body of {len(body)} bytes is not a whole number of records")
        records = np.frombuffer(body, dtype=self._record)
        if records.size and int(records["id"].max()) >= self.vocab_size:
            raise CodecError(f"payload id is outside a vocabulary of {self.vocab_size}")
        words_K = np.ascontiguousarray(records["word"])
        return records["id"].astype(np.int32), words_K

    def write_dense(self, words_V: Words) -> bytes:
        """V words."""
        return words_V.tobytes()

    def read_dense(self, body: memoryview) -> Words:
        """V words, no more and no less."""
        expected = self.vocab_size * self.values.word.itemsize
        if len(body) != expected:
            raise CodecError(f"dense body of {len(body)} bytes, expected {expected}")
        words_V: Words = np.frombuffer(body, dtype=self.values.word)
        return np.require(words_V, requirements="A")  # a body starts at any byte


@dataclass(frozen=True, slots=True)
class Planar:
    """The bytes of `Naive`, sorted by their place in the record: like bytes lie side by side.

    As many bytes, but an entropy stage finds more to save.
    """

    values: Values
    vocab_size: int
    name: str = "planar"

    def write_sparse(self, ids_K: Ids, words_K: Words) -> bytes:
        """Planes of the records' bytes."""
        naive = Naive(self.values, self.vocab_size)
        return _transposed(naive.write_sparse(ids_K, words_K), ids_K.size)

    def read_sparse(self, body: memoryview) -> tuple[Ids, Words]:
        """The records again."""
        naive = Naive(self.values, self.vocab_size)
        size = 4 + self.values.word.itemsize
        if len(body) % size:
            raise CodecError(f"planar body of {len(body)} bytes is not a whole number of records")
        return naive.read_sparse(memoryview(_transposed(body, size)))

    def write_dense(self, words_V: Words) -> bytes:
        """Planes of the words' bytes."""
        return _transposed(words_V.tobytes(), words_V.size)

    def read_dense(self, body: memoryview) -> Words:
        """The words again."""
        naive, size = Naive(self.values, self.vocab_size), self.values.word.itemsize
        if len(body) % size:
            raise CodecError(f"planar body of {len(body)} bytes is not a whole number of words")
        return naive.read_dense(memoryview(_transposed(body, size)))


def _transposed(data: bytes | memoryview, rows: int) -> bytes:
    """The bytes of a matrix of `rows` rows, column by column."""
    return np.frombuffer(data, dtype=np.uint8).reshape(rows, -1).T.tobytes()
