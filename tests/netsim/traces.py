"""Traces for tests, and what a trace is, said in exact fractions and without any search."""

from fractions import Fraction
from pathlib import Path

from hypothesis import strategies as st

from netsim.trace import RateTrace, make_trace

NETWORK_DATA = Path(__file__).resolve().parents[2].parent / "shared" / "data" / "network"

steps = st.lists(
    st.tuples(st.integers(1, 3_000_000), st.one_of(st.just(0), st.integers(1, 10**9))),
    min_size=1,
    max_size=12,
).filter(lambda each: any(rate_bps for _, rate_bps in each))
traces = st.builds(
    lambda each, offset_ns: make_trace("made", each).starting_at(offset_ns),
    steps,
    st.integers(0, 10**11),
)


def carried_bits(trace: RateTrace, until_ns: int) -> Fraction:
    """What has passed from the loop's beginning to `until_ns` of the loop's own time."""
    laps, at_ns = divmod(until_ns, trace.period_ns)
    nano_bits = laps * trace.carried[-1] * 1000
    for start_us, end_us, rate_bps in zip(
        trace.bounds_us, trace.bounds_us[1:], trace.rates_bps, strict=False
    ):
        nano_bits += max(min(at_ns, end_us * 1000) - start_us * 1000, 0) * rate_bps
    return Fraction(nano_bits, 10**9)


def passed_bits(trace: RateTrace, from_ns: int, to_ns: int) -> Fraction:
    """What can pass between two times of the run."""
    begin_ns = from_ns + trace.offset_ns
    return carried_bits(trace, to_ns + trace.offset_ns) - carried_bits(trace, begin_ns)
