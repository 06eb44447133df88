"""Choosing tokens: the tie rule, Gumbel-max, top-p."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from costeer.errors import ConfigError, LocalProtocolError
from costeer.sampling import Noise, Sampling, SamplingConfig, choose, nucleus

if TYPE_CHECKING:
    from random import Random

GREEDY = Sampling()


def ids(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.int32)


def cycle_noise(noise_K: Any) -> Noise:
    return lambda ids_K: noise_K[ids_K]


def gumbel(seed: int, vocab_size: int) -> Noise:
    noise_V = np.random.default_rng(seed).gumbel(size=vocab_size)
    return lambda ids_K: noise_V[ids_K]


@given(
    st.lists(st.sampled_from([-1.0, 0.0, -0.0, 2.5]), min_size=1, max_size=12),
    st.randoms(use_true_random=False),
)
def test_greedy_takes_the_lowest_id_of_the_best_in_any_order(
    scores: list[float], random: Random
) -> None:
    order = list(range(len(scores)))
    random.shuffle(order)
    shuffled_K = np.array([scores[i] for i in order])
    assert choose(shuffled_K, ids(*order), GREEDY) == int(np.argmax(scores))


def test_gumbel_max_samples_the_softmax() -> None:
    rng = np.random.default_rng(11)
    scores_K, temperature, draws = np.array([0.0, 1.0, 2.0, -1.0]), 0.8, 20_000
    sampling = Sampling(temperature)
    counts = np.zeros(4)
    for noise_K in rng.gumbel(size=(draws, 4)):
        counts[choose(scores_K, ids(0, 1, 2, 3), sampling, cycle_noise(noise_K))] += 1
    expected = np.exp(scores_K / temperature)
    expected *= draws / expected.sum()
    chi2 = ((counts - expected) ** 2 / expected).sum()
    assert chi2 < 16.3  # 0.999 quantile at 3 degrees of freedom; the seed is fixed


def test_a_known_winner_does_not_depend_on_the_support() -> None:
    scores_V = np.linspace(5.0, -5.0, 200)
    sampling, noise = Sampling(1.0), gumbel(1, 200)
    dense = choose(scores_V, np.arange(200, dtype=np.int32), sampling, noise)
    support_K = np.unique(ids(*range(0, 200, 3), dense))
    assert choose(scores_V[support_K], support_K, sampling, noise) == dense


def test_top_p_keeps_the_smallest_set_that_reaches_p() -> None:
    scores_K = np.log([0.1, 0.5, 0.15, 0.25])
    ids_K = ids(4, 7, 9, 12)
    assert sorted(ids_K[nucleus(scores_K, ids_K, 1.0, 0.7)]) == [7, 12]
    assert sorted(ids_K[nucleus(scores_K, ids_K, 1.0, 0.76)]) == [7, 9, 12]
    assert nucleus(scores_K, ids_K, 1.0, 1e-9).size == 1
    tied = np.zeros(4)
    assert sorted(ids_K[nucleus(tied, ids_K, 1.0, 0.5)]) == [4, 7]
    only_best = Sampling(1.0, 0.4)
    assert {choose(scores_K, ids_K, only_best, gumbel(s, 13)) for s in range(20)} == {7}


def test_huge_scores_neither_overflow_nor_warn() -> None:
    scores_K = np.array([1e300, -1e300, 1e300])
    assert choose(scores_K, ids(0, 1, 2), Sampling(1.0, 0.9), gumbel(0, 3)) in (0, 2)


@pytest.mark.parametrize(
    "arguments",
    [
        (np.array([]), ids(), GREEDY, None),
        (np.array([0.0, np.nan]), ids(0, 1), GREEDY, None),
        (np.array([0.0]), ids(0), Sampling(1.0), None),
    ],
)
def test_misuse_is_our_bug(arguments: Any) -> None:
    with pytest.raises(LocalProtocolError):
        choose(*arguments)


@pytest.mark.parametrize(
    ("temperature", "top_p"),
    [(-1.0, 1.0), (1e-9, 1.0), (float("nan"), 1.0), (float("inf"), 1.0), (1.0, 0.0), (1.0, 1.1)],
)
def test_impossible_values_are_refused(temperature: float, top_p: float) -> None:
    with pytest.raises(ConfigError):
        Sampling(temperature, top_p)
    with pytest.raises(ValidationError):
        SamplingConfig(temperature=temperature, top_p=top_p)


def test_config_builds_the_frozen_value() -> None:
    assert SamplingConfig().build() == GREEDY
    assert GREEDY.greedy
    assert SamplingConfig(temperature=0.7, top_p=0.9).build() == Sampling(0.7, 0.9)
    with pytest.raises(ValidationError, match="temprature"):
        SamplingConfig.model_validate({"temprature": 1})
