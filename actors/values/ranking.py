"""Ranks and frames of logits that live on an accelerator: only what is sent leaves it.

A whole step's rows are rounded, ranked by the accelerator's own top-k and summed there; ids, values
and logsumexp of the ranks that are asked for come over, and are encoded as ever. Top-k does not say
which of equal logits it takes, so it ranks integers that have no equals: the rounded logit above,
the id below, the lowest id as the largest. The frames are those of the other path, byte for byte
(the logsumexp is a float32 rounded from float64 on both; sums in another order could differ in its
last bit, once in some ten million rows).

Legend: B rows, V vocabulary, R ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import torch

from actors.models.transfer import download
from costeer.codec.core import ComposedCodec
from costeer.errors import LocalProtocolError

_GRIDS = {"fp32": torch.float32, "fp16": torch.float16, "bf16": torch.bfloat16}


class DeviceRanker:
    """Encodes rows that live where the model does, for a codec whose grid is a float format.

    Args:
        codec: of the arm.
    """

    def __init__(self, codec: ComposedCodec) -> None:
        self._codec = codec
        self._grid = _GRIDS[codec.values_name]

    @staticmethod
    def suits(codec: object) -> TypeGuard[ComposedCodec]:
        """Whether a codec can be served: fixed ranks, and values rounded one by one."""
        return (
            isinstance(codec, ComposedCodec)
            and codec.values_name in _GRIDS
            and codec.row_independent
            and codec.first_k < codec.vocab_size
        )

    def encode(self, logits_BV: torch.Tensor, ranges: Sequence[tuple[int, int]]) -> list[bytes]:
        """Payloads of ranks [first, last), one per row.

        Raises:
            LocalProtocolError: a row holds NaN or infinity.
        """
        rounded_BV = logits_BV.to(self._grid).to(torch.float32)
        lse_B = torch.logsumexp(rounded_BV.double(), dim=1).to(torch.float32)
        most = max((last for _, last in ranges if last < self._codec.vocab_size), default=1)
        ids_BR = torch.topk(_without_equals(rounded_BV), most, dim=1).indices
        best_BR = rounded_BV.gather(1, ids_BR)
        finite = torch.isfinite(logits_BV).all()
        # Asked for together and waited for once: each wait leaves the accelerator idle.
        host_BR, values_BR, sums_B, fine = download(ids_BR.to(torch.int32), best_BR, lse_B, finite)
        if not fine:
            raise LocalProtocolError("a row of logits holds NaN or infinity and cannot be sent")
        payloads = []
        for row, (first, last) in enumerate(ranges):
            if last == self._codec.vocab_size:
                (logits_V,) = download(logits_BV[row])
                payloads.append(self._codec.encode(logits_V, first, last))
                continue
            ranked = host_BR[row, :last], values_BR[row, :last]
            payloads.append(self._codec.encode_ranked(*ranked, float(sums_B[row]), first))
        return payloads


def _without_equals(rounded_BV: torch.Tensor) -> torch.Tensor:
    """Return int64s in the order of the logits, and of equal ones the lowest id's the largest."""
    # A float's bits grow with it where it is positive and fall where it is not; -0 is 0.
    bits_BV = (rounded_BV + 0.0).view(torch.int32)
    ordered_BV = bits_BV ^ ((bits_BV >> 31) & 0x7FFF_FFFF)
    width = rounded_BV.shape[1]
    below_V = torch.arange(width - 1, -1, -1, device=rounded_BV.device)
    return (ordered_BV.to(torch.int64) << 32) | below_V
