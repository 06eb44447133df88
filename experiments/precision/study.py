"""Flips: where another arithmetic, or another batch, would have chosen another token.

All arithmetics read the same texts, those that the reference writes, token by token: once every
row alone, once all rows in one batch. So each step has the same prefix everywhere, and a flip is a
flip of that step alone. The reference is the batch-invariant arithmetic (float64 on the bf16 grid),
or float32 where a model is too large for it.

Legend: B rows, T steps, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.models.chat import prompt_encoder
from actors.models.forward import HostedModel
from actors.models.loading import load
from actors.models.numerics import Numerics
from experiments.pair_limits import vocab_size_of
from experiments.progress import Progress
from experiments.scenario import HfModel, Scenario
from experiments.workload import load_rows

F32 = npt.NDArray[np.float32]
I64 = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Precision:
    """One arithmetic of one model.

    Args:
        model: what reports call it.
        numerics: its name.
        tokens: steps compared.
        batch_flips: choices that differ between a row alone and the same row in a batch.
        batch_nats: largest difference of a logit between the two.
        reference_flips: choices, each row alone, that differ from the reference's.
        reference_nats: largest difference of a logit from the reference's.
        margin_p1: margin that 1 % of the choices fall short of, nats.
        margin_p10: the same for 10 %.
        ties: steps whose two best logits are equal; the lowest id wins them.
    """

    model: str
    numerics: str
    tokens: int
    batch_flips: int
    batch_nats: float
    reference_flips: int
    reference_nats: float
    margin_p1: float
    margin_p10: float
    ties: int


def study_precision(
    scenario: Scenario, rows: int, new_tokens: int, progress: Progress, *, large: bool = False
) -> list[Precision]:
    """Measure both models of a pair.

    Args:
        scenario: names the pair and its prompts.
        rows: that make up the batch.
        new_tokens: steps.
        progress: told of models.
        large: leave out float64, which a large model has no memory or time for.

    Raises:
        ConfigError: models or prompts cannot be had.
    """
    models = scenario.models
    encode = prompt_encoder(models.tokenizer_location, models.chat.build() if models.chat else None)
    prompts = [encode(row.input) for row in load_rows(scenario.workload.prompts, rows)]
    size = vocab_size_of(models)
    cloud = models.hosted_cloud("comparing arithmetics")
    found: list[Precision] = []
    for model in (cloud, models.edge):
        progress.note(f"numerics: {model.title}")
        found += _of_model(model, prompts, new_tokens, size, large=large)
    return found


def _of_model(
    model: HfModel, prompts: Sequence[Sequence[int]], new_tokens: int, size: int, *, large: bool
) -> list[Precision]:
    order = [Numerics.FP32, Numerics.BF16]
    if not large:
        order.insert(0, Numerics.BATCH_INVARIANT)
    reference_TBV: F32 | None = None
    chosen_TB: I64 | None = None
    found = []
    for numerics in order:
        hosted = load(model.location, numerics, vocab_size=size, options=model.options)
        together_TBV = _read(hosted, prompts, new_tokens, chosen_TB)
        if chosen_TB is None:
            chosen_TB = together_TBV.argmax(-1)
        alone = [
            _read(hosted, [prompt], new_tokens, chosen_TB[:, [row]])
            for row, prompt in enumerate(prompts)
        ]
        alone_TBV = np.concatenate(alone, axis=1)
        if reference_TBV is None:
            reference_TBV = alone_TBV
        found.append(_compared(model.title, numerics, together_TBV, alone_TBV, reference_TBV))
    return found


def _read(
    hosted: HostedModel, prompts: Sequence[Sequence[int]], steps: int, chosen_TB: I64 | None
) -> F32:
    """Logits (T, B, V) along given tokens; along the model's own where none are given."""
    slots = [hosted.cache.take() for _ in prompts]
    starts = [0] * len(prompts)
    runs: list[Sequence[int]] = list(prompts)
    rows = []
    for step in range(steps):
        logits_BV = hosted.forward(slots, starts, runs)
        rows.append(logits_BV)
        starts = [start + len(run) for start, run in zip(starts, runs, strict=True)]
        next_B = logits_BV.argmax(-1) if chosen_TB is None else chosen_TB[step]
        runs = [[int(token)] for token in next_B]
    for slot in slots:
        hosted.cache.free(slot)
    return np.stack(rows)


def _compared(
    title: str, numerics: Numerics, together_TBV: F32, alone_TBV: F32, reference_TBV: F32
) -> Precision:
    best_TB = alone_TBV.argmax(-1)
    two_TB2 = np.partition(alone_TBV, -2, axis=-1)[..., -2:]
    margins = (two_TB2[..., 1] - two_TB2[..., 0]).ravel()
    return Precision(
        model=title,
        numerics=numerics.value,
        tokens=int(best_TB.size),
        batch_flips=int((together_TBV.argmax(-1) != best_TB).sum()),
        batch_nats=float(np.abs(together_TBV - alone_TBV).max()),
        reference_flips=int((reference_TBV.argmax(-1) != best_TB).sum()),
        reference_nats=float(np.abs(reference_TBV - alone_TBV).max()),
        margin_p1=float(np.percentile(margins, 1)),
        margin_p10=float(np.percentile(margins, 10)),
        ties=int((margins == 0).sum()),
    )
