import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.carriage import UNLIMITED
from netsim.errors import NetsimError
from netsim.presets import PROFILES, fit_round_trip, profile_named
from netsim.profiles import drawn, link_for, make_profile
from netsim.random import Stream, exponential_array
from netsim.trace import make_trace

MS = 1_000_000


def test_every_profile_says_where_it_comes_from() -> None:
    for name, profile in PROFILES.items():
        assert profile.name == name
        assert profile.source.startswith(("measured: ", "preset: ", "declared: "))
    assert {"ideal", "3g", "slow-4g", "fast-4g", "4g-eu", "lte", "5g", "starlink"} <= set(PROFILES)


def test_ideal_has_no_delay() -> None:
    link = link_for(PROFILES["ideal"], seed=1, device=0)
    assert link.send_up(17, 10**6).arrival_ns == 17
    assert link.down.rate_bps == UNLIMITED


@pytest.mark.parametrize(
    ("name", "p50_ms", "tolerance"),
    [("4g-eu", 85, 0.06), ("lte", 84, 0.05), ("5g-ie", 72, 0.05), ("3g-eu", 80, 0.16)],
)
def test_fitted_medians_come_near_the_published(name: str, p50_ms: float, tolerance: float) -> None:
    profile = PROFILES[name]
    counters_N = np.arange(20_000)
    rtt_N = (
        profile.rtt_ns
        + profile.down.jitter_ns * exponential_array(1, Stream.DOWNLINK_JITTER, 0, counters_N)
        + profile.up.jitter_ns * exponential_array(1, Stream.UPLINK_JITTER, 0, counters_N)
    )
    assert np.median(rtt_N) / MS == pytest.approx(p50_ms, rel=tolerance)


@given(p10=st.floats(0.01, 0.2), spread=st.floats(0.0, 0.05))
def test_fit_returns_the_tenth_and_ninetieth_percentile(p10: float, spread: float) -> None:
    rtt_s, jitter_s = fit_round_trip(p10, p10 + spread)

    def share_below(t: float) -> float:  # of the sum of two exponentials
        x = t / jitter_s
        return 1 - math.exp(-x) * (1 + x)

    if spread > 1e-6:
        assert share_below(p10 - rtt_s) == pytest.approx(0.1, abs=0.001)
        assert share_below(p10 + spread - rtt_s) == pytest.approx(0.9, abs=0.001)


def test_links_of_a_profile_differ_by_device_only_in_their_draws() -> None:
    first, again, other = (link_for(PROFILES["lte"], 7, device) for device in (1, 1, 2))
    assert first.send_down(0, 165) == again.send_down(0, 165)
    assert first.down == other.down
    assert first.send_down(10**12, 165) != other.send_down(10**12, 165)


def test_every_device_begins_elsewhere_in_a_trace_and_both_directions_together() -> None:
    down = make_trace("down", [(50_000_000, 10**6), (50_000_000, 2 * 10**6)])
    up = make_trace("up", [(30_000_000, 10**6), (10_000_000, 10**5)])
    profile = PROFILES["lte"].following(down, up)
    offsets_ns = set()
    for device in range(100):
        own = drawn(profile, 7, device)
        assert own == drawn(profile, 7, device)
        assert drawn(own, 7, device) is own
        traced = [own.down.trace, own.up.trace]
        assert traced[0] is not None
        assert traced[1] is not None
        offset_ns = traced[0].offset_ns
        assert traced[1].offset_ns == offset_ns % up.period_ns
        offsets_ns.add(offset_ns)
    assert len(offsets_ns) == 100
    assert sum(offsets_ns) / 100 == pytest.approx(50e9, rel=0.15)
    fixed = drawn(replace(profile, offset_ns=17), 7, 5)
    assert fixed.down.trace == down.starting_at(17)
    assert drawn(PROFILES["lte"], 7, 5) is PROFILES["lte"]
    # The link of a class is the link of what was drawn from it.
    one, other = (link_for(each, 7, 5) for each in (profile, drawn(profile, 7, 5)))
    assert one.send_down(0, 10**5) == other.send_down(0, 10**5)


def test_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(
        NetsimError, match="unknown link profile 'starlnk': did you mean 'starlink'"
    ):
        profile_named("starlnk")


OWN = make_profile("own", "declared", down_mbps=3, up_mbps=1, rtt_s=0.02)


def test_a_link_of_ones_own_is_imported_by_its_path() -> None:
    assert profile_named("tests.netsim.test_profiles:OWN") == OWN


@pytest.mark.parametrize(
    ("path", "says"),
    [("nowhere:OWN", "cannot be imported"), ("tests.netsim.test_profiles:MS", "is no netsim")],
)
def test_what_is_no_link_is_refused(path: str, says: str) -> None:
    with pytest.raises(NetsimError, match=says):
        profile_named(path)
