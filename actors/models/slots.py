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
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from actors.models.transfer import upload
from costeer.errors import LocalProtocolError

_CONTEXT_QUANTUM = 64


@dataclass(frozen=True, slots=True)
class _Plan:
    """Where the next forward writes and reads, as indices on one device."""

    slots: torch.Tensor
    """(B,) or (B, T)."""
    positions: torch.Tensor
    """Of the same shape."""
    read: slice | torch.Tensor
    """The rows' slots."""


class SlotCache:
    """Keys and values of all slots; duck-types the cache that transformers' layers call.

    Args:
        layers: number of layers.
        heads: key-value heads.
        head_dim: dimension of a head.
        dtype: of keys and values.
        device: where they live; a list of one per layer where a model is spread.
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
        device: torch.device | Sequence[torch.device],
        slots: int = 8,
        context: int = 128,
    ) -> None:
        self._devices = [device] * layers if isinstance(device, torch.device) else list(device)
        shape = (2, slots, heads, context, head_dim)
        self._store_L = [torch.zeros(shape, dtype=dtype, device=each) for each in self._devices]
        self._length_S: npt.NDArray[np.int64] = np.zeros(slots, dtype=np.int64)
        self._used_S: npt.NDArray[np.bool_] = np.zeros(slots, dtype=np.bool_)
        self._free = list(range(slots - 1, -1, -1))
        self._plans: dict[torch.device, _Plan] = {}
        self._attended = 0
        self._generation = 0

    @property
    def generation(self) -> int:
        """Grows whenever the store moves to other memory."""
        return self._generation

    @property
    def slots_used(self) -> int:
        """Slots in use."""
        return int(self._used_S.sum())

    @property
    def context(self) -> int:
        """Tokens a slot can hold now."""
        return int(self._store_L[0].shape[3])

    @property
    def allocated_bytes(self) -> int:
        """Bytes of the store as it has grown."""
        return sum(store.numel() * store.element_size() for store in self._store_L)

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
        for store_2SHCD in self._store_L:
            store_2SHCD[:, copy, :, :length] = store_2SHCD[:, slot, :, :length]
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
            LocalProtocolError: as ``admit``.
        """
        self._attended = self.admit(slots_B, starts_B, counts_B)
        first = int(slots_B[0])
        # Slots in a row are read through a view; anything else costs a copy per layer.
        in_a_row = int(slots_B[-1]) - first == len(slots_B) - 1
        view = slice(first, first + len(slots_B)) if in_a_row else None
        new = int(counts_B.max())
        self._plans = {
            device: _plan_on(device, slots_B, starts_B, new, view) for device in set(self._devices)
        }
        return self._attended

    def address(
        self, device: torch.device, slots_B: torch.Tensor, positions_B: torch.Tensor, context: int
    ) -> None:
        """Point the next forward at rows of one token each that the device itself looks up.

        What is written and read is what the tensors hold when the forward runs, which may be many
        times; ``admit`` is told of each of them.

        Args:
            device: where the store and the tensors are.
            slots_B: where each row is.
            positions_B: of its new token.
            context: tokens of each slot that are read; the store holds them.
        """
        self._attended = context
        self._plans = {device: _Plan(slots_B, positions_B, slots_B)}

    def admit(
        self,
        slots_B: npt.NDArray[np.int64],
        starts_B: npt.NDArray[np.int64],
        counts_B: npt.NDArray[np.int64],
    ) -> int:
        """Take note of what rows are about to write, and make room; returns what they attend to.

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
        written = int(starts_B.max()) + int(counts_B.max())
        if written > self.context:
            doubled = max(written, 2 * self.context)
            context = -(-doubled // _CONTEXT_QUANTUM) * _CONTEXT_QUANTUM
            self._grow(len(self._length_S), context)
        self._length_S[slots_B] = starts_B + counts_B
        return int((starts_B + counts_B).max())

    def update(
        self, keys_BHTD: torch.Tensor, values_BHTD: torch.Tensor, layer: int, *_: object
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Store a layer's new keys and values; return the rows' (B, H, C, D) keys and values."""
        plan = self._plans.get(self._devices[layer])
        if plan is None:
            raise LocalProtocolError("cache: update before plan")
        slots, positions = plan.slots, plan.positions
        store_2SHCD = self._store_L[layer]
        out: list[torch.Tensor] = []
        for index, new_BHTD in ((0, keys_BHTD), (1, values_BHTD)):
            store_SHCD = store_2SHCD[index]
            new = new_BHTD[:, :, 0] if positions.ndim == 1 else new_BHTD.transpose(1, 2)
            store_SHCD[slots, :, positions] = new
            out.append(store_SHCD[plan.read, :, : self._attended])
        return out[0], out[1]

    def _grow(self, slots: int, context: int) -> None:
        old_slots, old_context = len(self._length_S), self.context
        self._generation += 1
        for layer, old in enumerate(self._store_L):
            _, _, heads, _, head_dim = old.shape
            store = old.new_zeros((2, slots, heads, context, head_dim))
            store[:, :old_slots, :, :old_context] = old
            self._store_L[layer] = store
        extra = slots - old_slots
        self._length_S = np.concatenate([self._length_S, np.zeros(extra, dtype=np.int64)])
        self._used_S = np.concatenate([self._used_S, np.zeros(extra, dtype=np.bool_)])

    def _check(self, slot: int) -> None:
        if not (0 <= slot < len(self._used_S) and self._used_S[slot]):
            raise LocalProtocolError(f"cache: slot {slot} is not in use")


def _plan_on(
    device: torch.device,
    slots_B: npt.NDArray[np.int64],
    starts_B: npt.NDArray[np.int64],
    new: int,
    view: slice | None,
) -> _Plan:
    slots, starts = upload(slots_B, device), upload(starts_B, device)
    read = slots if view is None else view
    if new == 1:
        return _Plan(slots, starts, read)
    positions_BT = starts[:, None] + torch.arange(new, device=device)
    return _Plan(slots[:, None].expand_as(positions_BT), positions_BT, read)


def as_indices(values: Sequence[int]) -> npt.NDArray[np.int64]:
    """Return integers as an index array."""
    return np.fromiter(values, dtype=np.int64, count=len(values))
