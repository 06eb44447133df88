"""Maths that is the same everywhere: written out in IEEE basic operations.

A result does not depend on the machine's maths library, and the array forms equal the scalar ones
bit for bit. Legend: N elements.
"""

from math import frexp, sqrt
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float64]
Real = TypeVar("Real", float, Floats)

_SQRT_HALF = 0.7071067811865476
_LN2_HIGH = 6.93147180369123816490e-01
_LN2_LOW = 1.90821492927058770002e-10


def _log_from(f: Real, k: Real) -> Real:
    """ln(2**k · (1 + f)) for 1 + f in [√½, √2): fdlibm's e_log, error below 1 ulp."""
    s = f / (2.0 + f)
    z = s * s
    w = z * z
    odd = z * (
        6.666666666666735130e-01
        + w
        * (2.857142874366239149e-01 + w * (1.818357216161805012e-01 + w * 1.479819860511658591e-01))
    )
    even = w * (
        3.999999999940941908e-01 + w * (2.222219843214978396e-01 + w * 1.531383769920937332e-01)
    )
    half = 0.5 * f * f
    return k * _LN2_HIGH - ((half - (s * (half + (odd + even)) + k * _LN2_LOW)) - f)


def log(x: float) -> float:
    """Natural logarithm of a positive, normal x, the same on every machine."""
    m, k = frexp(x)
    if m < _SQRT_HALF:
        m += m
        k -= 1
    return _log_from(m - 1.0, float(k))


def log_array(x_N: Floats) -> Floats:
    """`log`, element by element."""
    m_N, k_N = np.frexp(x_N)
    low_N = m_N < _SQRT_HALF
    m_N = np.where(low_N, m_N + m_N, m_N)
    return _log_from(m_N - 1.0, (k_N - low_N).astype(np.float64))


_PER_LN2 = 1.44269504088896338700e00


def exp_array(x_N: Floats) -> Floats:
    """E to the power of each x in ±700, the same on every machine: fdlibm's e_exp, below 1 ulp."""
    k_N = np.rint(x_N * _PER_LN2)
    high_N = x_N - k_N * _LN2_HIGH
    low_N = k_N * _LN2_LOW
    r_N = high_N - low_N
    t_N = r_N * r_N
    c_N = r_N - t_N * (
        1.66666666666666019037e-01
        + t_N
        * (
            -2.77777777770155933842e-03
            + t_N
            * (
                6.61375632143793436117e-05
                + t_N * (-1.65339022054652515390e-06 + t_N * 4.13813679705723846039e-08)
            )
        )
    )
    powers_N: Floats = np.ldexp(
        1.0 - ((low_N - (r_N * c_N) / (2.0 - c_N)) - high_N), k_N.astype(np.int32)
    )
    return powers_N


# The normal quantile: Wichura (1988), algorithm AS 241 (PPND16), relative error about 1e-16.
# Each pair is (numerator, denominator), highest power first.
_CENTRE = (
    (
        2.5090809287301226727e3,
        3.3430575583588128105e4,
        6.7265770927008700853e4,
        4.5921953931549871457e4,
        1.3731693765509461125e4,
        1.9715909503065514427e3,
        1.3314166789178437745e2,
        3.3871328727963666080e0,
    ),
    (
        5.2264952788528545610e3,
        2.8729085735721942674e4,
        3.9307895800092710610e4,
        2.1213794301586595867e4,
        5.3941960214247511077e3,
        6.8718700749205790830e2,
        4.2313330701600911252e1,
        1.0,
    ),
)
_TAIL = (
    (
        7.74545014278341407640e-4,
        2.27238449892691845833e-2,
        2.41780725177450611770e-1,
        1.27045825245236838258e0,
        3.64784832476320460504e0,
        5.76949722146069140550e0,
        4.63033784615654529590e0,
        1.42343711074968357734e0,
    ),
    (
        1.05075007164441684324e-9,
        5.47593808499534494600e-4,
        1.51986665636164571966e-2,
        1.48103976427480074590e-1,
        6.89767334985100004550e-1,
        1.67638483018380384940e0,
        2.05319162663775882187e0,
        1.0,
    ),
)
_FAR_TAIL = (
    (
        2.01033439929228813265e-7,
        2.71155556874348757815e-5,
        1.24266094738807843860e-3,
        2.65321895265761230930e-2,
        2.96560571828504891230e-1,
        1.78482653991729133580e0,
        5.46378491116411436990e0,
        6.65790464350110377720e0,
    ),
    (
        2.04426310338993978564e-15,
        1.42151175831644588870e-7,
        1.84631831751005468180e-5,
        7.86869131145613259100e-4,
        1.48753612908506148525e-2,
        1.36929880922735805310e-1,
        5.99832206555887937690e-1,
        1.0,
    ),
)
_CENTRE_HALF_WIDTH = 0.425
_FAR = 5.0


def _ratio(r: Real, pair: tuple[tuple[float, ...], tuple[float, ...]]) -> Real:
    """Quotient of two polynomials of degree 7 in r."""
    (a7, a6, a5, a4, a3, a2, a1, a0), (b7, b6, b5, b4, b3, b2, b1, b0) = pair
    return (((((((a7 * r + a6) * r + a5) * r + a4) * r + a3) * r + a2) * r + a1) * r + a0) / (
        ((((((b7 * r + b6) * r + b5) * r + b4) * r + b3) * r + b2) * r + b1) * r + b0
    )


def normal_quantile(p: float) -> float:
    """The value that a standard normal number stays below with probability p in (0, 1)."""
    q = p - 0.5
    if -_CENTRE_HALF_WIDTH <= q <= _CENTRE_HALF_WIDTH:
        return q * _ratio(0.180625 - q * q, _CENTRE)
    r = sqrt(-log(p if q < 0.0 else 1.0 - p))
    x = _ratio(r - 1.6, _TAIL) if r <= _FAR else _ratio(r - _FAR, _FAR_TAIL)
    return -x if q < 0.0 else x


def normal_quantile_array(p_N: Floats) -> Floats:
    """`normal_quantile`, element by element."""
    q_N = p_N - 0.5
    x_N = q_N * _ratio(0.180625 - q_N * q_N, _CENTRE)
    tail_N = np.abs(q_N) > _CENTRE_HALF_WIDTH
    p_T, q_T = p_N[tail_N], q_N[tail_N]
    r_T = np.sqrt(-log_array(np.where(q_T < 0.0, p_T, 1.0 - p_T)))
    x_T = np.where(r_T <= _FAR, _ratio(r_T - 1.6, _TAIL), _ratio(r_T - _FAR, _FAR_TAIL))
    x_N[tail_N] = np.where(q_T < 0.0, -x_T, x_T)
    return x_N
