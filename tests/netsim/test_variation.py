"""How much forwards of one shape differ: from measured times to factors, and back to times."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.hardware.variation import FACTORS, check_variation, variation_of, varied_ns

ratios = st.lists(st.floats(0.01, 50), min_size=1, max_size=200)
uniforms = st.floats(0, 1, exclude_max=True)


@given(ratios)
def test_factors_ascend_within_what_was_measured(measured: list[float]) -> None:
    factors = variation_of(measured)
    check_variation(factors)
    assert len(factors) == FACTORS
    assert round(1000 * min(measured)) <= factors[0]
    assert factors[-1] <= round(1000 * max(measured))


@given(st.lists(st.floats(0.5, 4), min_size=400, max_size=400))
def test_mean_of_the_factors_is_that_of_many_measurements(measured: list[float]) -> None:
    mean = sum(measured) / len(measured)
    assert sum(variation_of(measured)) / FACTORS / 1000 == pytest.approx(mean, rel=0.02)


@given(st.integers(0, 10**12), ratios, uniforms, uniforms)
def test_a_larger_draw_takes_no_less_time(
    duration_ns: int, measured: list[float], one: float, other: float
) -> None:
    factors = variation_of(measured)
    low, high = sorted((one, other))
    assert varied_ns(duration_ns, factors, low) <= varied_ns(duration_ns, factors, high)


@given(st.integers(0, 10**12), uniforms)
def test_forwards_that_do_not_differ_take_what_the_model_says(
    duration_ns: int, uniform: float
) -> None:
    assert varied_ns(duration_ns, variation_of([1.0]), uniform) == duration_ns


@pytest.mark.parametrize("bad", [[], [-0.1], [2000.0]])
def test_ratios_that_are_none_are_refused(bad: list[float]) -> None:
    with pytest.raises(NetsimError, match=r"measure again.*from 0 to below 1000"):
        variation_of(bad)


@pytest.mark.parametrize("bad", [(2, 1), (-1,), (1_000_000,)])
def test_factors_that_are_none_are_refused(bad: tuple[int, ...]) -> None:
    with pytest.raises(NetsimError, match="ascending factors in thousandths"):
        check_variation(bad)
