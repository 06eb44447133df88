"""Recorded decoding steps: what they are recorded in differs from what they say in nothing.

No GPU is needed: the recorder is passed in, and one that records nothing but runs the step anew has
the same fixed shapes, fixed places and filled-up rows.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.models.forward import HostedModel
from actors.models.graphs import Record, StepGraphs
from actors.models.invariant import keep_float64
from actors.models.loading import load
from actors.models.numerics import Numerics
from actors.models.options import Decode, HostOptions
from actors.models.slots import SlotCache
from costeer.errors import ConfigError
from tests.actors.tiny_pair import CONTEXT, VOCAB, WIDTH, tiny_folder, tiny_model

Step = Callable[[], torch.Tensor]


def hosted(family: str = "qwen2", record: Record | None = None) -> HostedModel:
    """A tiny model whose logits have the same bits in every batch."""
    model = tiny_model(family)
    module: torch.nn.Module = model
    module.to(torch.float64)
    keep_float64(model, 2 * CONTEXT)
    return HostedModel(
        model,
        Numerics.BATCH_INVARIANT,
        vocab_size=WIDTH,
        max_context=CONTEXT,
        name=family,
        record=record,
    )


def again(step: Step) -> Step:
    """Record nothing: a replay runs the step, in its fixed place."""
    return step


def said(model: HostedModel, schedule: list[list[int]], seed: int) -> list[np.ndarray]:
    """Logits of each step of a schedule: which sequences get their next token."""
    rng = np.random.default_rng(seed)
    count = 1 + max(max(step) for step in schedule)
    slots = [model.cache.take() for _ in range(count)]
    texts = [rng.integers(0, VOCAB, 3 + index).tolist() for index in range(count)]
    model.forward(slots, [0] * count, texts)
    lengths = [len(text) for text in texts]
    found = []
    for step in schedule:
        tokens = [[int(rng.integers(0, VOCAB))] for _ in step]
        found.append(
            model.forward([slots[row] for row in step], [lengths[row] for row in step], tokens)
        )
        for row in step:
            lengths[row] += 1
    return found


@settings(max_examples=25)
@given(
    st.lists(st.lists(st.integers(0, 8), min_size=1, max_size=6, unique=True), min_size=1),
    st.integers(0, 1000),
)
def test_replayed_steps_have_the_bits_of_others(schedule: list[list[int]], seed: int) -> None:
    plain = said(hosted(), schedule, seed)
    replayed = said(hosted(record=again), schedule, seed)
    for one, other in zip(plain, replayed, strict=True):
        assert np.array_equal(one, other)


@pytest.mark.parametrize("family", ["qwen3", "llama", "gemma", "sliding"])
def test_in_every_family(family: str) -> None:
    schedule = [[0, 1, 2], [1], [0, 2], [2, 1, 0], [0]]
    plain, replayed = said(hosted(family), schedule, 1), said(hosted(family, again), schedule, 1)
    assert all(map(np.array_equal, plain, replayed))


def test_a_shape_is_recorded_once_until_the_cache_moves() -> None:
    recorded: list[Step] = []

    def record(step: Step) -> Step:
        recorded.append(step)
        return step

    model = hosted(record=record)
    assert len(said(model, [[0, 1, 2], [0, 1, 2, 3], [1, 2, 3], [3]], 1)) == 4
    assert len(recorded) == 2  # of four rows and of one
    assert model.cache.slots_used == 1 + 4  # the spare one
    moved = model.cache.generation
    assert len(said(model, [[0, 7, 4]], 2)) == 1
    assert model.cache.generation > moved
    assert len(recorded) == 3


def test_a_shape_holds_rows_and_context_in_powers_of_two() -> None:
    cache = SlotCache(1, 1, 4, dtype=torch.float32, device=torch.device("cpu"), context=512)

    def step(ids: torch.Tensor, positions: torch.Tensor, attended: int) -> torch.Tensor:
        del positions, attended
        return ids.float()

    steps = StepGraphs(cache, step, torch.device("cpu"), again, "counted")
    slots = np.array(sorted(cache.take() for _ in range(3)))
    for length in range(300):
        logits_BV = steps(slots, np.full(3, length), np.arange(3) + length)
        assert logits_BV.flatten().tolist() == [length, length + 1, length + 2]
    steps(slots[:1], np.array([7]), np.array([9]))
    assert steps.shapes == [(1, 128), (4, 128), (4, 256), (4, 512)]


def test_what_cannot_be_recorded_is_said() -> None:
    def record(_: Step) -> Step:
        raise RuntimeError("operation not permitted when stream is capturing\nmore")

    model = hosted(record=record)
    with pytest.raises(ConfigError, match=r"stream is capturing\); choose decode: eager"):
        model.forward([model.cache.take()], [0], [[1]])
    for device in ("cpu", "auto"):
        options = HostOptions(device=device, decode=Decode.GRAPHS)
        with pytest.raises(ConfigError, match="one CUDA device"):
            load(tiny_folder("qwen2"), Numerics.FP32, options=options)
