"""A key-value cache of slots: many sequences, each at its own position, in one tensor.

Rules
-----
* A slot holds one sequence from its first token on; ``length`` tokens of it are valid. What lies
  behind them is finite rubbish (zeros, or padding and truncated tokens) that no mask admits and
  that the next write covers.
* ``plan`` names the rows of the next forward; ``update``, called by each layer of the model, then
  scatters that layer's new keys and values into the slots and hands back the rows' whole context,
  cropped to the longest row.
* Storage grows on demand by doubling and is never given back: a freed slot is taken again.

Legend: L layers, S slots, B rows of a forward, T new tokens, H key-value heads, C context,
D head dimension.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import torch

from costeer.errors import LocalProtocolError

_CONTEXT_QUANTUM = 64


class SlotCache:
    """Keys and values of all slots; duck-types the cache that transformers' layers call.

    Args:
        layers: number of layers.
        heads: key-value heads.
        head_dim: dimension of a head.
        dtype: of keys and values.
        device: where they live.
        slots: slots to begin with.
        context: tokens a slot can hold to begin with.
    """

    def __init__(
        self,
        layers: int,
        heads: int,
        head_dim: int,
        *,
        dtype: torch.dtype,
        device: torch.device,
        slots: int = 8,
        context: int = 128,
    ) -> None:
        self._store_L2SHCD = torch.zeros(
            (layers, 2, slots, heads, context, head_dim), dtype=dtype, device=device
        )
        self._length_S: npt.NDArray[np.int64] = np.zeros(slots, dtype=np.int64)
        self._used_S: npt.NDArray[np.bool_] = np.zeros(slots, dtype=np.bool_)
        self._free = list(range(slots - 1, -1, -1))
        self._write: tuple[torch.Tensor, torch.Tensor] | None = None
        self._read: slice | torch.Tensor = slice(0)
        self._attended = 0

    @property
    def slots_used(self) -> int:
        """Slots in use."""
        return int(self._used_S.sum())

    @property
    def context(self) -> int:
        """Tokens a slot can hold now."""
        return int(self._store_L2SHCD.shape[4])

    @property
    def allocated_bytes(self) -> int:
        """Bytes of the store as it has grown."""
        return self._store_L2SHCD.numel() * self._store_L2SHCD.element_size()

    def take(self) -> int:
        """Take an empty slot: the lowest that is free when the store has just grown."""
        if not self._free:
            slots = len(self._length_S)
            self._grow(2 * slots, self.context)
            self._free = list(range(2 * slots - 1, slots - 1, -1))
        slot = self._free.pop()
        self._used_S[slot] = True
        self._length_S[slot] = 0
        return slot

    def free(self, slot: int) -> None:
        """Give a slot back."""
        self._check(slot)
        self._used_S[slot] = False
        self._length_S[slot] = 0
        self._free.append(slot)

    def length(self, slot: int) -> int:
        """Valid tokens of a slot."""
        self._check(slot)
        return int(self._length_S[slot])

    def truncate(self, slot: int, length: int) -> None:
        """Forget a slot's tokens from ``length`` on.

        Raises:
            LocalProtocolError: the slot holds fewer, or is not in use.
        """
        self._check(slot)
        if not 0 <= length <= self._length_S[slot]:
            raise LocalProtocolError(
                f"cache: slot {slot} holds {self._length_S[slot]} tokens, cannot be cut to {length}"
            )
        self._length_S[slot] = length

    def fork(self, slot: int) -> int:
        """Take a second slot with the same tokens."""
        self._check(slot)
        copy = self.take()
        length = int(self._length_S[slot])
        store = self._store_L2SHCD
        store[:, :, copy, :, :length] = store[:, :, slot, :, :length]
        self._length_S[copy] = length
        return copy

    def plan(
        self,
        slots_B: npt.NDArray[np.int64],
        starts_B: npt.NDArray[np.int64],
        counts_B: npt.NDArray[np.int64],
    ) -> int:
        """Prepare the next forward: row b writes ``counts_B[b]`` tokens from ``starts_B[b]`` on.

        Rows shorter than the longest write rubbish behind their end. Returns C, the tokens that
        the rows' context is cropped to.

        Raises:
            LocalProtocolError: slots not in use or not in increasing order, or a start beyond
                a slot's tokens.
        """
        if not bool(self._used_S[slots_B].all()) or not bool((np.diff(slots_B) > 0).all()):
            raise LocalProtocolError(f"cache: slots {slots_B.tolist()} are not in use, or in order")
        if bool((starts_B < 0).any()) or bool((starts_B > self._length_S[slots_B]).any()):
            raise LocalProtocolError(
                f"cache: rows start at {starts_B.tolist()}, "
                f"slots hold {self._length_S[slots_B].tolist()} tokens"
            )
        new = int(counts_B.max())
        self._attended = int((starts_B + counts_B).max())
        written = int(starts_B.max()) + new
        if written > self.context:
            doubled = max(written, 2 * self.context)
            context = -(-doubled // _CONTEXT_QUANTUM) * _CONTEXT_QUANTUM
            self._grow(len(self._length_S), context)
        device = self._store_L2SHCD.device
        slots = torch.from_numpy(slots_B).to(device)
        starts = torch.from_numpy(starts_B).to(device)
        if new == 1:
            self._write = (slots, starts)
        else:
            positions_BT = starts[:, None] + torch.arange(new, device=device)
            self._write = (slots[:, None].expand_as(positions_BT), positions_BT)
        first = int(slots_B[0])
        # Slots in a row are read through a view; anything else costs a copy per layer.
        in_a_row = int(slots_B[-1]) - first == len(slots_B) - 1
        self._read = slice(first, first + len(slots_B)) if in_a_row else slots
        self._length_S[slots_B] = starts_B + counts_B
        return self._attended

    def update(
        self, keys_BHTD: torch.Tensor, values_BHTD: torch.Tensor, layer: int, *_: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a layer's new keys and values; return the rows' (B, H, C, D) keys and values."""
        if self._write is None:
            raise LocalProtocolError("cache: update before plan")
        slots, positions = self._write
        store_2SHCD = self._store_L2SHCD[layer]
        out: list[torch.Tensor] = []
        for index, new_BHTD in ((0, keys_BHTD), (1, values_BHTD)):
            store_SHCD = store_2SHCD[index]
            new = new_BHTD[:, :, 0] if positions.ndim == 1 else new_BHTD.transpose(1, 2)
            store_SHCD[slots, :, positions] = new
            out.append(store_SHCD[self._read, :, : self._attended])
        return out[0], out[1]

    def _grow(self, slots: int, context: int) -> None:
        old = self._store_L2SHCD
        layers, two, old_slots, heads, old_context, head_dim = old.shape
        self._store_L2SHCD = old.new_zeros((layers, two, slots, heads, context, head_dim))
        self._store_L2SHCD[:, :, :old_slots, :, :old_context] = old
        extra = slots - old_slots
        self._length_S = np.concatenate([self._length_S, np.zeros(extra, dtype=np.int64)])
        self._used_S = np.concatenate([self._used_S, np.zeros(extra, dtype=np.bool_)])

    def _check(self, slot: int) -> None:
        if not (0 <= slot < len(self._used_S) and self._used_S[slot]):
            raise LocalProtocolError(f"cache: slot {slot} is not in use")


def as_indices(values: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return integers as an index array."""
    return np.fromiter(values, dtype=np.int64, count=len(values))
