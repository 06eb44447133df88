"""Ranks and frames of logits that live on an accelerator: only what is sent leaves it.

A whole step's rows are rounded, ranked by the accelerator's own top-k and summed there; ids, values
and logsumexp of the ranks that are asked for come over, and are encoded as ever. Top-k does not say
which of equal logits it takes, so the last rank's equals are chosen anew, the lowest ids first: the
frames are those of the other path, byte for byte (the logsumexp is a float32 rounded from float64
on both; sums in another order could differ in its last bit, once in some ten million rows).

Legend: B rows, V vocabulary, R ranks.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeGuard

import numpy as np
import numpy.typing as npt
import torch

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
        if not bool(torch.isfinite(logits_BV).all()):
            raise LocalProtocolError("a row of logits holds NaN or infinity and cannot be sent")
        rounded_BV = logits_BV.to(self._grid).to(torch.float32)
        lse_B = torch.logsumexp(rounded_BV.double(), dim=1).to(torch.float32).cpu().tolist()
        most = max((last for _, last in ranges if last < self._codec.vocab_size), default=1)
        best_BR = torch.topk(rounded_BV, most, dim=1)
        values_BR, ids_BR = best_BR.values.cpu().numpy(), best_BR.indices.cpu().numpy()
        payloads = []
        for row, (first, last) in enumerate(ranges):
            if last == self._codec.vocab_size:
                payloads.append(self._codec.encode(logits_BV[row].cpu().numpy(), first, last))
                continue
            ids_R = _lowest_of_equals(rounded_BV[row], ids_BR[row], values_BR[row], last)
            logits_R = rounded_BV[row][torch.from_numpy(ids_R).to(rounded_BV.device)].cpu().numpy()
            order_R = np.lexsort((ids_R, -logits_R))
            ranked = ids_R[order_R].astype(np.int32), logits_R[order_R]
            payloads.append(self._codec.encode_ranked(*ranked, lse_B[row], first))
        return payloads


def _lowest_of_equals(
    rounded_V: torch.Tensor,
    ids_R: npt.NDArray[np.int64],
    values_R: npt.NDArray[np.float32],
    last: int,
) -> npt.NDArray[np.int64]:
    """Ids of ranks [0, last): everything above the last rank's logit, and its lowest equals."""
    worst = values_R[last - 1]
    above_R = ids_R[:last][values_R[:last] > worst]
    equal = torch.nonzero(rounded_V == float(worst)).flatten()[: last - len(above_R)]
    return np.concatenate((above_R, equal.cpu().numpy()))
