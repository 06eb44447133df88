"""A codec that a user might write: u16 ids, fp32 values, text logsumexp. Used by test_laws.py."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np

from costeer.codec.core import row_logsumexp
from costeer.codec.select import ranked_ids
from costeer.codec.sparse import checked
from costeer.errors import CodecError, LocalProtocolError

if TYPE_CHECKING:
    from costeer.codec import SparseLogits


class OwnCodec:
    """`options: {k: …}`."""

    def __init__(self, vocab_size: int, k: int = 3) -> None:
        self.vocab_size, self.k = vocab_size, k
        self.name = f"own{k}"
        self.first_k = min(k, vocab_size)
        self.max_payload_bytes = 24 + 6 * vocab_size
        self.fingerprint = zlib.crc32(f"own/{k}/{vocab_size}".encode())

    def rounded(self, logits_V: Any) -> Any:
        if logits_V.shape != (self.vocab_size,) or logits_V.dtype != np.float32:
            raise LocalProtocolError("not a row")
        if not np.isfinite(logits_V).all():
            raise LocalProtocolError("not finite")
        return logits_V

    def error_bound(self, logits_V: Any) -> Any:
        return np.zeros(logits_V.size)

    def encode(self, logits_V: Any, first_rank: int = 0, last_rank: int | None = None) -> bytes:
        last = self.first_k if last_rank is None else last_rank
        row_V = self.rounded(logits_V)
        if not 0 <= first_rank < last <= self.vocab_size:
            raise LocalProtocolError("no such ranks")
        ids_K = ranked_ids(row_V, first_rank, last)
        logits_K = row_V[ids_K] + np.float32(0)
        body: bytes = ids_K.astype("<u2").tobytes() + logits_K.tobytes()
        return f"{row_logsumexp(row_V):24.9e}".encode() + body

    def encode_batch(self, logits_BV: Any, ranges: Any) -> list[bytes]:
        if len(logits_BV) != len(ranges):
            raise LocalProtocolError("not one range per row")
        return [self.encode(row, *span) for row, span in zip(logits_BV, ranges, strict=True)]

    def first_count(self, logits_V: Any) -> int:  # noqa: ARG002 - the seam's signature
        return self.first_k

    def decode(
        self,
        payload: bytes,
        known: SparseLogits | None = None,  # noqa: ARG002 - a codec may do without
    ) -> SparseLogits:
        count, rest = divmod(len(payload) - 24, 6)
        if rest or not 0 < count <= self.vocab_size:
            raise CodecError("length")
        try:
            (lse,) = struct.unpack("<f", struct.pack("<f", float(payload[:24])))
        except (ValueError, OverflowError) as error:
            raise CodecError("logsumexp") from error
        ids_K = np.frombuffer(payload, "<u2", count, 24).astype(np.int32)
        return checked(
            ids_K, np.frombuffer(payload, "<f4", count, 24 + 2 * count), lse, self.vocab_size
        )
