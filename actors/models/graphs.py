"""Decoding steps of a fixed shape: recorded once, then replayed.

Theory
------
A decoding step of a large model is hundreds of small kernels. At small batches asking for them one
by one takes a GPU's host longer than the GPU takes to carry them out; a CUDA graph asks for all of
them at once. A graph's shapes and addresses are fixed, so a step runs in a shape that holds it:
rows are filled up to a power of two by rows that write rubbish into a slot of their own, the
attended context up to a power of two by tokens that the mask keeps out. What changes from step to
step (ids, positions, slots) is copied into the same place each time.

A filled-up step reads at most twice the context and twice the rows that it needs. The slot cache
moves when it grows; what was recorded before is then recorded anew.

Legend: B rows, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import torch

from actors.models.slots import SlotCache
from actors.models.transfer import upload
from costeer.errors import ConfigError

Step: TypeAlias = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]
"""One call of the model: (ids_B1, positions_B1, attended context) to logits_BV."""

Record: TypeAlias = Callable[[Callable[[], torch.Tensor]], Callable[[], torch.Tensor]]
"""Takes what a step does; returns what does it again, with the result in the same place."""

MAX_ROWS = 256
"""Steps of more rows are not recorded: there the GPU is busy anyway."""

_LEAST_CONTEXT = 128
_WARM_UPS = 2
"""Runs before a recording, in which libraries choose their kernels and allocate."""


def recorded_on_cuda(device: torch.device) -> Record:
    """Record steps as CUDA graphs that share one pool of memory."""
    pool = torch.cuda.graph_pool_handle()

    def record(step: Callable[[], torch.Tensor]) -> Callable[[], torch.Tensor]:
        aside = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]  # torch does not annotate it
        aside.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(aside):
            for _ in range(_WARM_UPS):
                step()
        torch.cuda.current_stream(device).wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, pool=pool):
            logits_BV = step()

        def replay() -> torch.Tensor:
            graph.replay()
            return logits_BV

        return replay

    return record


class StepGraphs:
    """Carries out decoding steps by replaying recorded ones.

    Args:
        cache: of the model; a slot of it is taken for rows that fill up.
        step: one call of the model.
        device: where all of it lives.
        record: how a step is recorded.
        name: what error messages call the model.
    """

    def __init__(
        self, cache: SlotCache, step: Step, device: torch.device, record: Record, name: str
    ) -> None:
        self._cache = cache
        self._step = step
        self._device = device
        self._record = record
        self._name = name
        self._spare = cache.take()
        self._generation = cache.generation
        self._recorded: dict[tuple[int, int], tuple[torch.Tensor, Callable[[], torch.Tensor]]] = {}

    @property
    def shapes(self) -> list[tuple[int, int]]:
        """Shapes that are recorded now, (rows, context) each."""
        return sorted(self._recorded)

    def __call__(
        self,
        slots_B: npt.NDArray[np.int64],
        starts_B: npt.NDArray[np.int64],
        ids_B: npt.NDArray[np.int64],
    ) -> torch.Tensor:
        """Extend slots by one token each; the (B, V) logits, valid until the next step.

        Args:
            slots_B: in increasing order.
            starts_B: position of each row's token.
            ids_B: the tokens.

        Raises:
            ConfigError: the device cannot record the model's steps.
            LocalProtocolError: as `SlotCache.plan`.
        """
        attended = self._cache.admit(slots_B, starts_B, np.ones_like(starts_B))
        if self._cache.generation != self._generation:
            self._recorded.clear()
            self._generation = self._cache.generation
        shape = (
            _ceiling(len(ids_B), 1),
            min(_ceiling(attended, _LEAST_CONTEXT), self._cache.context),
        )
        filled_3B = np.zeros((3, shape[0]), dtype=np.int64)
        filled_3B[2] = self._spare
        filled_3B[:, : len(ids_B)] = ids_B, starts_B, slots_B
        given_3B = upload(filled_3B, self._device)
        if shape not in self._recorded:
            self._recorded[shape] = self._recording(given_3B, shape[1])
        input_3B, replay = self._recorded[shape]
        input_3B.copy_(given_3B)
        return replay()[: len(ids_B)]

    def _recording(
        self, input_3B: torch.Tensor, attended: int
    ) -> tuple[torch.Tensor, Callable[[], torch.Tensor]]:
        input_3B = input_3B.clone()
        ids_B, positions_B, slots_B = input_3B.unbind()

        def step() -> torch.Tensor:
            self._cache.address(self._device, slots_B, positions_B, attended)
            return self._step(ids_B[:, None], positions_B[:, None], attended)

        try:
            return input_3B, self._record(step)
        except RuntimeError as error:
            reason = str(error).strip().partition("\n")[0]
            raise ConfigError(
                f"model {self._name}: its decoding steps cannot be recorded on {self._device}"
                f" ({reason}); choose decode: eager"
            ) from error


def _ceiling(count: int, least: int) -> int:
    """Return the power of two that holds a count."""
    return max(least, 1 << (count - 1).bit_length())
