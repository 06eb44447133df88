from __future__ import annotations

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from actors.models import forward as forward_module
from actors.models.forward import HostedModel
from actors.models.loading import load
from actors.models.numerics import Numerics
from actors.models.options import Attention, HostOptions
from costeer.errors import ConfigError, LocalProtocolError
from tests.actors.tiny_pair import CONTEXT, VOCAB, WIDTH, tiny_folder, tiny_model

FAMILIES = [
    *["qwen2", "qwen3", "llama", "gemma"],
    *["sliding", "mistral", "phi3", "gemma2", "gemma3"],  # the second half slides
]


def hosted(family: str, numerics: Numerics = Numerics.FP32) -> HostedModel:
    attention = Attention.EAGER if family == "gemma2" else Attention.SDPA
    return load(tiny_folder(family), numerics, options=HostOptions(attention=attention))


def sequences(count: int, longest: int, seed: int = 1) -> list[list[int]]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, VOCAB, rng.integers(2, longest)).tolist() for _ in range(count)]


def plain(model: PreTrainedModel, tokens: list[int]) -> np.ndarray:
    with torch.inference_mode():
        logits: np.ndarray = model(torch.tensor([tokens])).logits[0, -1].numpy()
    return logits


@pytest.mark.parametrize("family", FAMILIES)
def test_a_mixed_batch_equals_the_plain_forward(family: str) -> None:
    model = hosted(family)
    reference = tiny_model(family)
    texts = sequences(7, 40)
    slots = [model.cache.take() for _ in texts]
    heads = [len(text) // 2 for text in texts]
    model.forward(slots, [0] * 7, [text[:head] for text, head in zip(texts, heads, strict=True)])
    # Prompt chunks of many lengths and single tokens in one call.
    ends = [head + 1 if index % 2 else len(texts[index]) for index, head in enumerate(heads)]
    logits_BV = model.forward(
        slots,
        heads,
        [text[head:end] for text, head, end in zip(texts, heads, ends, strict=True)],
    )
    assert logits_BV.shape == (7, WIDTH)
    assert logits_BV.dtype == np.float32
    for text, end, logits_V in zip(texts, ends, logits_BV, strict=True):
        np.testing.assert_allclose(logits_V, plain(reference, text[:end]), atol=1e-4, rtol=0)


@pytest.mark.parametrize("numerics", list(Numerics))
def test_every_numerics_is_near_the_plain_forward(numerics: Numerics) -> None:
    model = hosted("qwen2", numerics)
    text = sequences(1, 30)[0]
    expected_V = plain(tiny_model("qwen2"), text)
    found_V = model.forward([model.cache.take()], [0], [text])[0]
    assert np.abs(found_V - expected_V).max() <= 0.02 * np.abs(expected_V).max()


def test_a_long_text_decoded_token_by_token_equals_the_plain_forward() -> None:
    model, reference = hosted("llama"), tiny_model("llama")
    text = np.random.default_rng(3).integers(0, VOCAB, CONTEXT).tolist()
    slot = model.cache.take()
    for position, token in enumerate(text):
        found_V = model.forward([slot], [position], [[token]])[0]
    np.testing.assert_allclose(found_V, plain(reference, text), atol=1e-4, rtol=0)


def test_truncated_and_forked_sequences_go_on_as_if_nothing_else_had_been_there() -> None:
    model, reference = hosted("qwen2"), tiny_model("qwen2")
    text = sequences(1, 30)[0]
    slot = model.cache.take()
    model.forward([slot], [0], [[*text, 3, 4, 5]])
    model.cache.truncate(slot, len(text))
    copy = model.cache.fork(slot)
    two_BV = model.forward([copy, slot], [len(text)] * 2, [[7], [8, 9]])
    np.testing.assert_allclose(two_BV[0], plain(reference, [*text, 7]), atol=1e-4, rtol=0)
    np.testing.assert_allclose(two_BV[1], plain(reference, [*text, 8, 9]), atol=1e-4, rtol=0)
    # A start before the end truncates by itself.
    again_V = model.forward([slot], [len(text)], [[6]])[0]
    np.testing.assert_allclose(again_V, plain(reference, [*text, 6]), atol=1e-4, rtol=0)


def test_a_freed_slot_carries_nothing_over() -> None:
    model, reference = hosted("qwen2"), tiny_model("qwen2")
    slot = model.cache.take()
    model.forward([slot], [0], [list(range(40))])
    model.cache.free(slot)
    again = model.cache.take()
    assert again == slot
    found_V = model.forward([again], [0], [[5, 6]])[0]
    np.testing.assert_allclose(found_V, plain(reference, [5, 6]), atol=1e-4, rtol=0)


def test_large_batches_are_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    model = hosted("qwen2", Numerics.BATCH_INVARIANT)
    texts = sequences(9, 20)
    slots = [model.cache.take() for _ in texts]
    whole_BV = model.forward(slots, [0] * 9, texts)
    monkeypatch.setattr(forward_module, "_MAX_ROWS", 2)
    monkeypatch.setattr(forward_module, "_MAX_TOKENS", 16)
    np.testing.assert_array_equal(model.forward(slots, [0] * 9, texts), whole_BV)
    lengths = [len(text) for text in texts]
    single_BV = model.forward(slots, lengths, [[5]] * 9)
    monkeypatch.undo()
    np.testing.assert_array_equal(model.forward(slots, lengths, [[5]] * 9), single_BV)


def test_logits_are_cut_to_the_shared_vocabulary() -> None:
    whole = hosted("qwen2", Numerics.BATCH_INVARIANT)
    kept = load(tiny_folder("qwen2"), Numerics.BATCH_INVARIANT, vocab_size=VOCAB)
    text = sequences(1, 12)[0]
    whole_V = whole.forward([whole.cache.take()], [0], [text])[0]
    kept_V = kept.forward([kept.cache.take()], [0], [text])[0]
    np.testing.assert_array_equal(kept_V, whole_V[:VOCAB])


@pytest.mark.parametrize("limit", [None, 10])
def test_a_session_beyond_the_context_is_refused_with_a_way_out(limit: int | None) -> None:
    model = load(tiny_folder("qwen2"), Numerics.FP32, max_context=limit)
    room = limit or CONTEXT
    slot = model.cache.take()
    model.forward([slot], [0], [[2] * room])
    with pytest.raises(ConfigError, match=rf"{room + 1} tokens.*limit is {room}.*shorten"):
        model.forward([slot], [room], [[2]])
    with pytest.raises(ConfigError, match="limit"):
        model.forward([slot], [0], [[2] * (room + 1)])


def test_misuse_is_refused() -> None:
    model = hosted("qwen2")
    slot = model.cache.take()
    with pytest.raises(LocalProtocolError):
        model.forward([slot], [3], [[2]])
    with pytest.raises(LocalProtocolError):
        model.forward([slot, slot], [0, 0], [[2], [3]])
    with pytest.raises(LocalProtocolError, match="at least one new token"):
        model.forward([slot], [0], [[]])
    with pytest.raises(LocalProtocolError, match="at least one"):
        model.forward([], [], [])
