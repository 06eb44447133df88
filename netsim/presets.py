"""Named links.

Where a source reports a round-trip time as three percentiles, propagation and jitter are fitted
to it: the model's round trip is a constant plus two exponential delays of mean j, whose
percentiles are 0.532 j (p10) and 3.890 j (p90) above the constant. The medians that follow are
within 2–15 % of the published ones, except for the US 4G row (its distribution leans the other
way). Where a source reports one number, the jitter is 0: not reported is not invented.
"""

import importlib
from collections.abc import Mapping
from types import MappingProxyType

from netsim.errors import NetsimError
from netsim.names import lookup
from netsim.profiles import LinkProfile, make_profile
from netsim.transport import IDEAL

_GAMMA2_P10 = 0.532
_GAMMA2_P90 = 3.890


def fit_round_trip(p10_s: float, p90_s: float) -> tuple[float, float]:
    """(rtt_s without jitter, mean jitter_s per direction) that give these percentiles."""
    jitter_s = (p90_s - p10_s) / (_GAMMA2_P90 - _GAMMA2_P10)
    return p10_s - _GAMMA2_P10 * jitter_s, jitter_s


def _cellular(
    name: str, source: str, down_mbps: float, up_mbps: float, p10_ms: float, p90_ms: float
) -> LinkProfile:
    rtt_s, jitter_s = fit_round_trip(p10_ms / 1e3, p90_ms / 1e3)
    return make_profile(
        name,
        source,
        down_mbps=down_mbps,
        up_mbps=up_mbps,
        rtt_s=rtt_s,
        jitter_s=(jitter_s, jitter_s),
    )


def _fixed(name: str, source: str, down_mbps: float, up_mbps: float, rtt_ms: float) -> LinkProfile:
    return make_profile(name, source, down_mbps=down_mbps, up_mbps=up_mbps, rtt_s=rtt_ms / 1e3)


_ALL = (
    make_profile(
        "ideal",
        "declared: no limit, no delay; headers are counted",
        down_mbps=None,
        up_mbps=None,
        rtt_s=0.0,
        transport=IDEAL,
    ),
    _fixed("3g", "preset: Chrome DevTools 3G, 0.5/0.5 Mbit/s, 400 ms", 0.5, 0.5, 400),
    _fixed("slow-4g", "preset: Chrome DevTools Slow 4G, 1.6/0.75 Mbit/s, 150 ms", 1.6, 0.75, 150),
    _fixed("fast-4g", "preset: Chrome DevTools Fast 4G, 9/1.5 Mbit/s, 60 ms", 9, 1.5, 60),
    make_profile(
        "4g",
        "preset: Loadero 4G, 100/50 Mbit/s, 45 ms, jitter 5/15 ms, loss 0.2 %",
        down_mbps=100,
        up_mbps=50,
        rtt_s=0.045,
        jitter_s=(0.005, 0.015),
        loss=0.002,
    ),
    _cellular(
        "3g-eu",
        "measured: ERRANT, 3G in Europe, n=91, 13.2/2.7 Mbit/s, RTT p10/50/90 48/80/176 ms",
        13.2,
        2.7,
        48,
        176,
    ),
    _cellular(
        "4g-eu",
        "measured: ERRANT, 4G in Europe, n=909, 27.1/10.6 Mbit/s, RTT p10/50/90 49/85/167 ms",
        27.1,
        10.6,
        49,
        167,
    ),
    _cellular(
        "4g-us",
        "measured: 4G in the US, 117/31 Mbit/s, RTT p10/50/90 53/89/105 ms",
        117,
        31,
        53,
        105,
    ),
    _cellular(
        "lte",
        "measured: LTE in Ireland under load, 6.7 Mbit/s down, RTT p10/50/90 68/84/106 ms; "
        "up declared: 2.6 Mbit/s, the down/up ratio of 4g-eu",
        6.7,
        2.6,
        68,
        106,
    ),
    _cellular(
        "5g-ie",
        "measured: 5G NSA in Ireland, 20 Mbit/s down (p95 226), RTT p10/50/90 66/72/91 ms; "
        "up declared: 8 Mbit/s, the down/up ratio of 4g-eu",
        20,
        8,
        66,
        91,
    ),
    _fixed("5g", "measured: 5G NSA in the US, 136/77 Mbit/s, RTT p50 57 ms", 136, 77, 57),
    _fixed("5g-mmwave", "measured: 5G mmWave in the US, 944/77 Mbit/s, 52 ms", 944, 77, 52),
    _fixed("starlink", "measured: Starlink in the US, 2023, 64.5/9.7 Mbit/s, 60 ms", 64.5, 9.7, 60),
    _fixed(
        "geo",
        "measured: geostationary satellite, 18–20 (19)/<3.5 Mbit/s, RTT 630–724 (677) ms",
        19,
        3.5,
        677,
    ),
    _fixed("cable", "preset: WebPageTest Cable, 5/1 Mbit/s, 28 ms", 5, 1, 28),
    _fixed("dsl", "preset: WebPageTest DSL, 1.5/0.384 Mbit/s, 50 ms", 1.5, 0.384, 50),
    _fixed("fios", "preset: WebPageTest FIOS, 20/5 Mbit/s, 4 ms", 20, 5, 4),
    _fixed(
        "fixed-us", "measured: fixed line in the US, median of 2021, 115/17, 14 ms", 115, 17, 14
    ),
)

PROFILES: Mapping[str, LinkProfile] = MappingProxyType({profile.name: profile for profile in _ALL})
"""Every named profile. Rates are down/up, in Mbit/s."""


def profile_named(name: str) -> LinkProfile:
    """The profile called `name`, or `package.module:NAME` for one of one's own.

    NetsimError names the nearest valid one, or says why there is none.
    """
    if ":" in name:
        module_name, _, attribute = name.partition(":")
        try:
            found = getattr(importlib.import_module(module_name), attribute)
        except (ImportError, AttributeError, ValueError) as error:
            raise NetsimError(f"link profile {name!r} cannot be imported: {error}") from error
        if not isinstance(found, LinkProfile):
            raise NetsimError(f"link profile {name!r} is no netsim.profiles.LinkProfile")
        return found
    return lookup(PROFILES, name, "link profile")
