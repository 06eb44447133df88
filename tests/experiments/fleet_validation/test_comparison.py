"""Differences and their intervals; correlation along sessions."""

from __future__ import annotations

import numpy as np
import pytest

from experiments.fleet_validation.comparison import Sample, autocorrelation, compare

DEVICES, EACH = 300, 20


def sample(seed: int, *, shift: float = 0.0, scale: float = 1.0) -> Sample:
    """Values of devices that differ much, the same in every sample, and little by themselves."""
    own_D = np.random.default_rng(1).lognormal(3, 1, DEVICES)
    noise = np.random.default_rng(seed).normal(0, 1, (DEVICES, EACH))
    values = (own_D[:, None] + noise + shift) * scale
    device_N = np.repeat(np.arange(DEVICES), EACH)
    return Sample(values.ravel(), device_N, device_N)


def test_what_is_the_same_is_within() -> None:
    one = sample(2)
    mean, p99 = compare("x", one, one)
    assert (mean.share, mean.uncertain, p99.share) == (0, 0, 0)
    assert mean.within
    assert p99.within


def test_devices_that_both_sides_share_make_no_difference() -> None:
    mean, p99 = compare("x", sample(2), sample(3))
    # Drawn independently, devices alone would leave an interval of some 15 % of the mean.
    assert 0 < mean.uncertain < 0.01 * mean.real
    assert mean.within
    assert p99.within


def test_a_mean_that_is_off_is_found() -> None:
    mean, _ = compare("x", sample(2), sample(3, scale=1.03))
    assert mean.share == pytest.approx(0.03, abs=0.003)
    assert not mean.within
    nearly, _ = compare("x", sample(2), sample(3, scale=1.015))
    assert nearly.within


def test_a_tail_that_is_off_is_found_where_the_mean_is_not() -> None:
    real, told = sample(2), sample(3)
    high_N = told.values_N > np.percentile(told.values_N, 98)
    values_N = np.where(high_N, told.values_N * 2, told.values_N)
    longer = Sample(values_N, told.device_N, told.group_N)
    _, p99 = compare("x", real, longer)
    assert p99.share > 0.5
    # One device in fifty has the whole tail: the interval says how little that is known.
    assert p99.uncertain > 0.05 * p99.real


def test_the_interval_covers_what_it_says() -> None:
    """Of two samples of one distribution, 95 % of the differences lie within half an interval."""
    inside = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        device_N = np.arange(200)
        one, other = (Sample(rng.exponential(1, 200), device_N, device_N) for _ in range(2))
        mean, _ = compare("x", one, other, seed)
        inside += abs(mean.told - mean.real) <= mean.uncertain
    assert 53 <= inside <= 60


def test_a_session_that_several_devices_replay_is_one_draw() -> None:
    """Four devices a session are no four times as sure as one."""
    session_G = np.random.default_rng(4).exponential(1, 100)
    device_N, group_N = np.arange(400), np.repeat(np.arange(100), 4)
    real = Sample(np.random.default_rng(5).exponential(1, 400), device_N, group_N)
    told = Sample(np.repeat(session_G, 4), device_N, group_N)
    mean, _ = compare("x", real, told)
    # Variances of the two means: 1/400 and 1/100.
    assert mean.uncertain == pytest.approx(1.96 * (1 / 400 + 1 / 100) ** 0.5, rel=0.25)


def test_correlation_stays_within_sessions() -> None:
    values = np.array([1.0, 3, 1, 3, 3, 3])
    sessions = np.array([0, 0, 0, 1, 1, 1])
    centred = values - values.mean()
    neighbours = (centred[[0, 1, 3, 4]] * centred[[1, 2, 4, 5]]).mean()
    found = autocorrelation(values, sessions, 3)
    assert found[0] == pytest.approx(neighbours / values.var())
    assert found[2] == 0
