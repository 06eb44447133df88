"""Batch invariance: the same bits whoever else is in the batch, in whatever pieces a text comes."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.models.forward import HostedModel
from actors.models.loading import load
from actors.models.numerics import Numerics
from tests.actors.tiny_pair import VOCAB, tiny_folder

LENGTH = 20
TEXTS = 16
SHIPPED = Path(__file__).parents[2] / "experiments" / "pair" / "models"


@cache
def hosted(folder: Path) -> HostedModel:
    return load(folder, Numerics.BATCH_INVARIANT)


@cache
def texts(vocab: int, length: int = LENGTH) -> list[list[int]]:
    drawn: list[list[int]] = np.random.default_rng(5).integers(0, vocab, (TEXTS, length)).tolist()
    return drawn


def bits(logits: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(logits).view(np.uint32)


@cache
def reference(folder: Path) -> np.ndarray:
    """Bits of (text, position, V): each prefix prefilled alone, in one piece."""
    model = hosted(folder)
    slot = model.cache.take()
    rows = [
        [model.forward([slot], [0], [text[: end + 1]])[0] for end in range(LENGTH)]
        for text in texts(VOCAB)
    ]
    model.cache.free(slot)
    return bits(np.array(rows))


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "gemma"])
@given(data=st.data())
@settings(max_examples=12, deadline=None)
def test_any_composition_gives_the_same_bits(family: str, data: st.DataObject) -> None:
    folder = tiny_folder(family)
    model, expected = hosted(folder), reference(folder)
    rows = data.draw(st.lists(st.integers(0, TEXTS - 1), min_size=1, max_size=16, unique=True))
    unused = [model.cache.take() for _ in range(data.draw(st.integers(0, 3)))]
    slots = {row: model.cache.take() for row in rows}
    for slot in unused:
        model.cache.free(slot)
    done = dict.fromkeys(rows, 0)
    try:
        while ready := [row for row in rows if done[row] < LENGTH]:
            picked = data.draw(st.lists(st.sampled_from(ready), min_size=1, unique=True))
            takes = [
                min(data.draw(st.sampled_from([1, 1, 2, 3, 7, LENGTH])), LENGTH - done[row])
                for row in picked
            ]
            logits_BV = model.forward(
                [slots[row] for row in picked],
                [done[row] for row in picked],
                [
                    texts(VOCAB)[row][done[row] : done[row] + take]
                    for row, take in zip(picked, takes, strict=True)
                ],
            )
            for row, take, found_V in zip(picked, takes, bits(logits_BV), strict=True):
                done[row] += take
                np.testing.assert_array_equal(found_V, expected[row, done[row] - 1])
    finally:
        for slot in slots.values():
            model.cache.free(slot)


@pytest.mark.parametrize("family", ["qwen2", "qwen3", "llama", "gemma"])
def test_every_batch_size_gives_the_same_bits(family: str) -> None:
    folder = tiny_folder(family)
    check_batch_sizes(hosted(folder), texts(VOCAB), reference(folder))


@pytest.mark.parametrize("name", ["llm", "slm"])
def test_the_shipped_pair_is_batch_invariant(name: str) -> None:
    folder = SHIPPED / name
    if not (folder / "model.safetensors").is_file():
        pytest.skip(f"the pair is not there: {folder}")
    model = hosted(folder)
    long = texts(model.vocab_size, 26)
    slot = model.cache.take()
    ends = [1, 9, 16, 17, 25, 26]
    alone = {
        end: bits(np.array([model.forward([slot], [0], [text[:end]])[0] for text in long]))
        for end in ends
    }
    model.cache.free(slot)
    for size in range(1, TEXTS + 1):
        slots = [model.cache.take() for _ in range(size)]
        at = 0
        for end in ends:
            # Alternately one piece and single tokens.
            step = end - at if end % 2 else 1
            while at < end:
                found_BV = model.forward(
                    slots, [at] * size, [text[at : at + step] for text in long[:size]]
                )
                at += step
            np.testing.assert_array_equal(bits(found_BV), alone[end][:size])
        for slot in slots:
            model.cache.free(slot)


def check_batch_sizes(model: HostedModel, rows: list[list[int]], expected: np.ndarray) -> None:
    for size in range(1, TEXTS + 1):
        slots = [model.cache.take() for _ in range(size)]
        # Row r has r tokens more than the first one, so that all are at different positions.
        starts = list(range(size))
        model.forward(
            slots, [0] * size, [rows[row][: start + 1] for row, start in enumerate(starts)]
        )
        for step in range(1, LENGTH - size):
            found_BV = model.forward(
                slots,
                [start + step for start in starts],
                [[rows[row][start + step]] for row, start in enumerate(starts)],
            )
            for row, start in enumerate(starts):
                np.testing.assert_array_equal(bits(found_BV)[row], expected[row, start + step])
        for slot in slots:
            model.cache.free(slot)


def test_logits_are_on_the_bf16_grid() -> None:
    model = hosted(tiny_folder("qwen2"))
    slot = model.cache.take()
    logits_BV = model.forward([slot], [0], [texts(VOCAB)[0]])
    model.cache.free(slot)
    assert not np.any(bits(logits_BV) & 0xFFFF)
    # Steps do not shrink towards zero, where rounding noise would become one of them.
    assert not np.any(logits_BV * 256 % 1)


def test_nothing_passes_through_float32() -> None:
    """The noise between two compositions, before rounding, is that of float64."""
    model = hosted(tiny_folder("qwen2"))
    seen: list[torch.Tensor] = []
    hook = model._decoder.register_forward_hook(lambda *args: seen.append(args[2][0]))
    slots = sorted(model.cache.take() for _ in range(8))
    rows = texts(VOCAB)[:8]
    model.forward(slots, [0] * 8, rows)
    for position in range(LENGTH):
        model.forward([slots[0]], [position], [[rows[0][position]]])
    hook.remove()
    for slot in slots:
        model.cache.free(slot)
    noise = (seen[0][0, -1] - seen[-1][0, -1]).abs().max() / seen[0].abs().max()
    assert seen[0].dtype == torch.float64
    assert float(noise) < 1e-13
