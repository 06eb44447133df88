"""Traces and their inverse against exact fractions; links along a trace."""

from dataclasses import replace
from itertools import pairwise
from typing import Any, cast

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from netsim.compiled import compiled
from netsim.errors import NetsimError
from netsim.line import passed_ns, work_between
from netsim.link import Direction, Link
from netsim.tcp import transfer
from netsim.trace import MAX_BPS, RateTrace, make_trace
from netsim.transport import IDEAL, TCP, Congestion, Transport
from netsim.wire import wire_cost
from tests.netsim.traces import passed_bits, traces

MS = 1_000_000
SECOND = 1_000_000_000
CENTURY_NS = 100 * 365 * 86_400 * SECOND
traffic = st.lists(
    st.tuples(st.integers(0, 10**9), st.integers(0, 100_000)), min_size=1, max_size=10
)


class TestTheInverse:
    @given(trace=traces, start_ns=st.integers(0, 10**12), bits=st.integers(1, 10**9))
    def test_it_is_the_first_nanosecond_by_which_so_many_bits_have_passed(
        self, trace: RateTrace, start_ns: int, bits: int
    ) -> None:
        end_ns = passed_ns(start_ns, bits, trace.line)
        assert passed_bits(trace, start_ns, end_ns) >= bits
        assert passed_bits(trace, start_ns, end_ns - 1) < bits

    @given(trace=traces, start_ns=st.integers(0, 10**12), later_ns=st.integers(0, 10**11))
    def test_the_way_back_is_right_to_a_bit(
        self, trace: RateTrace, start_ns: int, later_ns: int
    ) -> None:
        exact = passed_bits(trace, start_ns, start_ns + later_ns)
        assert abs(work_between(start_ns, start_ns + later_ns, trace.line) - exact) <= 1

    @settings(max_examples=40)
    @given(trace=traces, start_ns=st.integers(0, 10**12), bits=st.integers(0, 5 * 10**9))
    def test_machine_code_is_the_same_arithmetic(
        self, trace: RateTrace, start_ns: int, bits: int
    ) -> None:
        arrays = cast("Any", trace.arrays)
        passed = passed_ns(start_ns, bits, trace.line)
        assume(passed < CENTURY_NS)  # as far as the rule is exact in 64 bits
        assert compiled(passed_ns)(start_ns, bits, arrays) == passed
        end_ns = start_ns + bits
        assert compiled(work_between)(start_ns, end_ns, arrays) == work_between(
            start_ns, end_ns, trace.line
        )

    def test_without_a_trace_work_is_time(self) -> None:
        assert passed_ns(5, 7, None) == 12
        assert work_between(5, 12, None) == 7

    def test_the_highest_rate_and_the_largest_message_fit_64_bits(self) -> None:
        trace = make_trace("fast", [(30_000_000, MAX_BPS), (1, 1)])
        line = cast("Any", trace.arrays)
        for start_ns, bits in ((29_999_999_999, 5 * 10**9), (3, 5 * 10**9), (10**15, 1)):
            expected = passed_ns(start_ns, bits, trace.line)
            assert compiled(passed_ns)(start_ns, bits, line) == expected
            assert passed_bits(trace, start_ns, expected) >= bits

    @given(trace=traces)
    def test_resampling_keeps_what_was_carried(self, trace: RateTrace) -> None:
        step_ns = trace.period_ns // 3 or 1
        rates_bps = trace.starting_at(17).resampled_bps(step_ns)
        whole = passed_bits(trace.starting_at(0), 0, step_ns * len(rates_bps))
        carried = sum(rates_bps) * step_ns / 1e9
        assert carried == pytest.approx(float(whole), abs=len(rates_bps) * (1 + step_ns / 1e9))


class TestMaking:
    def test_equal_rates_are_one_stretch(self) -> None:
        trace = make_trace("t", [(1, 5), (2, 5), (3, 0), (4, 0), (5, 7)])
        assert trace.bounds_us == (0, 3, 10, 15)
        assert trace.rates_bps == (5, 0, 7)
        assert trace.carried == (0, 15, 15, 50)
        assert trace.mean_bps == 3  # 50 / 15

    @pytest.mark.parametrize(
        ("steps", "says"),
        [
            ([], "no rates"),
            ([(10, 0), (5, 0)], "every rate is 0"),
            ([(10, 5), (0, 5)], "lasts 0 µs"),
            ([(10, -5)], "not negative"),
            ([(10, MAX_BPS + 1)], "100 Gbit/s: was it meant in kbit/s"),
            ([(100_000_000, MAX_BPS)], r"1\.25 TB in a loop.*shorten"),
        ],
    )
    def test_bad_ones(self, steps: list[tuple[int, int]], says: str) -> None:
        with pytest.raises(NetsimError, match=says):
            make_trace("t", steps)


def fifo_ends(trace: RateTrace, messages: list[tuple[int, int]]) -> list[int]:
    """When a server that never waits for anything but the trace is done with each message."""
    ends, free_ns, now_ns = [], 0, 0
    for gap_ns, size in messages:
        now_ns += gap_ns
        free_ns = passed_ns(max(now_ns, free_ns), wire_cost(size).bytes * 8, trace.line)
        ends.append(free_ns)
    return ends


def along(
    trace: RateTrace, transport: Transport = IDEAL, propagation_ns: int = 20 * MS, **changes: Any
) -> Link:
    way = Direction(trace.mean_bps, propagation_ns, trace=trace, **changes)
    return Link(way, way, seed=1, device=3, transport=transport)


class TestLinks:
    @given(trace=traces, messages=traffic)
    def test_without_a_window_it_is_the_fifo_recursion(
        self, trace: RateTrace, messages: list[tuple[int, int]]
    ) -> None:
        link, now_ns = along(trace.waiting_at_most(10**15)), 0
        for (gap_ns, size), end_ns in zip(messages, fifo_ends(trace, messages), strict=True):
            now_ns += gap_ns
            assert link.send_down(now_ns, size).arrival_ns == end_ns + 20 * MS
        assert link.down_state.utilisation(max(end_ns, 1)) <= 1.0

    @given(
        trace=traces,
        messages=traffic,
        transport=st.builds(
            Transport, congestion=st.sampled_from(Congestion), ordered=st.booleans()
        ),
        loss=st.sampled_from((0.0, 0.1)),
        buffer_bytes=st.sampled_from((0, 20_000)),
    )
    def test_no_transport_is_faster_than_the_trace(
        self,
        trace: RateTrace,
        messages: list[tuple[int, int]],
        transport: Transport,
        loss: float,
        buffer_bytes: int,
    ) -> None:
        patient = trace.waiting_at_most(10**15)
        link = along(patient, transport, loss=loss, buffer_bytes=buffer_bytes)
        now_ns = carried = last_ns = 0
        for gap_ns, size in messages:
            now_ns += gap_ns
            sent = link.send_down(now_ns, size)
            carried += sent.wire_bytes
            assert sent.arrival_ns >= passed_ns(now_ns, wire_cost(size).bytes * 8, trace.line)
            assert sent.arrival_ns >= last_ns or not transport.ordered
            last_ns = sent.arrival_ns
        if not loss and not buffer_bytes:
            assert passed_bits(trace, 0, link.down_state.busy_until_ns) >= carried * 8

    @given(
        rate_bps=st.integers(10_000, 10**9),
        messages=traffic,
        congestion=st.sampled_from(Congestion),
        loss=st.sampled_from((0.0, 0.1)),
    )
    def test_a_constant_trace_is_a_constant_rate(
        self, rate_bps: int, messages: list[tuple[int, int]], congestion: Congestion, loss: float
    ) -> None:
        transport = Transport(congestion)
        traced = along(make_trace("flat", [(1_000_000, rate_bps)]), transport, loss=loss)
        way = Direction(rate_bps, 20 * MS, loss=loss)
        constant = Link(way, way, seed=1, device=3, transport=transport)
        now_ns = packets = 0
        for gap_ns, size in messages:
            now_ns += gap_ns
            one, other = traced.send_down(now_ns, size), constant.send_down(now_ns, size)
            # Rounded to a nanosecond at other places: packets are whole bits here.
            packets += one.packets
            slack_ns = packets * (2 + SECOND // rate_bps)
            assert abs(one.arrival_ns - other.arrival_ns) <= slack_ns
            assert (one.wire_bytes, one.packets) == (other.wire_bytes, other.packets)

    def test_flights_meet_the_rate_of_their_own_time(self) -> None:
        # 100 Mbit/s for 100 ms, then 1 Mbit/s: a new connection's later flights come too late.
        trace = make_trace("cliff", [(100_000, 10**8), (10_000_000, 10**6)])
        new = along(trace, TCP, 40 * MS).send_down(0, 60_000)
        warm = along(trace, IDEAL, 40 * MS).send_down(0, 60_000)
        assert warm.arrival_ns < 50 * MS
        assert new.arrival_ns > 200 * MS

    @settings(max_examples=40)
    @given(
        trace=traces,
        now_ns=st.integers(0, 10**11),
        packets=st.integers(1, 300),
        lost_at=st.integers(-1, 0),
        congestion=st.sampled_from(Congestion),
        buffer=st.sampled_from((0, 10**6)),
    )
    def test_machine_code_is_the_same_arithmetic(
        self,
        trace: RateTrace,
        now_ns: int,
        packets: int,
        lost_at: int,
        congestion: Congestion,
        buffer: int,
    ) -> None:
        transport = Transport(congestion)
        given_ = (
            (now_ns, packets, packets * 12_000, 10**7, lost_at, 0),
            (transport.terms(40 * MS, 240 * MS, buffer, MS), transport.fresh(40 * MS, MS)),
        )
        expected = transfer(*given_[0], *given_[1], trace.line)
        arrays = cast("Any", trace.arrays)
        assert compiled(transfer)(*given_[0], *given_[1], arrays) == expected


class TestWaiting:
    OUTAGE = make_trace("tunnel.txt", [(10_000_000, 10**6), (70_000_000, 0), (5_000_000, 10**6)])

    def test_a_short_outage_is_waited_out(self) -> None:
        trace = self.OUTAGE.waiting_at_most(71 * SECOND)
        sent = along(trace).send_down(11 * SECOND, 100)
        assert sent.arrival_ns == 80 * SECOND + wire_cost(100).bytes * 8_000 + 20 * MS

    def test_a_long_one_is_an_error_that_names_device_and_time(self) -> None:
        link = along(self.OUTAGE)
        link.send_down(0, 100)
        link.send_up(25 * SECOND, 100)  # 55 s are left of it
        with pytest.raises(NetsimError) as caught:
            link.send_down(12 * SECOND, 100)
        for part in ("device 3, downlink", "at 12.000 s", "tunnel.txt", "nothing for over 60 s"):
            assert part in str(caught.value)

    def test_the_loop_s_end_and_beginning_are_one_outage(self) -> None:
        trace = make_trace("t", [(40_000_000, 0), (1_000_000, 10**6), (40_000_000, 0)])
        assert trace.outage_ns(41 * SECOND, 200 * SECOND) == 41 * SECOND
        assert trace.outage_ns(50 * SECOND, 150 * SECOND) == 50 * SECOND
        assert trace.outage_ns(70 * SECOND, 190 * SECOND) == 122 * SECOND
        assert trace.outage_ns(70 * SECOND, 125 * SECOND) is None

    def test_a_slow_line_is_not_an_outage(self) -> None:
        slow = make_trace("slow", [(1_000_000, 100)])
        assert along(slow).send_down(0, 10_000).arrival_ns > 800 * SECOND


def test_offsets_turn_the_loop() -> None:
    trace = make_trace("t", [(1_000_000, 8_000), (1_000_000, 80_000)])
    starts_ns = [0, SECOND, 2 * SECOND, 2 * SECOND + 5]
    ends = [passed_ns(0, 800, trace.starting_at(each).line) for each in starts_ns]
    assert ends == [100 * MS, 10 * MS, 100 * MS, 100 * MS]
    assert trace.starting_at(2 * SECOND) == trace
    assert replace(trace, offset_ns=5).offset_ns == 5
    assert all(first < later for first, later in pairwise(trace.bounds_us))
