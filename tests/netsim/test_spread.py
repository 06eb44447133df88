"""Profiles as distributions: what is drawn, for one device and for many, and from what."""

import csv
import math
from dataclasses import replace
from statistics import correlation, quantiles

import numpy as np
import pytest

from netsim.errors import NetsimError
from netsim.link_config import LinkConfig
from netsim.presets import PROFILES
from netsim.profiles import drawn, link_for, own_figures
from netsim.spread import SPREADS, Spread
from netsim.trace import make_trace
from tests.netsim.traces import NETWORK_DATA

ERRANT = NETWORK_DATA / "gpl3_errant" / "speed_test_sample.csv"
DEVICES = np.arange(20_000)


def test_every_profile_but_the_ideal_one_has_a_spread_with_a_source() -> None:
    assert set(SPREADS) == set(PROFILES) - {"ideal"}
    assert all(each.source.startswith(("measured: ", "declared: ")) for each in SPREADS.values())


@pytest.mark.parametrize("name", SPREADS)
def test_many_devices_get_the_links_that_each_gets_alone(name: str) -> None:
    profile = LinkConfig(profile=name, spread=True).resolve()
    own = own_figures(profile, 7, np.arange(10_000))
    for device in (0, 1, 8191, 8192, 9999):
        alone = drawn(profile, 7, device)
        assert alone.down.rate_bps == own.down_bps[device]
        assert alone.up.rate_bps == own.up_bps[device]
        assert alone.rtt_ns == own.rtt_ns[device]
        assert alone.down.loss_delay_ns == alone.up.loss_delay_ns == own.loss_delay_ns[device]
        assert alone.name == profile.name
        assert drawn(alone, 7, device) is alone
        one, other = (link_for(each, 7, device) for each in (profile, alone))
        assert one.send_down(0, 10**5) == other.send_down(0, 10**5)
    assert len(set(own.down_bps.tolist())) > 5000
    assert (own.down_bps > 0).all()


def test_a_seed_is_a_fleet() -> None:
    profile = LinkConfig(profile="lte", spread=True).resolve()
    first, other = (own_figures(profile, seed, DEVICES) for seed in (1, 2))
    assert (first.down_bps != other.down_bps).mean() > 0.99
    some = own_figures(profile, 1, DEVICES[100:200])
    assert (some.down_bps == first.down_bps[100:200]).all()


@pytest.mark.parametrize("name", ["4g-eu", "fixed-us"])
def test_a_fleet_has_the_spread_that_was_written(name: str) -> None:
    spread = SPREADS[name]
    own = own_figures(LinkConfig(profile=name, spread=True).resolve(), 3, DEVICES)
    logs = [np.log(each) for each in (own.down_bps, own.up_bps, own.rtt_ns)]
    for log_N, deviation in zip(logs, (spread.down, spread.up, spread.rtt), strict=True):
        # Clipping at 2.5 takes 1 to 2 % off a deviation.
        assert np.std(log_N) == pytest.approx(deviation, rel=0.04)
        assert np.ptp(log_N) <= 5.0 * deviation + 1e-6
    assert np.corrcoef(logs[0], logs[1])[0, 1] == pytest.approx(spread.together, abs=0.03)
    assert abs(np.corrcoef(logs[0], logs[2])[0, 1]) < 0.03
    median_bps = np.median(own.down_bps)
    assert median_bps == pytest.approx(PROFILES[name].down.rate_bps, rel=0.03)


def test_percentiles_of_devices_are_counted_once() -> None:
    spreading = LinkConfig(profile="4g-eu", spread=True).resolve()
    assert spreading.down.jitter_ns == spreading.up.jitter_ns == 0
    own = own_figures(spreading, 1, DEVICES)
    p10, p50, p90 = np.percentile(own.rtt_ns, [10, 50, 90]) / 1e6
    # Published: 49/85/167 ms.
    assert (p10, p50, p90) == pytest.approx((49, 85, 167), rel=0.08)
    said = LinkConfig(profile="4g-eu", spread=True, jitter_s=0.01).resolve()
    assert said.down.jitter_ns == 10_000_000
    assert PROFILES["4g-eu"].spread is None


def test_a_declared_time_out_is_kept_and_a_derived_one_follows_the_round_trip() -> None:
    declared = LinkConfig(profile="lte", spread=True, loss_delay_s=0.5).resolve()
    assert {drawn(declared, 1, each).down.loss_delay_ns for each in range(9)} == {500_000_000}
    derived = LinkConfig(profile="lte", spread=True).resolve()
    assert len({drawn(derived, 1, each).down.loss_delay_ns for each in range(9)}) == 9


def test_a_trace_s_rate_is_the_trace_s() -> None:
    trace = make_trace("t", [(10**6, 10**6), (10**6, 3 * 10**6)])
    profile = LinkConfig(profile="lte", spread=True).resolve().following(trace, None)
    own = own_figures(profile, 1, DEVICES)
    assert set(own.down_bps.tolist()) == {2_000_000}
    assert len(set(own.up_bps.tolist())) > 5000
    one = drawn(profile, 1, 4).down.trace
    assert one is not None
    assert one.offset_ns == own.offset_ns[4]


def test_bad_spreads() -> None:
    with pytest.raises(ValueError, match="ideal has no spread"):
        LinkConfig(profile="ideal", spread=True)
    with pytest.raises(ValueError, match="a link in numbers has no spread"):
        LinkConfig(down_mbps=1, up_mbps=1, rtt_s=0.1, spread=True)
    with pytest.raises(NetsimError, match="deviations are not negative"):
        Spread(-0.1, 0, 0, 0, "declared: wrong")
    with pytest.raises(NetsimError, match="correlation"):
        replace(SPREADS["lte"], together=2.0)


@pytest.mark.skipif(not ERRANT.exists(), reason=f"no {ERRANT}")
@pytest.mark.parametrize(("name", "technology"), [("3g-eu", "3G"), ("4g-eu", "4G")])
def test_the_measured_spreads_are_those_of_the_measurements(name: str, technology: str) -> None:
    with ERRANT.open(newline="") as file:
        tests = [row for row in csv.DictReader(file) if row["access_technology"] == technology]
    spread = SPREADS[name]
    for column, deviation in (
        ("download_mbps", spread.down),
        ("upload_mbps", spread.up),
        ("rtt_ms", spread.rtt),
    ):
        tenths = quantiles([float(row[column]) for row in tests], n=10, method="inclusive")
        measured = math.log(tenths[-1] / tenths[0]) / 2.563
        assert deviation == pytest.approx(measured, rel=0.02)
    rates = [[math.log(float(row[f"{way}load_mbps"])) for row in tests] for way in ("down", "up")]
    assert spread.together == pytest.approx(correlation(*rates), abs=0.01)
