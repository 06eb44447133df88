import math
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim import maths


@given(x=st.floats(1e-300, 1e300))
def test_log_is_the_logarithm(x: float) -> None:
    assert maths.log(x) == pytest.approx(math.log(x), rel=3e-16, abs=1e-300)
    assert float(maths.log_array(np.array([x]))[0]) == maths.log(x)


@given(p=st.floats(1e-16, 1.0, exclude_max=True))
def test_normal_quantile_is_the_quantile(p: float) -> None:
    expected = NormalDist().inv_cdf(p)
    assert maths.normal_quantile(p) == pytest.approx(expected, rel=1e-13, abs=1e-15)
    assert float(maths.normal_quantile_array(np.array([p]))[0]) == maths.normal_quantile(p)


def test_exp_is_right_to_two_ulps_and_the_powers_of_e() -> None:
    x_N = np.concatenate([np.linspace(-700, 700, 20_001), np.linspace(-1, 1, 20_001)])
    exact_N = np.array([math.exp(x) for x in x_N])
    assert np.max(np.abs(maths.exp_array(x_N) - exact_N) / np.spacing(exact_N)) <= 2
    assert maths.exp_array(np.zeros(1))[0] == 1.0
