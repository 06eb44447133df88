"""Law 1: the scalar form is the paper's loop; and what a person may write about strength."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from costeer.errors import ConfigError
from costeer.steering import (
    PAPER,
    StrengthConfig,
    cut,
    decision_scores,
    delta,
    log_softmax,
    steer,
    steer_loop,
    steer_path,
    strength,
)


def rows(seed: int, vocab_size: int, spread: float, sigma: float) -> tuple[Any, Any]:
    rng = np.random.default_rng(seed)
    return log_softmax(rng.normal(0.0, spread, vocab_size)), rng.normal(0.0, sigma, vocab_size)


@pytest.mark.parametrize(
    ("steps", "expected"),
    [(1, 0.4762), (5, 1.126), (10, 1.449), (20, 1.7833), (50, 2.234), (100, 2.578)],
)
def test_the_papers_defaults_give_the_known_strengths(steps: int, expected: float) -> None:
    assert strength(**{**PAPER, "T": steps}) == pytest.approx(expected, abs=5e-4)


def test_light_costeer_is_the_closed_form_of_one_step() -> None:
    assert strength(1, 2.0, 1.0, 2.0, 10.0) == pytest.approx(1.0 / (2.0 + 0.1), rel=1e-15)


@given(
    seed=st.integers(0, 2**32 - 1),
    vocab_size=st.integers(2, 60),
    steps=st.integers(1, 120),
    hyper=st.tuples(*[st.floats(0.05, 20.0)] * 4),
    spread=st.floats(0.5, 20.0),
    sigma=st.floats(0.1, 10.0),
)
@settings(deadline=None, max_examples=300)
def test_law_1_the_scalar_form_equals_the_loop(
    seed: int,
    vocab_size: int,
    steps: int,
    hyper: tuple[float, float, float, float],
    spread: float,
    sigma: float,
) -> None:
    log_pi0_V, delta_V = rows(seed, vocab_size, spread, sigma)
    path = list(steer_path(log_pi0_V, delta_V, steps, *hyper))
    largest = max(float(np.abs(log_pi_V).max()) for log_pi_V in [log_pi0_V, *path])
    scalar_V = log_softmax(steer(log_pi0_V, delta_V, strength(steps, *hyper)))
    assert np.abs(scalar_V - path[-1]).max() <= 1e-9 * largest


def test_where_the_loop_itself_loses_digits_the_scalar_does_not() -> None:
    # Δ = 0 changes nothing, yet α ≫ λ amplifies the loop's rounding of log π_0 beyond recognition.
    log_pi0_V, _ = rows(1, 50, 5.0, 1.0)
    zero_V = np.zeros_like(log_pi0_V)
    looped_V = steer_loop(log_pi0_V, zero_V, 60, 20.0, 1.0, 0.5, 10.0)
    scalar_V = log_softmax(steer(log_pi0_V, zero_V, strength(60, 20.0, 1.0, 0.5, 10.0)))
    assert np.array_equal(scalar_V, log_softmax(log_pi0_V))
    assert np.abs(looped_V - log_pi0_V).max() > 1.0


def test_the_fp32_loop_disagrees_seldom_and_is_counted(
    record_property: Any,
) -> None:
    disagreements = 0
    for seed in range(200):
        log_pi0_V, delta_V = rows(seed, 4096, 4.0, 1.0)
        exact = int(np.argmax(decision_scores(log_pi0_V, delta_V, strength(**PAPER))))
        looped_V = steer_loop(log_pi0_V.astype(np.float32), delta_V.astype(np.float32), **PAPER)
        assert looped_V.dtype == np.float32
        disagreements += int(np.argmax(looped_V)) != exact
    record_property("fp32_loop_argmax_disagreements_of_200", disagreements)
    assert disagreements <= 2


def test_numpy_and_torch_are_alike() -> None:
    rng = np.random.default_rng(3)
    pers_V, base_V, logits_V = rng.normal(0.0, 3.0, (3, 100))
    delta_V = delta(pers_V, base_V)
    tensors = [torch.from_numpy(a) for a in (pers_V, base_V, logits_V)]
    delta_torch = delta(tensors[0], tensors[1])
    assert np.allclose(delta_torch.numpy(), delta_V, atol=1e-13)
    assert np.allclose(steer(tensors[2], delta_torch, 1.5).numpy(), steer(logits_V, delta_V, 1.5))
    looped = steer_loop(log_softmax(tensors[2]), delta_torch, **PAPER)
    assert np.allclose(looped.numpy(), steer_loop(log_softmax(logits_V), delta_V, **PAPER))
    assert cut(tensors[0], 7).shape == (7,)


def test_a_batch_gives_the_bits_of_its_rows() -> None:
    logits_BV = np.random.default_rng(4).normal(0.0, 5.0, (5, 20_001)).astype(np.float32)
    batch_BV = log_softmax(logits_BV)
    for logits_V, batched_V in zip(logits_BV, batch_BV, strict=True):
        assert np.array_equal(log_softmax(logits_V), batched_V)
    assert np.abs(np.exp(batch_BV.astype(np.float64)).sum(axis=1) - 1.0).max() < 1e-5


def test_decision_scores_do_not_depend_on_the_company() -> None:
    logits_V, delta_V = np.random.default_rng(5).normal(0.0, 9.0, (2, 1003)).astype(np.float32)
    scores_V = decision_scores(logits_V, delta_V, 1.7833)
    ids_K = np.arange(0, 1003, 17)
    assert np.array_equal(decision_scores(logits_V[ids_K], delta_V[ids_K], 1.7833), scores_V[ids_K])
    one = float(logits_V[9])
    assert one + 1.7833 * float(delta_V[9]) == scores_V[9]


def test_models_are_cut_to_shared_tokens() -> None:
    logits_BV = np.arange(20.0).reshape(2, 10)
    assert np.array_equal(cut(logits_BV, 4), logits_BV[:, :4])
    with pytest.raises(ConfigError, match="width 10"):
        cut(logits_BV, 11)


@pytest.mark.parametrize("name", ["T", "alpha", "beta", "lam", "eta"])
@pytest.mark.parametrize("value", [0, -1, float("nan"), float("inf")])
def test_impossible_hyperparameters_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=name):
        strength(**{**PAPER, name: value})
    with pytest.raises(ValidationError, match=name):
        StrengthConfig.model_validate({name: value})


def test_a_strength_that_overflows_is_refused() -> None:
    with pytest.raises(ConfigError, match="overflows"):
        strength(500, 1e4, 1.0, 0.01, 10.0)
    with pytest.raises(ValidationError, match="overflows"):
        StrengthConfig(T=500, alpha=1e4, lam=0.01)


def test_strength_config_takes_the_five_or_c() -> None:
    assert StrengthConfig().c == strength(**PAPER)
    assert StrengthConfig(T=1).c == pytest.approx(0.4762, abs=1e-4)
    assert StrengthConfig(c=0.7).c == 0.7
    assert StrengthConfig.model_validate(1).c == 1.0
    for config in (StrengthConfig(T=5), StrengthConfig(c=0.0)):
        assert StrengthConfig.model_validate(config.model_dump()) == config


@pytest.mark.parametrize(
    ("given_", "match"),
    [
        ({"c": 1.0, "T": 20}, "contradicts"),
        ({"c": float("nan")}, "c"),
        ({"C": 1.0}, "C"),
        ({"T": 2.5}, "T"),
        ({"lam": "two"}, "lam"),
        ("strong", "dictionary"),
    ],
)
def test_strength_config_refuses_what_it_cannot_mean(given_: object, match: str) -> None:
    with pytest.raises(ValidationError, match=match):
        StrengthConfig.model_validate(given_)
