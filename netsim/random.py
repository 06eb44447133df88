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
- Logarithm and normal quantile are those of `netsim.maths`, the same on every machine.

Devices lie in [0, 2**48), streams in [0, 2**16); seed and counter are taken modulo 2**64.
The hash on arrays is free of Python objects, so that compiled code can call it on `np.uint64`.
Legend: N counters.
"""

from collections.abc import Callable
from enum import IntEnum
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from netsim.maths import log, log_array, normal_quantile, normal_quantile_array

UInts: TypeAlias = npt.NDArray[np.uint64]
Floats: TypeAlias = npt.NDArray[np.float64]
Integers: TypeAlias = npt.NDArray[np.integer]


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
    REGION = 19
    """Which region a device lives in."""
    PROFILE = 20
    """Where in a profile of measured sessions a device begins."""
    DRAFTS = 21
    """Which drafts of a host without a model are right."""
    RETRY = 22
    """By how much waits for an answer differ from session to session."""
    DOUBTS = 23
    """Of which tokens a cloud without a model is sure."""
    FORWARD_TIME = 24
    """By how much a forward of a replica is longer or shorter than others of its shape."""


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


def uniforms(seed: int, stream: int, devices_N: Integers, counters: int | Integers) -> Floats:
    """`uniform` for each device, at one counter or at each its own; shape (N,)."""
    return _drawn_each(_uniform_of, seed, stream, devices_N, counters)


def exponentials(seed: int, stream: int, devices_N: Integers, counters: int | Integers) -> Floats:
    """`exponential` for each device, at one counter or at each its own; shape (N,)."""
    return _drawn_each(_exponential_of, seed, stream, devices_N, counters)


def normals(seed: int, stream: int, devices_N: Integers, counters: int | Integers) -> Floats:
    """`normal` for each device, at one counter or at each its own; shape (N,)."""
    return _drawn_each(_normal_of, seed, stream, devices_N, counters)


def _drawn_each(
    of_bits: Callable[[UInts], Floats],
    seed: int,
    stream: int,
    devices_N: Integers,
    counters: int | Integers,
) -> Floats:
    """What `of_bits` makes of each device's random bits, block by block."""
    keys_N = stream_keys(seed, stream, devices_N)
    counters_N = np.broadcast_to(np.asarray(counters).astype(np.uint64), keys_N.shape)
    values_N = np.empty(keys_N.shape)
    for start in range(0, len(keys_N), _BLOCK):
        block = slice(start, start + _BLOCK)
        values_N[block] = of_bits(hash_u64(keys_N[block], counters_N[block]))
    return values_N


def gumbel_array(seed: int, stream: int, device: int, counters_N: Integers) -> Floats:
    """`gumbel` for each counter; shape (N,)."""
    return _draws(_gumbel_of, seed, stream, device, counters_N)
