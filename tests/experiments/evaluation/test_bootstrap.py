"""Bootstrap intervals: determinism, known cases, and coverage of a known mean."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from experiments.evaluation.bootstrap import (
    Interval,
    clustered_interval,
    mean_interval,
    paired_difference,
)

FINITE = st.floats(-1e3, 1e3)


@given(st.lists(FINITE, min_size=1, max_size=30), st.integers(0, 99))
def test_the_interval_is_seeded_and_lies_within_the_values(values: list[float], seed: int) -> None:
    array = np.array(values)
    interval = mean_interval(array, seed, draws=50)
    assert interval == mean_interval(array, seed, draws=50)
    slack = 1e-9 * (1 + np.abs(array).max())
    assert array.min() - slack <= interval.low <= interval.high <= array.max() + slack
    assert interval.mean == pytest.approx(array.mean())


def test_equal_values_give_an_interval_without_width() -> None:
    interval = mean_interval(np.full(20, 0.25))
    assert (interval.low, interval.high) == pytest.approx((0.25, 0.25))


def test_pairing_removes_what_rows_have_in_common() -> None:
    rows = np.random.default_rng(1).normal(size=200)
    difference = paired_difference(rows + 0.1, rows)
    assert (difference.mean, difference.low, difference.high) == pytest.approx((0.1, 0.1, 0.1))
    assert difference.excludes_zero
    assert not Interval(0.0, -0.1, 0.1).excludes_zero


def test_95_percent_intervals_cover_the_true_mean_about_that_often() -> None:
    rng = np.random.default_rng(7)
    hits = 0
    for trial in range(200):
        interval = mean_interval(rng.normal(size=60), trial, draws=400)
        hits += interval.low <= 0 <= interval.high
    assert 180 <= hits <= 199


def test_nothing_and_unequal_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="no rows"):
        mean_interval(np.array([]))
    with pytest.raises(ValueError, match="differ in shape"):
        paired_difference(np.zeros(3), np.zeros(4))


def test_clusters_of_one_row_are_rows() -> None:
    values = np.random.default_rng(2).normal(3, 1, 60)
    alone = clustered_interval(values, np.arange(60), seed=5, draws=4_000)
    rows = mean_interval(values, seed=5, draws=4_000)
    assert (alone.mean, alone.low, alone.high) == pytest.approx(
        (rows.mean, rows.low, rows.high), abs=0.03
    )


def test_rows_that_share_their_luck_widen_the_interval() -> None:
    luck = np.repeat(np.random.default_rng(3).normal(0, 1, 12), 20)
    clustered = clustered_interval(luck, np.repeat(np.arange(12), 20))
    rows = mean_interval(luck)
    assert clustered.high - clustered.low > 3 * (rows.high - rows.low)


def test_of_one_cluster_nothing_is_known() -> None:
    found = clustered_interval(np.array([1.0, 3.0]), np.array([7, 7]))
    assert found.mean == 2.0
    assert np.isnan([found.low, found.high]).all()
    assert not found.excludes_zero
    with pytest.raises(ValueError, match="no rows"):
        clustered_interval(np.array([]), np.array([], dtype=np.int64))


def test_many_clusters_have_the_interval_that_the_bootstrap_has() -> None:
    rng = np.random.default_rng(4)
    clusters = rng.integers(0, 2_500, 6_000)
    values = rng.exponential(1, 6_000) + (clusters % 7)
    normal = clustered_interval(values, clusters)
    few = clusters < 1_900
    drawn = clustered_interval(values[few], clusters[few], draws=2_000)
    widths = [each.high - each.low for each in (normal, drawn)]
    assert widths[0] == pytest.approx(widths[1] * np.sqrt(1_900 / 2_500), rel=0.1)
