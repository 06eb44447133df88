import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from netsim.errors import NetsimError
from netsim.link import UNLIMITED, Bursts
from netsim.profiles import PROFILES, LinkConfig, fit_round_trip, link_for, profile_named
from netsim.random import Stream, exponential_array
from netsim.transport import IDEAL, TCP, Congestion, Transport

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


class TestLinkConfig:
    def test_a_name_alone(self) -> None:
        assert LinkConfig.model_validate("lte").resolve() is PROFILES["lte"]

    def test_a_profile_with_changes(self) -> None:
        profile = LinkConfig.model_validate({"profile": "lte", "loss": 0.01}).resolve()
        assert profile.down.loss == profile.up.loss == 0.01
        assert profile.down.rate_bps == PROFILES["lte"].down.rate_bps
        assert profile.rtt_ns == PROFILES["lte"].rtt_ns
        assert profile.down.jitter_ns == PROFILES["lte"].down.jitter_ns
        assert profile.name == "lte(loss=0.01)"
        assert "loss=0.01" in profile.source

    def test_all_in_numbers(self) -> None:
        config = LinkConfig(down_mbps=5, up_mbps=1, rtt_s=0.0405, jitter_s=0.002, loss=0.1)
        profile = config.resolve()
        assert (profile.down.rate_bps, profile.up.rate_bps) == (5_000_000, 1_000_000)
        assert profile.rtt_ns == 40_500_000
        assert profile.down.jitter_ns == profile.up.jitter_ns == 2_000_000
        assert profile.down.loss_delay_ns == 244_500_000  # 40.5 + 2 · 2 + 200
        assert profile.source.startswith("declared: ")

    def test_a_new_round_trip_brings_its_own_time_out(self) -> None:
        profile = LinkConfig(profile="4g", rtt_s=0.5).resolve()
        assert profile.down.loss_delay_ns == 720_000_000

    def test_transport_buffer_and_bursts(self) -> None:
        written = {
            "profile": "lte",
            "buffer_bytes": 64_000,
            "bursts": {"gap_s": 10, "burst_s": 0.5, "loss": 0.2},
            "transport": {"kind": "tcp", "congestion": "paced"},
        }
        profile = LinkConfig.model_validate(written).resolve()
        lte = PROFILES["lte"]
        assert profile.transport == Transport(Congestion.PACED)
        for changed, kept in ((profile.down, lte.down), (profile.up, lte.up)):
            bursts = Bursts(10**10, 5 * 10**8, 0.2)
            assert changed == replace(kept, buffer_bytes=64_000, bursts=bursts)
        assert "tcp, congestion=paced" in profile.name
        assert "bursts=0.2 for 0.5 s every 10 s" in profile.source
        # What is not said is TCP; a profile keeps its own.
        assert LinkConfig(down_mbps=5, up_mbps=1, rtt_s=0.04).resolve().transport == TCP
        assert LinkConfig(profile="ideal", rtt_s=0.04).resolve().transport == IDEAL
        assert LinkConfig(profile="lte").resolve().transport == TCP

    @pytest.mark.parametrize(
        ("written", "says"),
        [
            ("lt", "did you mean 'lte'"),
            ("4G-EU", "did you mean '4g-eu'"),
            ("zzz", "known are"),
            ({"down_mbps": 5}, "needs up_mbps, rtt_s"),
            ({"profile": "lte", "dwn_mbps": 5}, "dwn_mbps"),
            ({"profile": "lte", "loss": 1.5}, "less than 1"),
            ({"profile": "lte", "down_mbps": 0}, "greater than 0"),
            ({"profile": "lte", "down_mbps": 6.7e6}, "kbit/s"),
            ({"profile": "lte", "rtt_s": 40}, "0.04"),
            ({"profile": "lte", "rtt_s": math.nan}, "rtt_s"),
            ({"profile": "lte", "buffer_bytes": 100}, "1500"),
            ({"profile": "lte", "bursts": {"gap_s": 1}}, "burst_s"),
            ({"profile": "lte", "transport": "tpc"}, "'tcp', 'datagram' or 'ideal'"),
        ],
    )
    def test_bad_input_is_named(self, written: object, says: str) -> None:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(LinkConfig).validate_python(written)
        assert says in str(caught.value)


def test_unknown_profile_names_the_nearest() -> None:
    with pytest.raises(
        NetsimError, match="unknown link profile 'starlnk': did you mean 'starlink'"
    ):
        profile_named("starlnk")
