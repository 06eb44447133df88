"""Counter-based randomness: a pure function of (seed, stream, device, counter).

Rules.
- No state. The i-th draw of a device in a stream is the same whoever asks, in whatever order,
  on however many workers; every method that is compared sees the same numbers.
- (stream, device) are packed into one word, so two of them never share a key under one seed;
  the key is mixed twice (SplitMix64's finaliser, Stafford's variant 13). Within a key the hash
  is a bijection of the counter: no 64-bit value comes twice.
- The key enters twice, before and between the mixing rounds, so that two keys a small multiple
  of the Weyl constant apart do not produce the same sequence shifted.
- One draw uses one counter, whatever its distribution: normal and exponential values come by
  inversion.
- Logarithm and normal quantile are written out in IEEE basic operations: a result does not
  depend on the machine's maths library, and the array forms equal the scalar ones bit for bit.

Devices lie in [0, 2**48), streams in [0, 2**16); seed and counter are taken modulo 2**64.
The hash on arrays is free of Python objects, so that compiled code can call it on `np.uint64`.
Legend: N counters.
"""

from collections.abc import Callable
from enum import IntEnum
from math import frexp, sqrt
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

UInts: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.integer]
Real = TypeVar("Real", float, Floats)


class Stream(IntEnum):
    """What a random number is for. Values are part of every recorded result: append only."""

    UPLINK_JITTER = 0
    DOWNLINK_JITTER = 1
    UPLINK_LOSS = 2
    DOWNLINK_LOSS = 3
    ARRIVAL = 4
    """Inter-arrival times and first starts."""
    THINK = 5
    """A closed loop's pauses."""
    SAMPLING = 6
    """Gumbel noise of a sampled token; the device's own."""
    LOGITS = 7
    """Generated logits of the cloud model."""
    EDGE_LOGITS = 8
    """Generated logits of the edge model."""
    PROMPT = 9
    """Which prompt, and how long."""
    CLASS = 10
    """Which device class."""
    LINK = 11
    """A device's own link, drawn from its profile."""
    HARDWARE = 12
    """A device's own speed, drawn from its class."""
    OUTPUT = 13
    """How many tokens a generated session has."""
    FAULT = 14
    """Injected duplicates, reorderings and deaths."""
    UPLINK_BURST = 15
    """How long gaps and bursts of losses last."""
    DOWNLINK_BURST = 16
    TRACE_OFFSET = 17
    """Where in a trace a device begins."""
    RATES = 18
    """Generated rates of a link."""


# --- the hash ---------------------------------------------------------------------------------

_MASK = 0xFFFF_FFFF_FFFF_FFFF
_WEYL = 0x9E37_79B9_7F4A_7C15
_MIX_1 = 0xBF58_476D_1CE4_E5B9
_MIX_2 = 0x94D0_49BB_1331_11EB


def _seed_key(seed: int, stream: int) -> int:
    """What a stream's keys have in common."""
    z = (seed * _WEYL + _WEYL) & _MASK
    z = ((z ^ (z >> 30)) * _MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
    return z ^ (z >> 31) ^ (stream << 48)


def stream_key(seed: int, stream: int, device: int) -> int:
    """The 64-bit key of one device's stream; keep it where many draws of one stream are made."""
    z = _seed_key(seed, stream) ^ device
    z = ((z ^ (z >> 30)) * _MIX_1) & _MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
    return z ^ (z >> 31)


def u64_at(key: int, counter: int) -> int:
    """The `counter`-th 64 random bits under `key`."""
    z = (key + counter * _WEYL) & _MASK
    z = ((z ^ (z >> 30)) * _MIX_1 + key) & _MASK
    z = ((z ^ (z >> 27)) * _MIX_2) & _MASK
    return z ^ (z >> 31)


_MIX_1_U64 = np.uint64(_MIX_1)
_MIX_2_U64 = np.uint64(_MIX_2)
_WEYL_U64 = np.uint64(_WEYL)
_S11, _S12, _S27 = np.uint64(11), np.uint64(12), np.uint64(27)
_S30, _S31, _S48 = np.uint64(30), np.uint64(31), np.uint64(48)


Hashed = TypeVar("Hashed", UInts, np.uint64)


def hash_u64(key: Hashed, counter: Hashed) -> Hashed:
    """`u64_at` on unsigned 64-bit numbers, which wrap; arrays here, scalars in compiled code."""
    z = key + counter * _WEYL_U64
    z = (z ^ (z >> _S30)) * _MIX_1_U64 + key
    z = (z ^ (z >> _S27)) * _MIX_2_U64
    mixed: Hashed = z ^ (z >> _S31)
    return mixed


def stream_keys(seed: int, stream: int, devices_N: Integers) -> UInts:
    """`stream_key` for each device; shape (N,)."""
    z = np.uint64(_seed_key(seed, stream)) ^ np.asarray(devices_N).astype(np.uint64)
    z = (z ^ (z >> _S30)) * _MIX_1_U64
    z = (z ^ (z >> _S27)) * _MIX_2_U64
    keys_N: UInts = z ^ (z >> _S31)
    return keys_N


def seed_word(seed: int) -> np.uint64:
    """What `device_key` needs of a seed."""
    return np.uint64(_seed_key(seed, 0))


def device_key(word: np.uint64, stream: int, device: int) -> np.uint64:
    """`stream_key` on unsigned 64-bit numbers, which wrap, for compiled code."""
    z = word ^ (np.uint64(stream) << _S48) ^ np.uint64(device)
    z = (z ^ (z >> _S30)) * _MIX_1_U64
    z = (z ^ (z >> _S27)) * _MIX_2_U64
    return z ^ (z >> _S31)


def uniform_with(key: np.uint64, counter: int) -> float:
    """`uniform_at` under a `device_key`, for compiled code."""
    return float(hash_u64(key, np.uint64(counter)) >> _S11) * _ULP_53


def exponential_with(key: np.uint64, counter: int) -> float:
    """`exponential_at` under a `device_key`, for compiled code."""
    return -log((float(hash_u64(key, np.uint64(counter)) >> _S12) + 0.5) * _ULP_52)


def u64(seed: int, stream: int, device: int, counter: int) -> int:
    """64 random bits as an integer in [0, 2**64)."""
    return u64_at(stream_key(seed, stream, device), counter)


def u64_array(seed: int, stream: int, device: int, counters_N: Integers) -> UInts:
    """`u64` for each counter; shape (N,)."""
    key_1 = np.full(1, stream_key(seed, stream, device), dtype=np.uint64)
    return hash_u64(key_1, np.asarray(counters_N).astype(np.uint64))


# --- maths that is the same everywhere ----------------------------------------------------------

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


# --- distributions ------------------------------------------------------------------------------

_ULP_53 = 2.0**-53
_ULP_52 = 2.0**-52


def uniform_at(key: int, counter: int) -> float:
    """`uniform` under a kept key."""
    return (u64_at(key, counter) >> 11) * _ULP_53


def open_uniform_at(key: int, counter: int) -> float:
    """Uniform in the open interval (0, 1): 52 bits and a half, so that it has a logarithm."""
    return ((u64_at(key, counter) >> 12) + 0.5) * _ULP_52


def exponential_at(key: int, counter: int) -> float:
    """`exponential` under a kept key."""
    return -log(open_uniform_at(key, counter))


def uniform(seed: int, stream: int, device: int, counter: int) -> float:
    """Uniform in [0, 1), 53 bits."""
    return (u64(seed, stream, device, counter) >> 11) * _ULP_53


def exponential(seed: int, stream: int, device: int, counter: int) -> float:
    """Exponential with mean 1."""
    return exponential_at(stream_key(seed, stream, device), counter)


def normal(seed: int, stream: int, device: int, counter: int) -> float:
    """Normal with mean 0 and standard deviation 1."""
    return normal_quantile(open_uniform_at(stream_key(seed, stream, device), counter))


def gumbel(seed: int, stream: int, device: int, counter: int) -> float:
    """Standard Gumbel: adding it to logits and taking the largest samples from their softmax."""
    return -log(exponential(seed, stream, device, counter))


_BLOCK = 8192  # a vocabulary at once would leave the cache at every step: 4 × slower


def _draws(
    of_bits: Callable[[UInts], Floats], seed: int, stream: int, device: int, counters_N: Integers
) -> Floats:
    """What `of_bits` makes of the random bits at each counter, block by block."""
    counters_N = np.asarray(counters_N)
    values_N = np.empty(counters_N.shape)
    for start in range(0, len(counters_N), _BLOCK):
        block = slice(start, start + _BLOCK)
        values_N[block] = of_bits(u64_array(seed, stream, device, counters_N[block]))
    return values_N


def _uniform_of(bits_N: UInts) -> Floats:
    return (bits_N >> _S11).astype(np.float64) * _ULP_53


def _open_uniform_of(bits_N: UInts) -> Floats:
    return ((bits_N >> _S12).astype(np.float64) + 0.5) * _ULP_52


def _exponential_of(bits_N: UInts) -> Floats:
    return -log_array(_open_uniform_of(bits_N))


def _normal_of(bits_N: UInts) -> Floats:
    return normal_quantile_array(_open_uniform_of(bits_N))


def _gumbel_of(bits_N: UInts) -> Floats:
    return -log_array(_exponential_of(bits_N))


def uniform_array(seed: int, stream: int, device: int, counters_N: Integers) -> Floats:
    """`uniform` for each counter; shape (N,)."""
    return _draws(_uniform_of, seed, stream, device, counters_N)


def exponential_array(seed: int, stream: int, device: int, counters_N: Integers) -> Floats:
    """`exponential` for each counter; shape (N,)."""
    return _draws(_exponential_of, seed, stream, device, counters_N)


def normal_array(seed: int, stream: int, device: int, counters_N: Integers) -> Floats:
    """`normal` for each counter; shape (N,)."""
    return _draws(_normal_of, seed, stream, device, counters_N)


def uniforms(seed: int, stream: int, devices_N: Integers, counter: int) -> Floats:
    """`uniform` for each device; shape (N,)."""
    keys_N = stream_keys(seed, stream, devices_N)
    return _uniform_of(hash_u64(keys_N, np.full(1, counter, np.uint64)))


def normals(seed: int, stream: int, devices_N: Integers, counter: int) -> Floats:
    """`normal` for each device; shape (N,)."""
    keys_N = stream_keys(seed, stream, devices_N)
    values_N = np.empty(keys_N.shape)
    for start in range(0, len(keys_N), _BLOCK):
        block = slice(start, start + _BLOCK)
        values_N[block] = _normal_of(hash_u64(keys_N[block], np.full(1, counter, np.uint64)))
    return values_N


def gumbel_array(seed: int, stream: int, device: int, counters_N: Integers) -> Floats:
    """`gumbel` for each counter; shape (N,)."""
    return _draws(_gumbel_of, seed, stream, device, counters_N)
