"""Traces as text: what each format means, what is refused, and every file that is at hand."""

import json
from pathlib import Path

import pytest

from netsim.errors import NetsimError
from netsim.trace_text import parse_trace
from tests.netsim.traces import NETWORK_DATA


class TestFormats:
    def test_seconds_and_mbits(self) -> None:
        trace = parse_trace("# t rate\n180.0 1.5\n\n185.0\t0\n186 2.25\n", "t")
        assert trace.bounds_us == (0, 5_000_000, 6_000_000, 9_000_000)  # the median of 5 and 1
        assert trace.rates_bps == (1_500_000, 0, 2_250_000)

    def test_of_lines_with_one_time_the_last_counts(self) -> None:
        trace = parse_trace("0 1\n1 5\n1 0\n1 3\n2 4\n", "t")
        assert trace.rates_bps == (1_000_000, 3_000_000, 4_000_000)
        assert trace.bounds_us == (0, 1_000_000, 2_000_000, 3_000_000)

    def test_one_line_is_a_constant_rate(self) -> None:
        assert parse_trace("0 12", "t").rates_bps == (12_000_000,)

    def test_durations(self) -> None:
        entries = [
            {"duration_ms": 840, "bandwidth_kbps": 16823, "latency_ms": 20},
            {"duration_ms": 0.5, "bandwidth_kbps": 0},
        ]
        trace = parse_trace(json.dumps(entries), "t")
        assert trace.bounds_us == (0, 840_000, 840_500)
        assert trace.rates_bps == (16_823_000, 0)

    def test_packet_opportunities(self) -> None:
        # Two packets at 1 ms, one at 3 ms; the one at the end passes at the loop's beginning.
        trace = parse_trace("1\n1\n3\n5\n", "t")
        assert trace.bounds_us == (0, 1000, 2000, 3000, 4000, 5000)
        assert trace.rates_bps == (12_000_000, 24_000_000, 0, 12_000_000, 0)
        assert trace.carried[-1] == 4 * 12_000 * 10**6

    def test_one_packet_every_millisecond(self) -> None:
        trace = parse_trace("1\n", "t")
        assert trace.rates_bps == (12_000_000,)
        assert trace.period_ns == 1_000_000


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "t: empty"),
        ("\n# nothing\n", "t: empty"),
        ("0 1\n1 2 3\n", "line 2 has 3 columns, line 1 has 2"),
        ("1 2 3\n", "line 1 has 3 columns; a trace has two"),
        ("5\n6 7\n", "line 2 has 2 columns, line 1 has 1"),
        ("time rate\n0 1\n", "line 1: 'time' is not a number"),
        ("0 nan\n", "line 1: 'nan' is not a finite number"),
        ("inf 1\n", "line 1: 'inf' is not a finite number"),
        ("-1 2\n", "line 1: -1 is negative"),
        ("0 -2\n", "line 1: -2 is negative"),
        ("0 1\n2 1\n1 1\n", "line 3: 1 s after 2 s; times must not fall"),
        ("0 1\n75 1\n", r"line 2: no line between 0 and 75 s.*gap.*cut"),
        ("0 1\n1000 1\n", "are the times in seconds"),
        ("0 0\n1 0\n", "every rate is 0"),
        ("0 1\n1 250000\n", "at 1 s: 250000 Mbit/s is over 100 Gbit/s: was it meant in kbit/s"),
        ("[{]", "not JSON"),
        ("[]", "no rates in it"),
        ('{"duration_ms": 1}', "not a list"),
        ('[{"duration_ms": 1}]', "entry 1: has no bandwidth_kbps"),
        ("[3]", "entry 1: has no bandwidth_kbps and no duration_ms"),
        ('[{"duration_ms": 1, "bandwidth_kbps": NaN}]', "entry 1: nan is not a finite number"),
        ('[{"duration_ms": 1, "bandwidth_kbps": true}]', "entry 1: True is not a finite"),
        ('[{"duration_ms": 1, "bandwidth_kbps": null}]', "entry 1: None is not a finite"),
        ('[{"duration_ms": -1, "bandwidth_kbps": 5}]', "entry 1: -1 is negative"),
        ('[{"duration_ms": 0, "bandwidth_kbps": 5}]', "lasts 0 µs"),
        ('[{"duration_ms": 1, "bandwidth_kbps": 3e8}]', "over 100 Gbit/s; was it in bit/s"),
        ("0\n0\n", "last line is 0 ms"),
        ("3\n2\n", "line 2: 2 ms after 3 ms"),
        ("1.5\n", "1.5 is not a whole number of milliseconds"),
        ("1\nx\n", "line 2: 'x' is not a number"),
        ("1\n" * 9000, "over 100 Gbit/s"),
    ],
)
def test_bad_text_is_named(text: str, says: str) -> None:
    with pytest.raises(NetsimError, match=says) as caught:
        parse_trace(text, "t")
    assert str(caught.value).startswith("t: ")
    assert "\n" not in str(caught.value)


FILES = sorted(
    path
    for folder, pattern in (
        ("3g_hsdpa_norway", "*.log"),
        ("fcc_mba_2016", "*.log"),
        ("wifi_solis", "*.txt"),
        ("lte_ghent", "*.json"),
        ("gpl3_lte_mahimahi", "*-LTE-*"),
    )
    for path in (NETWORK_DATA / folder).glob(pattern)
)
needs_data = pytest.mark.skipif(not FILES, reason=f"no traces in {NETWORK_DATA}")


@needs_data
def test_every_trace_at_hand_loads() -> None:
    assert len(FILES) == 144 + 88 + 80 + 40 + 4
    for path in FILES:
        trace = parse_trace(path.read_text(), path.name)
        assert 10e9 < trace.period_ns < 800e9, path
        assert 0.1e6 < trace.mean_bps < 150e6, path


@needs_data
@pytest.mark.parametrize(
    ("file", "seconds", "mbps"),
    [
        ("lte_ghent/report_bicycle_0001.json", 530.841, None),
        ("gpl3_lte_mahimahi/ATT-LTE-driving-2016.down", 120.002, 45604 * 0.012 / 120.002),
        ("gpl3_lte_mahimahi/ATT-LTE-driving-2016.up", 120.002, 19101 * 0.012 / 120.002),
        ("gpl3_lte_mahimahi/Verizon-LTE-short.up", 140.0, 69367 * 0.012 / 140),
    ],
)
def test_length_and_mean_are_those_of_the_file(
    file: str, seconds: float, mbps: float | None
) -> None:
    path = Path(NETWORK_DATA / file)
    trace = parse_trace(path.read_text(), path.name)
    if mbps is None:
        entries = json.loads(path.read_text())
        kbits = sum(each["duration_ms"] * each["bandwidth_kbps"] for each in entries) / 1e3
        mbps = kbits / 1e3 / seconds
    assert trace.period_ns / 1e9 == pytest.approx(seconds)
    assert trace.mean_bps / 1e6 == pytest.approx(mbps, rel=1e-6)
