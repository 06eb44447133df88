"""One forward for rows at different positions with different numbers of new tokens.

Theory
------
Rows are sorted into groups by the power of two that holds their number of new tokens, so that a
prompt chunk does not pad a hundred decoding rows to its own length; each group is one call of the
model. Inside a group short rows are padded behind their end: padding occupies positions that its
own sequence has not reached, so it is written where the next token will cover it, and no valid
token attends to it. Masked keys are given the dtype's smallest number: its exponential is exactly
zero, and a row is never NaN. Only the tokens whose logits are wanted go through the output layer.

Large groups are cut, so that a thousand prompts that arrive at once do not need the memory of one
forward of a thousand prompts.

Legend: B rows, T new tokens, C attended context, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import torch

from actors.models.architecture import architecture_of
from actors.models.graphs import MAX_ROWS, Record, StepGraphs
from actors.models.numerics import Numerics
from actors.models.options import Head
from actors.models.slots import SlotCache, as_indices
from actors.models.transfer import download, upload
from costeer.errors import ConfigError, LocalProtocolError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

_MAX_ROWS = MAX_ROWS
_MAX_TOKENS = 8192
"""What one call of the model takes: rows, and rows times the longest row's new tokens."""


class HostedModel:
    """A causal language model with the cache of all its sequences.

    Args:
        model: a causal language model of transformers, in the numerics' dtype.
        numerics: arithmetic; ``BATCH_INVARIANT`` rounds the logits to the bf16 grid.
        vocab_size: logits that are kept; the rest is the padding of the output layer.
        max_context: tokens that one sequence may have.
        name: what error messages call it.
        head: in what logits are computed.
        record: how steps of decoding are recorded; each is asked for kernel by kernel if None.

    Raises:
        ConfigError: the slot cache cannot host its architecture, or steps of a model that is
            spread over devices are to be recorded.
    """

    def __init__(
        self,
        model: PreTrainedModel,
        numerics: Numerics,
        *,
        vocab_size: int,
        max_context: int,
        name: str,
        head: Head = Head.MODEL,
        record: Record | None = None,
    ) -> None:
        self._numerics = numerics
        self._shape = architecture_of(model.config, name)
        # transformers annotates neither of the two.
        self._decoder = model.get_decoder()  # type: ignore[no-untyped-call]
        output = model.get_output_embeddings()  # type: ignore[no-untyped-call]
        self._device: torch.device = output.weight.device
        self._head = OutputLayer(output, vocab_size, head, self._shape.final_softcap)
        devices = _layer_devices(self._decoder, self._shape.layers, self._device)
        self._entry = entry_device(model)
        self._dtype: torch.dtype = model.dtype
        self.cache = SlotCache(
            self._shape.layers,
            self._shape.heads,
            self._shape.head_dim,
            dtype=self._dtype,
            device=devices,
        )
        self.vocab_size = vocab_size
        self.max_context = max_context
        self.name = name
        self._steps: StepGraphs | None = None
        if record is not None:
            if {*devices, self._entry, self._device} != {self._device}:
                raise ConfigError(
                    f"model {name}: steps of a model that is spread over devices cannot be"
                    " recorded; choose decode: eager, or one device"
                )
            self._steps = StepGraphs(self.cache, self._step, self._device, record, name)

    def forward(
        self, slots: Sequence[int], starts: Sequence[int], tokens: Sequence[Sequence[int]]
    ) -> npt.NDArray[np.float32]:
        """As ``forward_tensor`` for each row's last token, with the logits brought to the host."""
        logits: npt.NDArray[np.float32]
        (logits,) = download(self.forward_tensor(slots, starts, tokens))
        return logits

    @property
    def on_accelerator(self) -> bool:
        """Whether the model, and so its logits, live elsewhere than in the host's memory."""
        return self._device.type != "cpu"

    def forward_tensor(
        self,
        slots: Sequence[int],
        starts: Sequence[int],
        tokens: Sequence[Sequence[int]],
        wanted: Sequence[int] | None = None,
    ) -> torch.Tensor:
        """Extend slots by new tokens; the logits after the last of them, where the model is.

        A start before the end of a slot forgets the slot's tokens from there on.

        Args:
            slots: one distinct slot per row.
            starts: position of each row's first new token.
            tokens: at least one new token id per row.
            wanted: how many of each row's new tokens, its last ones, give logits; one if not said.

        Returns:
            Logits of shape (N, V): those of the first row's tokens in their order, then the
            second's, and so on; N is the sum of ``wanted``.

        Raises:
            ConfigError: a row would be longer than the model allows.
            LocalProtocolError: no rows or an empty one; a slot is not in use, occurs twice, or
                is shorter than its start.
        """
        slots_B, starts_B = as_indices(slots), as_indices(starts)
        counts_B = as_indices([len(run) for run in tokens])
        if not tokens or not counts_B.all():
            raise LocalProtocolError(f"model {self.name}: a row has at least one new token")
        self._check_context(starts_B, counts_B)
        wanted_B = np.ones_like(counts_B) if wanted is None else as_indices(wanted)
        if bool((wanted_B > counts_B).any()):
            raise LocalProtocolError(f"model {self.name}: more logits wanted than new tokens")
        ends_B = np.cumsum(wanted_B)
        logits_NV = torch.empty(
            (int(ends_B[-1]), self.vocab_size), dtype=torch.float32, device=self._device
        )
        with torch.inference_mode():
            for rows in _groups(slots_B, counts_B):
                padded_BT = _padded([tokens[row] for row in rows.tolist()], counts_B[rows])
                if self._steps is not None and padded_BT.shape[1] == 1:
                    found = self._steps(slots_B[rows], starts_B[rows], padded_BT[:, 0])
                else:
                    last = _last_tokens(counts_B[rows], wanted_B[rows])
                    found = self._group(
                        slots_B[rows], starts_B[rows], counts_B[rows], padded_BT, last
                    )
                place_N = _ranges(ends_B[rows] - wanted_B[rows], wanted_B[rows])
                logits_NV[upload(place_N, self._device)] = found
        return logits_NV

    def _check_context(
        self, starts_B: npt.NDArray[np.int64], counts_B: npt.NDArray[np.int64]
    ) -> None:
        longest = int((starts_B + counts_B).max())
        if longest > self.max_context:
            raise ConfigError(
                f"model {self.name}: a session needs {longest} tokens of context, the limit is "
                f"{self.max_context}; shorten the prompt, lower workload.max_new_tokens, or "
                "choose a model with a longer context"
            )

    def _group(
        self,
        slots_B: npt.NDArray[np.int64],
        starts_B: npt.NDArray[np.int64],
        counts_B: npt.NDArray[np.int64],
        padded_BT: npt.NDArray[np.int64],
        wanted: tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]],
    ) -> torch.Tensor:
        """Run one call of the model; the logits after ``wanted``, (row, token) of each."""
        attended = self.cache.plan(slots_B, starts_B, counts_B)
        positions_BT = upload(
            starts_B[:, None] + np.arange(padded_BT.shape[1], dtype=np.int64), self._entry
        )
        hidden_BTH = self._decoded(upload(padded_BT, self._entry), positions_BT, attended)
        rows, columns = (upload(each, self._device) for each in wanted)
        return self._logits(hidden_BTH[rows, columns])

    def _step(
        self, ids_B1: torch.Tensor, positions_B1: torch.Tensor, attended: int
    ) -> torch.Tensor:
        """Run one call of the model for rows of one token; their logits."""
        return self._logits(self._decoded(ids_B1, positions_B1, attended)[:, 0])

    def _decoded(
        self, ids_BT: torch.Tensor, positions_BT: torch.Tensor, attended: int
    ) -> torch.Tensor:
        """Hidden states, where the output layer is."""
        hidden_BTH: torch.Tensor = self._decoder(
            input_ids=ids_BT,
            position_ids=positions_BT,
            attention_mask=self._mask(positions_BT, attended),
            past_key_values=self.cache,
            use_cache=True,
        ).last_hidden_state.to(self._device)
        return hidden_BTH

    def _logits(self, hidden_NH: torch.Tensor) -> torch.Tensor:
        logits_NV = self._head(hidden_NH)
        if self._numerics is Numerics.BATCH_INVARIANT:
            logits_NV = _on_wire_grid(logits_NV)
        return logits_NV.to(torch.float32)

    def _mask(self, positions_BT: torch.Tensor, attended: int) -> object:
        """Additive (B, 1, T, C) mask, or one per kind of layer where kinds differ."""
        keys_C = torch.arange(attended, device=positions_BT.device)
        queries_B1T1 = positions_BT[:, None, :, None]
        causal = keys_C <= queries_B1T1
        window = self._shape.window
        if window is None:
            return self._additive(causal)
        near = self._additive(causal & (keys_C > queries_B1T1 - window))
        if not self._shape.kinds:
            return near
        return {"full_attention": self._additive(causal), "sliding_attention": near}

    def _additive(self, admitted: torch.Tensor) -> torch.Tensor:
        lowest = torch.finfo(self._dtype).min
        zeros = torch.zeros(admitted.shape, dtype=self._dtype, device=admitted.device)
        return zeros.masked_fill_(~admitted, lowest)


class OutputLayer:
    """From a hidden state to the logits that are kept.

    Args:
        layer: the model's own.
        vocab_size: logits that are kept.
        head: in what they are computed.
        softcap: logits x come out as softcap·tanh(x / softcap); as they are if None.
    """

    def __init__(
        self, layer: torch.nn.Linear, vocab_size: int, head: Head, softcap: float | None
    ) -> None:
        weight_VH: torch.Tensor = layer.weight[:vocab_size]
        bias_V: torch.Tensor | None = layer.bias
        if bias_V is not None:
            bias_V = bias_V[:vocab_size]
        if head is Head.FP32:
            weight_VH = weight_VH.float()
            bias_V = None if bias_V is None else bias_V.float()
        self._weight_VH = weight_VH
        self._bias_V = bias_V
        self._dtype = weight_VH.dtype
        self._softcap = softcap

    def __call__(self, hidden_BH: torch.Tensor) -> torch.Tensor:
        """Logits of (B, H) hidden states."""
        hidden_BH = hidden_BH.to(self._dtype)
        logits_BV = torch.nn.functional.linear(hidden_BH, self._weight_VH, self._bias_V)
        if self._softcap is None:
            return logits_BV
        return torch.tanh(logits_BV / self._softcap) * self._softcap


def entry_device(model: PreTrainedModel) -> torch.device:
    """Where a model takes its token ids."""
    embedding: torch.nn.Module = model.get_input_embeddings()
    return next(embedding.parameters()).device


def _layer_devices(
    decoder: torch.nn.Module, layers: int, default: torch.device
) -> list[torch.device]:
    """Where each layer lives; models that were spread keep theirs apart."""
    found = [
        next((each.device for each in layer.parameters()), default)
        for layer in getattr(decoder, "layers", ())
    ]
    return found if len(found) == layers else [default] * layers


def _on_wire_grid(logits_BV: torch.Tensor) -> torch.Tensor:
    """Round to bf16, but below 1 to steps of 2^-8, which are bf16 numbers too.

    bf16's steps shrink with the number; near zero they would come down to the rounding noise that
    they are there to absorb.
    """
    steps_BV = (logits_BV * 256).round_() / 256
    return torch.where(logits_BV.abs() < 1, steps_BV, logits_BV).to(torch.bfloat16)


def _groups(
    slots_B: npt.NDArray[np.int64], counts_B: npt.NDArray[np.int64]
) -> list[npt.NDArray[np.intp]]:
    """Rows that one call of the model takes together, each group in the order of its slots."""
    longest = int(counts_B.max())
    if longest == 1 and len(slots_B) <= _MAX_ROWS:
        return [np.argsort(slots_B)]
    ceilings_B = np.ceil(np.log2(counts_B)).astype(np.int64)
    order_B = np.lexsort((slots_B, ceilings_B))
    groups = []
    for alike in np.split(order_B, np.flatnonzero(np.diff(ceilings_B[order_B])) + 1):
        rows = max(1, min(_MAX_ROWS, _MAX_TOKENS // int(counts_B[alike].max())))
        groups += [alike[first : first + rows] for first in range(0, len(alike), rows)]
    return groups


def _ranges(
    firsts_B: npt.NDArray[np.int64], counts_B: npt.NDArray[np.int64]
) -> npt.NDArray[np.int64]:
    """Return ``counts_B[b]`` numbers from ``firsts_B[b]`` on, for one b after the other."""
    before_B = np.cumsum(counts_B) - counts_B
    places_N: npt.NDArray[np.int64] = np.repeat(firsts_B - before_B, counts_B)
    return places_N + np.arange(len(places_N))


def _last_tokens(
    counts_B: npt.NDArray[np.int64], wanted_B: npt.NDArray[np.int64]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Return (row, token) of the last ``wanted_B[b]`` of each row's ``counts_B[b]`` tokens."""
    rows_N = np.repeat(np.arange(len(counts_B)), wanted_B)
    return rows_N, _ranges(counts_B - wanted_B, wanted_B)


def _padded(runs: list[Sequence[int]], counts_B: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    longest = int(counts_B.max())
    total = int(counts_B.sum())
    flat = np.fromiter(chain.from_iterable(runs), dtype=np.int64, count=total)
    if total == longest * len(runs):
        return flat.reshape(len(runs), longest)
    padded_BT = np.zeros((len(runs), longest), dtype=np.int64)
    padded_BT[np.arange(longest) < counts_B[:, None]] = flat
    return padded_BT
