"""What is assumed of unsent tokens: exact where nothing is unsent, and ordered as it should be."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.codec import CodecConfig, build_codec
from costeer.errors import LocalProtocolError
from costeer.tail import TAILS, assumed_logits, divergence, steered_log_probs

ROWS = st.tuples(st.integers(0, 2**31), st.integers(2, 120), st.sampled_from([0.5, 3.0]))


def sent(row: tuple[int, int, float], k: int) -> tuple[Any, Any, Any]:
    seed, size, scale = row
    rng = np.random.default_rng(seed)
    logits_V = rng.normal(0.0, scale, size).astype(np.float32)
    codec = build_codec(CodecConfig.model_validate(f"top{k}-fp32-packed"), size)
    return codec.decode(codec.encode(logits_V)), logits_V, rng.normal(0.0, 1.0, size)


@given(ROWS, st.integers(1, 120), st.sampled_from(TAILS), st.sampled_from([0.0, 0.5, 1.8]))
@settings(deadline=None, max_examples=100)
def test_every_assumption_is_a_distribution_that_keeps_what_was_sent(
    row: tuple[int, int, float], k: int, tail: Any, c: float
) -> None:
    known, logits_V, delta_V = sent(row, k)
    filled_V = assumed_logits(known, tail)
    assert np.array_equal(filled_V[known.ids_K], known.logits_K)
    log_probs_V = steered_log_probs(filled_V, delta_V, c)
    assert np.exp(log_probs_V).sum() == pytest.approx(1.0)
    found = divergence(steered_log_probs(logits_V, delta_V, c), log_probs_V)
    assert found.kl_nats >= 0.0
    assert found.reverse_kl_nats >= 0.0
    assert 0.0 <= found.total_variation <= 1.0
    # Pinsker's inequality, both ways.
    nats = min(found.kl_nats, found.reverse_kl_nats)
    assert found.total_variation <= math.sqrt(nats / 2) + 1e-6
    if known.dense:
        assert found.kl_nats == pytest.approx(0.0, abs=1e-9)
        assert found.total_variation == pytest.approx(0.0, abs=1e-9)


@given(ROWS, st.integers(1, 20))
@settings(deadline=None, max_examples=60)
def test_without_steering_the_uniform_tail_has_the_true_masses(
    row: tuple[int, int, float], k: int
) -> None:
    known, logits_V, delta_V = sent(row, k)
    reference_V = steered_log_probs(logits_V, delta_V, 0.0)
    uniform_V = steered_log_probs(assumed_logits(known, "uniform"), delta_V, 0.0)
    assert uniform_V[known.ids_K] == pytest.approx(reference_V[known.ids_K], abs=1e-4)
    renormalised_V = steered_log_probs(assumed_logits(known, "renormalised"), delta_V, 0.0)
    distance = divergence(reference_V, renormalised_V).total_variation
    assert distance == pytest.approx(known.unsent_mass, abs=1e-5)


def test_unsent_tokens_lie_where_the_assumption_says() -> None:
    known, _, _ = sent((3, 60, 3.0), 4)
    unsent = np.setdiff1d(np.arange(60), known.ids_K)
    bounded, nothing, uniform = (assumed_logits(known, tail)[unsent] for tail in TAILS)
    assert (bounded == known.floor).all()
    assert np.isneginf(nothing).all()
    assert np.exp(uniform - known.logsumexp).sum() == pytest.approx(known.unsent_mass)
    assert uniform.max() <= known.floor


def test_a_known_distance() -> None:
    reference_V, assumed_V = np.log([0.5, 0.25, 0.25]), np.log([0.5, 0.5, 1e-300])
    found = divergence(reference_V, assumed_V)
    assert found.total_variation == pytest.approx(0.25)
    assert found.reverse_kl_nats == pytest.approx(0.5 * math.log(2))
    with np.errstate(divide="ignore"):
        excluded_V = np.log([0.5, 0.5, 0.0])
    assert divergence(reference_V, excluded_V).kl_nats == math.inf


def test_what_cannot_be_compared_is_our_bug() -> None:
    with pytest.raises(LocalProtocolError, match="shape"):
        steered_log_probs(np.zeros(3), np.zeros(4), 1.0)
    with pytest.raises(LocalProtocolError, match="finite"):
        steered_log_probs(np.full(3, -np.inf), np.zeros(3), 1.0)
