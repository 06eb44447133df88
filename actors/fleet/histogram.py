"""Histograms of nanoseconds and other counts that grow with nothing and merge by addition.

Rules
-----
* A value below 128 has a bucket of its own; above, each power of two is cut into 64 buckets, so a
  bucket is at most one part in 64 wide and its middle at most 0.8 % from any value in it.
* Count, sum, least and most are exact. What is merged is what one histogram would have counted.
* Values of 2**48 (78 hours of nanoseconds) and more share the last bucket; their sum stays exact.
* ``bucket_of`` is a plain function of a number, for compiled code.

Legend: B buckets.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import ceil, frexp

import numpy as np

from costeer.errors import LocalProtocolError

Integers = np.ndarray[tuple[int, ...], np.dtype[np.int64]]

_EXACT = 128
_STEP_BITS = 6
_STEPS = 1 << _STEP_BITS
_FIRST_POWER = 8
"""``frexp`` of the first value that shares its bucket: 128 is 0.5 · 2**8."""
_LAST_POWER = 48
BUCKETS = _EXACT + (_LAST_POWER - _FIRST_POWER + 1) * _STEPS
MOST = (1 << _LAST_POWER) - 1
"""The largest value that is not counted as a smaller one."""

NONE_YET = (1 << 63) - 1
"""The least of no values."""


def bucket_of(value: int) -> int:
    """Return the bucket of a value of at least 0."""
    if value < _EXACT:
        return value
    if value > MOST:
        return BUCKETS - 1
    # Exact: a double holds every whole number of so many bits.
    power = frexp(float(value))[1]
    return _EXACT + (power - _FIRST_POWER - 1) * _STEPS + (value >> (power - _STEP_BITS - 1))


def middle_of(bucket: int) -> int:
    """Return the value that stands for all values of a bucket."""
    if bucket < _EXACT:
        return bucket
    power, step = divmod(bucket - _EXACT, _STEPS)
    width = 1 << power + 1
    return (_STEPS + step) * width + width // 2


@dataclass(frozen=True, slots=True)
class Histogram:
    """How often which values came.

    Args:
        counts_B: values by bucket.
        total: sum of all values.
        least: the smallest one; ``NONE_YET`` if there is none.
        most: the largest one; 0 if there is none.
    """

    counts_B: Integers
    total: int
    least: int
    most: int

    @classmethod
    def of(cls, values: Iterable[int]) -> Histogram:
        """Count these values.

        Raises:
            LocalProtocolError: one is negative.
        """
        counts_B = np.zeros(BUCKETS, np.int64)
        total, least, most = 0, NONE_YET, 0
        for value in values:
            if value < 0:
                raise LocalProtocolError(f"histogram: {value} is negative; clip it before")
            counts_B[bucket_of(value)] += 1
            total += value
            least, most = min(least, value), max(most, value)
        return cls(counts_B, total, least, most)

    @property
    def count(self) -> int:
        """How many values."""
        return int(self.counts_B.sum())

    @property
    def mean(self) -> float:
        """Their mean, exact but for rounding; NaN if there are none."""
        count = self.count
        return self.total / count if count else float("nan")

    def merged(self, other: Histogram) -> Histogram:
        """Return the histogram of both sets of values."""
        return Histogram(
            self.counts_B + other.counts_B,
            self.total + other.total,
            min(self.least, other.least),
            max(self.most, other.most),
        )

    def quantile(self, share: float) -> float:
        """Return the value below or at which so much of all lies; NaN if there are none.

        The value of the nearest rank, at most 0.8 % off.

        Args:
            share: in [0, 1].

        Raises:
            LocalProtocolError: it is not.
        """
        if not 0.0 <= share <= 1.0:
            raise LocalProtocolError(f"quantile of {share}: it must lie in [0, 1]")
        count = self.count
        if count == 0:
            return float("nan")
        rank = max(1, ceil(share * count))
        if rank == count:
            return float(self.most)
        bucket = int(np.searchsorted(np.cumsum(self.counts_B), rank))
        return float(min(max(middle_of(bucket), self.least), self.most))
