import math
from dataclasses import replace

import pytest
from pydantic import TypeAdapter, ValidationError

from netsim.link import Bursts
from netsim.link_config import LinkConfig
from netsim.presets import PROFILES
from netsim.profiles import drawn
from netsim.trace import make_trace
from netsim.transport import IDEAL, TCP, Congestion, Transport


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

    def test_a_trace_gives_the_rates_that_it_names(self) -> None:
        written = {"profile": "lte", "trace": {"down": "there/drive.txt"}}
        profile = LinkConfig.model_validate(written).resolve()
        assert profile.name == "lte(trace: down=drive.txt)"
        recorded = make_trace("drive.txt", [(1_000_000, 10**6), (3_000_000, 5 * 10**6)])
        followed = profile.following(recorded, None)
        assert followed.down.rate_bps == 4_000_000
        assert followed.up == PROFILES["lte"].up
        both = {"rtt_s": 0.04, "trace": {"down": "a.json", "up": "b.json"}}
        name = LinkConfig.model_validate(both).resolve().name
        assert name == "custom(rtt_s=0.04, trace: down=a.json, up=b.json)"

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
            ({"profile": "lte", "trace": {}}, "give down, up or both"),
            ({"profile": "lte", "trace": {"dwn": "x"}}, "dwn"),
            ({"trace": {"down": "x"}, "rtt_s": 0.1}, "needs up_mbps as well"),
            (
                {"profile": "lte", "up_mbps": 3, "trace": {"up": "x"}},
                "up_mbps and trace both say the rate",
            ),
            ({"profile": "lte", "trace": {"up": "x", "max_wait_s": 0}}, "greater than 0"),
            ({"profile": "lte", "transport": "tpc"}, "'tcp', 'datagram' or 'ideal'"),
        ],
    )
    def test_bad_input_is_named(self, written: object, says: str) -> None:
        with pytest.raises(ValidationError) as caught:
            TypeAdapter(LinkConfig).validate_python(written)
        assert says in str(caught.value)


def test_factors_multiply_what_a_link_comes_to() -> None:
    usual = LinkConfig.model_validate({"profile": "4g"}).resolve()
    near = LinkConfig.model_validate({"profile": "4g", "rtt_factor": 0.5}).resolve()
    wide = LinkConfig.model_validate({"profile": "4g", "rate_factor": 3}).resolve()
    assert near.mean_round_trip_ns == usual.mean_round_trip_ns / 2
    assert near.down.rate_bps == usual.down.rate_bps
    assert near.down.loss_delay_ns < usual.down.loss_delay_ns
    assert (wide.down.rate_bps, wide.up.rate_bps) == (3 * 100_000_000, 3 * 50_000_000)
    assert wide.rtt_ns == usual.rtt_ns
    assert "rate × 3" in wide.name
    ideal = LinkConfig.model_validate({"profile": "ideal", "rate_factor": 3}).resolve()
    assert ideal.down.rate_bps == 0


def test_a_far_device_is_as_much_further_as_its_neighbours() -> None:
    usual = LinkConfig.model_validate({"profile": "4g-eu", "spread": True}).resolve()
    far = LinkConfig.model_validate({"profile": "4g-eu", "spread": True, "rtt_factor": 2}).resolve()
    for device in range(5):
        one, other = drawn(usual, 1, device), drawn(far, 1, device)
        assert other.rtt_ns == pytest.approx(2 * one.rtt_ns, abs=2)
        assert other.down.rate_bps == one.down.rate_bps


def test_a_traced_rate_has_no_factor() -> None:
    with pytest.raises(ValueError, match="both say the rate"):
        LinkConfig.model_validate({"profile": "lte", "trace": {"down": "x"}, "rate_factor": 2})
