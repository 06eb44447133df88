"""What a device has left to do once the logits are there, and what it may have done before.

Δ and its sorting can be had while the cloud computes (`overlap`, docs/speculation.md); here both
are timed at a full vocabulary, as the hosts do them. Rows are generated (`actors.values.generated`:
V = 151,936, seed 7), 16 of them; times are medians of one thread's CPU time, torch's of wall time.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.values.generated import GeneratedConfig, RowSource
from actors.values.steering_host import LEADING
from costeer.certificate import Choice, certify_greedy, leading
from costeer.codec import CodecConfig, build_codec
from costeer.steering import PAPER, delta, strength
from experiments.bench.codec import SEED, TIME_ROWS, median_s

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt

    from costeer.codec import SparseLogits

SENT = (64, 1_024)
"""Ranks of the first frame."""
_C = strength(**PAPER)


@dataclass(frozen=True, slots=True)
class _Step:
    """One token at the device: what came down, and what its small model says.

    Args:
        sent: the logits that came.
        base_V: of the small model without the context.
        pers_V: with it.
        delta_V: what the two come to.
        leading_M: ids of the greatest of these.
    """

    sent: SparseLogits
    base_V: npt.NDArray[np.float64]
    pers_V: npt.NDArray[np.float64]
    delta_V: npt.NDArray[np.float64]
    leading_M: npt.NDArray[np.int32]

    def with_nothing(self) -> Choice:
        """Choose, Δ included."""
        return self._choice(delta(self.pers_V, self.base_V))

    def with_delta(self) -> Choice:
        """Choose, Δ being there: the best unsent token is searched for in all of it."""
        return self._choice(self.delta_V)

    def with_sorted(self) -> Choice:
        """Choose, the best unsent token being looked up."""
        return self._choice(self.delta_V, self.leading_M)

    def _choice(
        self, delta_V: npt.NDArray[np.float64], leading_M: npt.NDArray[np.int32] | None = None
    ) -> Choice:
        sent = self.sent
        return certify_greedy(
            sent.ids_K, sent.logits_K, sent.floor, delta_V, _C, leading_M=leading_M
        )


def run(repeats: int = 20, vocab_size: int = 151_936, seed: int = SEED) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `repeats` and `median_s`: what is left, then what came before."""
    source = RowSource(GeneratedConfig(vocab_size=vocab_size), seed)
    rows: list[dict[str, Any]] = []
    steps: list[_Step] = []

    def timed(
        case: str,
        call: Callable[[_Step], object],
        clock: Callable[[], int] = time.thread_time_ns,
    ) -> None:
        taken_s = median_s(repeats, lambda i: call(steps[i % TIME_ROWS]), clock)
        rows.append({"bench": "overlap", "case": case, "repeats": repeats, "median_s": taken_s})

    for k in SENT:
        steps = _steps(source, k)
        timed(f"top-{k} came: Δ, steer, certify", _Step.with_nothing)
        timed(f"top-{k} came, Δ there: steer, certify", _Step.with_delta)
        timed(f"top-{k} came, Δ sorted: steer, certify", _Step.with_sorted)
    timed("before: Δ, numpy fp64", lambda step: delta(step.pers_V, step.base_V))
    timed(f"before: {LEADING:,} greatest of it", lambda step: leading(step.delta_V, LEADING))
    timed("before: Δ, torch fp32", _torch_delta(steps[0]), time.perf_counter_ns)
    return rows


def _steps(source: RowSource, k: int) -> list[_Step]:
    codec = build_codec(CodecConfig.model_validate(f"top{k}-bf16-packed"), source.vocab_size)
    steps = []
    for position in range(TIME_ROWS):
        base_V = source.logits(1, position).astype(np.float64)
        pers_V = base_V + source.delta(0, position)
        delta_V = delta(pers_V, base_V)
        sent = codec.decode(codec.encode(source.logits(0, position)))
        steps.append(_Step(sent, base_V, pers_V, delta_V, leading(delta_V, LEADING)))
    return steps


def _torch_delta(step: _Step) -> Callable[[_Step], object]:
    import torch  # noqa: PLC0415 - heavy, and only this measurement needs it

    pers_V, base_V = (torch.tensor(row_V).float() for row_V in (step.pers_V, step.base_V))
    return lambda _: delta(pers_V, base_V)
