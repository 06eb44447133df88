"""How the devices of a profile differ: fast and slow ones, near and far ones.

A device's rate is the profile's times a lognormal factor with median 1, its round trip likewise;
both are drawn once per device. Normal draws are clipped at ±2.5, about one device in eighty: rates
beyond are single lucky measurements. Rates down and up go together, round trips by themselves (in
ERRANT's tests the logarithms of rate and round trip correlate by less than 0.1).

ERRANT reports one round trip per test, so its percentiles tell devices and places apart, not the
messages of one device. With a spread they are counted there, once, and the device has no jitter;
without one they are the jitter of every device.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from math import sqrt
from types import MappingProxyType

import numpy as np

from netsim.errors import NetsimError
from netsim.maths import exp_array
from netsim.random import Floats, Integers, Stream, normals

_MOST_DEVIATIONS = 2.5


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the devices of a profile lie apart; deviations are of natural logarithms."""

    down: float
    """Standard deviation of the rate towards the device."""
    up: float
    """The same of the rate from the device."""
    rtt: float
    """The same of the round-trip time."""
    together: float
    """Correlation of the two rates."""
    source: str
    """Where the numbers come from, in words."""
    rtt_ns: int = 0
    """Median round trip where its percentiles are those of devices; 0 for the profile's own."""

    def __post_init__(self) -> None:
        if min(self.down, self.up, self.rtt) < 0 or not -1 <= self.together <= 1:
            raise NetsimError(
                f"spread: {self}; deviations are not negative, a correlation is in ±1"
            )

    def factors(self, seed: int, devices_N: Integers) -> tuple[Floats, Floats, Floats]:
        """What the rates down and up and the round trip of each device are multiplied by."""
        down_N, own_N, rtt_N = (
            normals(seed, Stream.LINK, devices_N, counter) for counter in range(3)
        )
        up_N = self.together * down_N + sqrt(1.0 - self.together * self.together) * own_N
        down_N, up_N, rtt_N = (
            exp_array(deviation * np.clip(each_N, -_MOST_DEVIATIONS, _MOST_DEVIATIONS))
            for deviation, each_N in ((self.down, down_N), (self.up, up_N), (self.rtt, rtt_N))
        )
        return down_N, up_N, rtt_N


_3G = Spread(
    0.571,
    0.543,
    0.507,
    0.41,
    "measured: ERRANT, 3G in Europe, n=91: ln(p90/p10)/2.563 of rates and round trip, correlation",
    80_000_000,
)
_4G = Spread(
    0.971,
    1.111,
    0.476,
    0.55,
    "measured: ERRANT, 4G in Europe, n=909: ln(p90/p10)/2.563 of rates and round trip, correlation",
    85_000_000,
)
_NEAR = 0.1
_LIKE_3G = replace(_3G, rtt_ns=0, source="declared: as ERRANT's 3G in Europe")
_LIKE_4G = replace(_4G, rtt_ns=0, source="declared: as ERRANT's 4G in Europe")
_CELLULAR = replace(
    _LIKE_4G, rtt=_NEAR, source="declared: rates as ERRANT's 4G in Europe, round trip 0.1"
)
_FIXED = Spread(
    0.3, 0.3, 0.2, 0.8, "declared: lines of one product, 0.3 of rates, 0.2 of round trip"
)

SPREADS: Mapping[str, Spread] = MappingProxyType(
    {
        "3g": _LIKE_3G,
        "slow-4g": _LIKE_4G,
        "fast-4g": _LIKE_4G,
        "4g": _LIKE_4G,
        "3g-eu": _3G,
        "4g-eu": _4G,
        "4g-us": _CELLULAR,
        "lte": _CELLULAR,
        "5g-ie": replace(
            _CELLULAR,
            down=1.474,
            source="measured: 5G NSA in Ireland, down: ln(p95/p50)/1.645 of 226 and 20 Mbit/s; "
            "declared: up as ERRANT's 4G, round trip 0.1",
        ),
        "5g": _CELLULAR,
        "5g-mmwave": _CELLULAR,
        "starlink": Spread(
            0.3,
            0.3,
            _NEAR,
            0.5,
            "declared: 0.3 of rates, by which two published means differ (64.5, 48.7 Mbit/s); "
            "round trip 0.1",
        ),
        "geo": Spread(
            0.041,
            0.041,
            0.054,
            0.5,
            "measured: published ranges 18–20 Mbit/s and 630–724 ms taken as p10–p90; up declared",
        ),
        "cable": _FIXED,
        "dsl": _FIXED,
        "fios": _FIXED,
        "fixed-us": _FIXED,
    }
)
"""How the devices of every named profile differ; `ideal` has nothing to differ in."""
