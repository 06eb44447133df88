"""A small model in its own tokens: its sequences follow the text, however it came to be."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from actors.ledger import Ledger
from actors.models.numerics import Numerics
from actors.models.token_bytes import TokenBytes
from actors.values.aligned import AlignmentSpec
from actors.values.model_edge import ModelEdgeHost
from costeer.certificate import Choice
from costeer.errors import LocalProtocolError
from costeer.machine import EdgeChoose, EdgeForward, Release, Span
from costeer.steering import log_softmax
from experiments.scenario.models import SHIPPED_MODELS
from tests.actors.value_sessions import arm

SESSION = 5
LARGE, SMALL = SHIPPED_MODELS / "llm", SHIPPED_MODELS / "slm-other"
CLOUD, SMALL_TOKENS = TokenBytes(LARGE, 4456), TokenBytes(SMALL, 2048)
PROMPTS = ((2, 40, 41), (2, 50, 51, 52, 40, 41))
"""In the small model's ids."""
TEXT = CLOUD.written(b" The") + tuple(CLOUD.written(bytes([byte]))[0] for byte in b" red rose\xc3")


@cache
def edge(by_bytes: bool) -> ModelEdgeHost:
    spec = AlignmentSpec(by_bytes, str(LARGE), 4456, (2,), depth=1, width=2)
    return ModelEdgeHost(str(SMALL), Numerics.BATCH_INVARIANT, alignment=spec)


def opening(chosen: tuple[int, ...] = ()) -> EdgeForward:
    lengths = tuple(len(prompt) for prompt in PROMPTS)
    runs = tuple(prompt + chosen for prompt in PROMPTS)
    return EdgeForward(SESSION, runs, (0, 0), prompts=lengths)


def step(token: int, place: int) -> EdgeForward:
    starts = tuple(len(prompt) + place for prompt in PROMPTS)
    return EdgeForward(SESSION, ((token,), (token,)), starts)


@pytest.mark.parametrize("by_bytes", [False, True])
def test_law_8_a_text_told_at_once_steers_as_one_that_grew(by_bytes: bool) -> None:
    """Letters come one by one, so that every one of them rewrites the last word."""
    host = edge(by_bytes)
    assert host.begin_arm(arm()) == 4456
    host.execute([opening()])
    grown = []
    for place, token in enumerate(TEXT):
        host.execute([step(token, place)])
        grown.append(host.delta(SESSION, place + 1))
    for place in (0, 4, len(TEXT) - 1):
        host.begin_arm(arm())
        host.execute([opening(TEXT[: place + 1])])
        np.testing.assert_array_equal(host.delta(SESSION, place + 1), grown[place])
    assert grown[0].shape == (4456,)
    assert np.isfinite(grown).all()


def test_a_host_that_was_told_again_has_the_same_rows() -> None:
    host, ledger = edge(by_bytes=True), Ledger()
    ledger.begin_arm(arm())
    host.begin_arm(arm())
    ops = [step(token, place) for place, token in enumerate(TEXT[:4])]
    ops.insert(0, opening())
    host.execute(ops)
    ledger.carried_out(ops)
    expected = host.delta(SESSION, 4)
    host.begin_arm(arm())
    host.execute([op for op in ledger.again() if isinstance(op, EdgeForward)])
    np.testing.assert_array_equal(host.delta(SESSION, 4), expected)


def _drafted(token: int, place: int) -> EdgeForward:
    return replace(step(token, place), span=Span(place + 1, 1, 0))


@pytest.mark.parametrize("by_bytes", [False, True])
def test_what_was_drafted_and_taken_back_leaves_no_trace(by_bytes: bool) -> None:
    host = edge(by_bytes)
    host.begin_arm(arm())
    host.execute([replace(opening(), span=Span(0, 1, 0))])
    host.execute([_drafted(token, place) for place, token in enumerate(TEXT[:4])])
    chosen = (*TEXT[:2], TEXT[-1])
    host.execute([_drafted(chosen[2], 2)])
    (proposed,) = host.execute([EdgeChoose(SESSION, 3, 1)])
    found = host.delta(SESSION, 3)
    base_V = host._bases[SESSION][3]
    host.begin_arm(arm())
    host.execute([replace(opening(chosen), span=Span(3, 1, 3))])
    np.testing.assert_array_equal(host.delta(SESSION, 3), found)
    np.testing.assert_array_equal(host._bases[SESSION][3], base_V)
    assert host.execute([EdgeChoose(SESSION, 3, 1)]) == [proposed]


def test_a_draft_that_is_no_text_is_taken_back_down_to_the_prompt() -> None:
    host = edge(by_bytes=True)
    host.begin_arm(arm())
    host.execute([replace(opening(), span=Span(0, 1, 0))])
    expected = host.delta(SESSION, 0)
    host.execute([_drafted(TEXT[0], 0)])
    assert (host.delta(SESSION, 1) != expected).any()
    host.execute([_drafted(1, 0)])
    np.testing.assert_array_equal(host.delta(SESSION, 1), expected)


def test_an_answer_finished_alone_goes_on_in_the_clouds_ids() -> None:
    """The personal branch alone is run: its choices are those of a text told at once."""
    host = edge(by_bytes=True)
    host.begin_arm(arm())
    host.execute([opening(TEXT[:2])])
    chosen = list(TEXT[:2])
    lengths = [len(prompt) for prompt in PROMPTS]
    for place in range(2, 5):
        (choice,) = host.execute([EdgeChoose(SESSION, place, 1)])
        assert isinstance(choice, Choice)
        chosen.append(choice.token)
        starts = (lengths[0] + 2, lengths[1] + place)
        host.execute([EdgeForward(SESSION, ((), (choice.token,)), starts)])
    (last,) = host.execute([EdgeChoose(SESSION, 5, 1)])
    host.begin_arm(arm())
    host.execute([opening(tuple(chosen))])
    assert host.execute([EdgeChoose(SESSION, 5, 1)]) == [last]


def test_a_contrast_is_with_the_small_models_probability_of_the_bytes() -> None:
    host = edge(by_bytes=True)
    host.begin_arm(arm("contrastive"))
    host.execute([EdgeForward(SESSION, (PROMPTS[0],), (0,), prompts=(len(PROMPTS[0]),))])
    against_V = host.delta(SESSION, 0)
    row_W = host._rows[SESSION][0].astype(np.float64)
    whole = next(v for v, data in enumerate(SMALL_TOKENS.tokens) if data == b".")
    alike = [v for v, data in enumerate(SMALL_TOKENS.tokens) if data and data.startswith(b".")]
    mass = np.exp(log_softmax(row_W))[alike].sum()
    (token,) = CLOUD.written(b".")
    assert whole in alike
    assert against_V[token] == pytest.approx(-np.log(mass))


def test_looking_ahead_leaves_no_sequence_behind() -> None:
    host = edge(by_bytes=True)
    host.begin_arm(arm())
    host.execute([opening(TEXT[:1])])
    assert host._sequences.model.cache.slots_used == 2
    host.execute([Release(SESSION)])
    assert host._sequences.model.cache.slots_used == 0
    with pytest.raises(LocalProtocolError, match="before a prompt"):
        host.execute([step(TEXT[0], 0)])


def test_alone_it_is_in_its_own_tokens() -> None:
    host = edge(by_bytes=False)
    host.begin_arm(arm("slm_with"))
    host.execute([EdgeForward(SESSION, (PROMPTS[1],), (0,), prompts=(6,))])
    row_W = host._newest(SESSION, 0)
    assert row_W.shape == (2048,)
