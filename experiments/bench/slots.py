"""The slot cache at work: one forward for all rows against one forward per row.

Models are random Qwen2 of the shipped pair's size (5 M and 1 M parameters, 4,096 logits), rows
decode one token each at positions of their own, some hundred tokens into their text. The overhead
is what a model of the same depth and next to no width takes for the same batch: Python, dispatch
and index building, but no arithmetic to speak of. Times are medians on the present machine.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np

from actors.models.numerics import Numerics

if TYPE_CHECKING:
    from collections.abc import Callable

    from actors.models.forward import HostedModel

VOCAB_SIZE = 4096
CONTEXT = 512
ROWS = (1, 8, 24, 64)
SHAPES = {
    "5M": {"hidden_size": 256, "intermediate_size": 768, "num_hidden_layers": 5},
    "1M": {"hidden_size": 128, "intermediate_size": 352, "num_hidden_layers": 3},
}
_HEADS = {"num_attention_heads": 4, "num_key_value_heads": 2}


def run(repeats: int = 20, seed: int = 7) -> list[dict[str, Any]]:
    """Rows of `bench`, `case`, `rows`, `repeats`, `median_s` of a step and `tokens_per_s`.

    Batches also have `speedup` (over row by row) and `overhead_share`.
    """
    measured: list[dict[str, Any]] = []
    for size, shape in SHAPES.items():
        narrow = {**shape, "hidden_size": 8, "intermediate_size": 8}
        bare = _hosted(narrow, Numerics.BATCH_INVARIANT, seed, vocab_size=32)
        overhead_s = {rows: _step_s(bare, rows, repeats, seed) for rows in ROWS}
        for numerics in (Numerics.FP32, Numerics.BATCH_INVARIANT):
            model = _hosted(shape, numerics, seed)
            for rows in ROWS:
                measured += _compared(f"{size} {numerics.value}", model, rows, repeats, seed)
                batch = measured[-1]
                batch["overhead_share"] = min(1.0, overhead_s[rows] / batch["median_s"])
    return measured


def _compared(
    case: str, model: HostedModel, rows: int, repeats: int, seed: int
) -> list[dict[str, Any]]:
    single_s = _step_s(model, rows, max(3, repeats // rows), seed, one_by_one=True)
    batch_s = _step_s(model, rows, repeats, seed)
    common = {"case": f"{case}, {rows} rows", "rows": rows, "repeats": repeats}
    return [
        {
            "bench": "slots row by row",
            **common,
            "median_s": single_s,
            "tokens_per_s": rows / single_s,
        },
        {
            "bench": "slots one forward",
            **common,
            "median_s": batch_s,
            "tokens_per_s": rows / batch_s,
            "speedup": single_s / batch_s,
        },
    ]


def _hosted(
    shape: dict[str, int], numerics: Numerics, seed: int, vocab_size: int = VOCAB_SIZE
) -> HostedModel:
    import torch  # noqa: PLC0415 - heavy, as is what follows
    from transformers import Qwen2Config, Qwen2ForCausalLM  # noqa: PLC0415

    from actors.models.forward import HostedModel  # noqa: PLC0415
    from actors.models.invariant import keep_float64  # noqa: PLC0415

    torch.manual_seed(seed)
    config = Qwen2Config(
        vocab_size=vocab_size,
        max_position_embeddings=CONTEXT,
        tie_word_embeddings=True,
        bos_token_id=0,
        eos_token_id=1,
        **shape,  # type: ignore[arg-type]  # every value is a number of something
        **_HEADS,  # type: ignore[arg-type]  # as above
    )
    model = Qwen2ForCausalLM(config)
    module: torch.nn.Module = model
    module.to(getattr(torch, numerics.dtype_name)).eval().requires_grad_(requires_grad=False)
    if numerics is Numerics.BATCH_INVARIANT:
        keep_float64(model, CONTEXT)
    return HostedModel(
        model, numerics, vocab_size=vocab_size, max_context=CONTEXT, name="random Qwen2"
    )


def _step_s(
    model: HostedModel, rows: int, repeats: int, seed: int, *, one_by_one: bool = False
) -> float:
    """Median seconds of one decoding step of so many rows."""
    rng = np.random.default_rng(seed)
    slots = [model.cache.take() for _ in range(rows)]
    starts: list[int] = (100 + rng.integers(0, 50, rows)).tolist()
    prompts = [rng.integers(0, 32, start).tolist() for start in starts]
    model.forward(slots, [0] * rows, prompts)
    tokens = [(5,)] * rows

    def batch() -> None:
        model.forward(slots, starts, tokens)

    def singles() -> None:
        for slot, start, token in zip(slots, starts, tokens, strict=True):
            model.forward([slot], [start], [token])

    median_s = _median_s(repeats, singles if one_by_one else batch)
    for slot in slots:
        model.cache.free(slot)
    return median_s


def _median_s(repeats: int, call: Callable[[], None]) -> float:
    call()
    times_ns = []
    for _ in range(repeats):
        start_ns = time.perf_counter_ns()
        call()
        times_ns.append(time.perf_counter_ns() - start_ns)
    return statistics.median(times_ns) * 1e-9
