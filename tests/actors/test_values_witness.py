"""Witnesses: they say what steering did, and change nothing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.values.steering_host import Selector, Steerer
from actors.values.witness import MOST_POSITIONS, SHOWN, Witness, Witnessed
from costeer.certificate import Choice
from costeer.machine import CloudSelect, EdgeDecode, EdgeSteer, EncodeItem
from costeer.sampling import Sampling
from tests.actors.value_sessions import arm

VOCAB, RANKS = 200, 16


def step(
    seed: int, watched: frozenset[int], sampling: Sampling | None = None
) -> tuple[Choice, list[Witnessed], np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    row_V = rng.normal(5.0, 3.0, VOCAB).astype(np.float32)
    delta_V = rng.normal(0.0, 1.0, VOCAB)
    spec = replace(arm(codec=f"top{RANKS}-fp32-naive", strength=1.2), witnessed=watched)
    spec = replace(spec, sampling=sampling or spec.sampling)
    edge = Steerer(spec, VOCAB)
    ask = CloudSelect((EncodeItem(1, 0, 0, RANKS),), ())
    (payload,) = Selector(spec, VOCAB).select(ask, lambda _, __: row_V).payloads
    edge.decode(EdgeDecode(1, 0, 0, payload))
    choice = edge.steer(EdgeSteer(1, 0, 0), delta_V)
    assert isinstance(choice, Choice)
    return choice, edge.witness.take(), row_V, delta_V


@given(st.integers(0, 2**31))
def test_candidates_are_the_likeliest_before_and_after(seed: int) -> None:
    choice, (seen,), row_V, delta_V = step(seed, frozenset({1}))
    probabilities = np.exp(row_V - np.logaddexp.reduce(row_V.astype(np.float64)))
    best = np.argsort(-row_V, kind="stable")[:SHOWN]
    assert [token for token, _ in seen.before] == list(best)
    assert [share for _, share in seen.before] == pytest.approx(list(probabilities[best]), abs=1e-5)
    assert seen.after[0][0] == seen.token == choice.token
    assert seen.unsteered == int(np.argmax(row_V))
    shares = [share for _, share in seen.after]
    assert shares == sorted(shares, reverse=True)
    assert sum(shares) <= 1 + 1e-9
    sent = np.argsort(-row_V, kind="stable")[:RANKS]
    steered = row_V[sent] + 1.2 * delta_V[sent]
    assert seen.after[0][0] == sent[int(np.argmax(steered))]


@given(st.integers(0, 2**31), st.booleans())
def test_a_witness_changes_no_choice(seed: int, greedy: bool) -> None:
    sampling = Sampling() if greedy else Sampling(temperature=0.9)
    seen, steps, *_ = step(seed, frozenset({1}), sampling)
    unseen, none, *_ = step(seed, frozenset({2}), sampling)
    assert seen == unseen
    assert len(steps) == 1
    assert none == []


def test_a_text_is_watched_up_to_a_bound() -> None:
    witness = Witness(frozenset({1}))
    assert witness.watches(1, MOST_POSITIONS - 1)
    assert not witness.watches(1, MOST_POSITIONS)
    assert not witness.watches(2, 0)
