"""Histograms: within a hundredth of every value, and the same however they are merged."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.histogram import BUCKETS, MOST, Histogram, bucket_of, middle_of
from costeer.errors import LocalProtocolError
from netsim.compiled import compiled

some = settings(deadline=None)
values = st.one_of(
    st.integers(0, 300),
    st.integers(0, MOST),
    st.integers(1, 48).map(lambda power: (1 << power) - 1),
    st.integers(1, 47).map(lambda power: 1 << power),
)


@some
@given(values)
def test_a_bucket_stands_for_its_values_within_a_hundredth(value: int) -> None:
    bucket = bucket_of(value)
    assert 0 <= bucket < BUCKETS
    assert abs(middle_of(bucket) - value) <= value / 100
    assert bucket_of(middle_of(bucket)) == bucket
    assert compiled(bucket_of)(value) == bucket


@some
@given(values, values)
def test_buckets_are_in_the_order_of_values(one: int, other: int) -> None:
    assert (bucket_of(one) <= bucket_of(other)) == (one <= other) or bucket_of(one) == bucket_of(
        other
    )


def test_every_bucket_is_reached() -> None:
    assert [bucket_of(middle_of(bucket)) for bucket in range(BUCKETS)] == list(range(BUCKETS))
    assert bucket_of(MOST) == bucket_of(MOST + 1) == bucket_of(2**62) == BUCKETS - 1


@some
@given(st.lists(st.lists(values, max_size=20), min_size=1, max_size=4))
def test_merging_is_counting_all_of_it(parts: list[list[int]]) -> None:
    whole = Histogram.of([value for part in parts for value in part])
    merged = Histogram.of([])
    for part in parts:
        merged = merged.merged(Histogram.of(part))
    assert np.array_equal(merged.counts_B, whole.counts_B)
    assert (merged.total, merged.least, merged.most) == (whole.total, whole.least, whole.most)
    assert merged.total == sum(sum(part) for part in parts)


@some
@given(st.lists(values, min_size=1), st.floats(0, 1))
def test_a_quantile_is_the_value_of_the_nearest_rank(of: list[int], share: float) -> None:
    ranked = sorted(of)
    exact = ranked[max(0, int(np.ceil(share * len(of))) - 1)]
    assert abs(Histogram.of(of).quantile(share) - exact) <= exact / 100


def test_nothing_has_no_quantile_and_no_mean() -> None:
    nothing = Histogram.of([])
    assert np.isnan(nothing.quantile(0.5))
    assert np.isnan(nothing.mean)
    for share in (-0.1, 1.1):
        with pytest.raises(LocalProtocolError):
            nothing.quantile(share)
    with pytest.raises(LocalProtocolError):
        Histogram.of([-1])
