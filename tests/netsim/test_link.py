import pickle
from collections.abc import Callable
from fractions import Fraction

import numba
import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim import link as link_module
from netsim.errors import NetsimError
from netsim.heap import EventHeap, EventKind
from netsim.link import (
    UNLIMITED,
    Delivery,
    Direction,
    Egress,
    Link,
    arrival,
    loss_probability,
    serialise_ns,
)
from netsim.wire import RAW_TCP, wire_cost

MS = 1_000_000
directions = st.builds(
    Direction,
    rate_bps=st.one_of(st.just(UNLIMITED), st.integers(1_000, 10**10)),
    propagation_ns=st.integers(0, 10**9),
    jitter_ns=st.integers(0, 10**8),
    loss=st.floats(0, 0.5),
    loss_delay_ns=st.integers(0, 10**9),
)
# (time since the message before, frame size)
traffic = st.lists(st.tuples(st.integers(0, 10**8), st.integers(0, 400_000)), max_size=30)
seeds = st.integers(0, 2**32)


def send_all(
    send: Callable[[int, int], Delivery], messages: list[tuple[int, int]]
) -> list[tuple[int, Delivery]]:
    now_ns, sent = 0, []
    for gap_ns, size in messages:
        now_ns += gap_ns
        sent.append((now_ns, send(now_ns, size)))
    return sent


class TestLaws:
    @given(direction=directions, messages=traffic, seed=seeds)
    def test_order_is_kept_and_nothing_is_early(
        self, direction: Direction, messages: list[tuple[int, int]], seed: int
    ) -> None:
        link = Link(direction, direction, seed=seed, device=3)
        for send in (link.send_down, link.send_up):
            last_ns = 0
            free_ns = 0
            for (now_ns, delivery), (_, size) in zip(
                send_all(send, messages), messages, strict=True
            ):
                took_ns = serialise_ns(wire_cost(size).bytes, direction.rate_bps)
                free_ns = max(free_ns, now_ns) + took_ns  # FIFO: a single server
                assert delivery.arrival_ns >= free_ns + direction.propagation_ns
                assert delivery.arrival_ns >= last_ns
                assert type(delivery.arrival_ns) is int
                last_ns = delivery.arrival_ns
        assert link.down_state.busy_until_ns == free_ns

    @given(
        rate=st.integers(1_000, 10**10), delay=st.integers(0, 10**9), messages=traffic, seed=seeds
    )
    def test_without_jitter_and_loss_it_is_the_fifo_recursion(
        self, rate: int, delay: int, messages: list[tuple[int, int]], seed: int
    ) -> None:
        link = Link(Direction(rate, delay), Direction(), seed=seed, device=0)
        free_ns = 0
        for (now_ns, delivery), (_, size) in zip(
            send_all(link.send_down, messages), messages, strict=True
        ):
            free_ns = max(free_ns, now_ns) + serialise_ns(wire_cost(size).bytes, rate)
            assert delivery == (free_ns + delay, *wire_cost(size))

    @given(size=st.integers(0, 10**9), rate=st.integers(1, 10**12))
    def test_serialisation_is_exact_and_rounded_up(self, size: int, rate: int) -> None:
        exact = Fraction(size * 8 * 10**9, rate)
        assert 0 <= serialise_ns(size, rate) - exact < 1

    @given(direction=directions, messages=traffic, seed=seeds)
    def test_the_nth_message_sees_the_nth_draw(
        self, direction: Direction, messages: list[tuple[int, int]], seed: int
    ) -> None:
        # Another method sends other sizes at other times: its weather is the same.
        unloaded = Direction(UNLIMITED, 0, direction.jitter_ns)
        spaced = [(10**13 * (i + 1), size) for i, (_, size) in enumerate(messages)]
        one = Link(unloaded, unloaded, seed=seed, device=9)
        two = Link(unloaded, unloaded, seed=seed, device=9)
        for now_ns, size in spaced:
            first = one.send_down(now_ns, size).arrival_ns - now_ns
            second = two.send_down(now_ns + 12_345, 7).arrival_ns - now_ns - 12_345
            assert first == second

    def test_devices_seeds_and_directions_differ(self) -> None:
        jittery = Direction(0, 0, 10 * MS)
        delays = {
            (seed, device, name): getattr(Link(jittery, jittery, seed=seed, device=device), name)(
                0, 100
            ).arrival_ns
            for seed in (1, 2)
            for device in (1, 2)
            for name in ("send_up", "send_down")
        }
        assert len(set(delays.values())) == len(delays)

    @given(direction=directions, messages=traffic, seed=seeds)
    def test_counters_add_up(
        self, direction: Direction, messages: list[tuple[int, int]], seed: int
    ) -> None:
        link = Link(direction, direction, seed=seed, device=1)
        sent = [delivery for _, delivery in send_all(link.send_down, messages)]
        state = link.down_state
        assert state.counter == len(messages)
        assert state.wire_bytes == sum(delivery.wire_bytes for delivery in sent)
        assert state.packets == sum(delivery.packets for delivery in sent)
        assert state.lost <= len(messages)
        if sent:
            assert 0.0 <= state.utilisation(max(1, sent[-1].arrival_ns)) <= 1.0
        assert link.up_state.counter == 0

    def test_a_link_survives_pickling_with_its_state(self) -> None:
        link = Link(Direction(10**6, MS, MS), Direction(10**6, MS), seed=1, device=2)
        link.send_down(0, 1000)
        copy: Link = pickle.loads(pickle.dumps(link))  # noqa: S301 - our own bytes
        assert copy.send_down(5, 1000) == link.send_down(5, 1000)


class TestWeather:
    def test_jitter_has_the_mean_that_was_asked_for(self) -> None:
        link = Link(Direction(0, 0, 10 * MS), Direction(), seed=4, device=0)
        delays = [link.send_down(t * 10**10, 100).arrival_ns - t * 10**10 for t in range(5000)]
        assert sum(delays) / 5000 == pytest.approx(10 * MS, rel=0.05)

    def test_loss_delays_and_counts_a_retransmission(self) -> None:
        link = Link(Direction(0, 0, 0, 0.1, 300 * MS), Direction(), seed=4, device=0)
        one = wire_cost(100)
        late = 0
        for t in range(5000):
            delivery = link.send_down(t * 10**10, 100)
            lost = delivery.arrival_ns != t * 10**10
            late += lost
            assert delivery.arrival_ns - t * 10**10 == (300 * MS if lost else 0)
            assert delivery.wire_bytes == one.bytes * (2 if lost else 1)
            assert delivery.packets == 1 + lost
        assert late == link.down_state.lost
        assert late / 5000 == pytest.approx(0.1, rel=0.1)

    @given(loss=st.floats(0, 1, exclude_max=True), packets=st.integers(0, 1000))
    def test_loss_of_a_message_is_that_of_any_packet(self, loss: float, packets: int) -> None:
        assert loss_probability(loss, packets) == pytest.approx(
            1 - (1 - loss) ** packets, abs=1e-12
        )


class TestMeasured:
    """Real TCP through 20 Mbit/s and 20 ms each way: request of 100 B, response of n B."""

    @pytest.mark.parametrize(
        ("size", "measured_ms"),
        [(1_000, 40.7), (30_000, 51.7), (300_000, 164.6), (1_000_000, 455.2)],
    )
    def test_warm_transfers(self, size: int, measured_ms: float) -> None:
        direction = Direction(20_000_000, 20 * MS)
        link = Link(direction, direction, seed=0, device=0, wire=RAW_TCP)
        request = link.send_up(0, 100)
        response = link.send_down(request.arrival_ns, size)
        assert response.arrival_ns / MS == pytest.approx(measured_ms, rel=0.02)
        naive_ms = 40 + size * 8 / 20e6 * 1e3
        assert response.arrival_ns / MS > naive_ms

    def test_four_clients_share_the_bottleneck(self) -> None:
        egress = Egress(20_000_000)
        half = Direction(UNLIMITED, 20 * MS)
        links = [Link(half, half, seed=0, device=i, wire=RAW_TCP) for i in range(4)]
        wire_bytes = wire_cost(300_000, RAW_TCP).bytes
        heap: EventHeap[int] = EventHeap()
        for device, link in enumerate(links):
            heap.push(link.send_up(0, 100).arrival_ns, EventKind.ARRIVAL, device, 0, 0, 0)
        for _ in range(40):  # closed loop: the next request follows the response
            now_ns, _, device, position, _, sent_ns = heap.pop()
            left_ns = egress.depart(now_ns, wire_bytes)
            got_ns = links[device].send_down(left_ns, 300_000).arrival_ns
            took_ms = (got_ns - sent_ns) / MS
            there_ns = links[device].send_up(got_ns, 100).arrival_ns
            heap.push(there_ns, EventKind.ARRIVAL, device, position + 1, 0, got_ns)
        assert took_ms == pytest.approx(494, rel=0.03)
        assert egress.utilisation(egress.state.busy_until_ns) > 0.9

    @pytest.mark.parametrize(("mbps", "ms"), [(10, 243), (50, 49), (100, 24)])
    def test_a_dense_row_on_bare_lines(self, mbps: int, ms: int) -> None:
        assert round(serialise_ns(303_872, mbps * 10**6) / MS) == ms


class TestEgress:
    @given(rate=st.integers(1_000, 10**11), messages=traffic)
    def test_fifo(self, rate: int, messages: list[tuple[int, int]]) -> None:
        egress = Egress(rate)
        now_ns = free_ns = 0
        for gap_ns, size in messages:
            now_ns += gap_ns
            free_ns = max(free_ns, now_ns) + serialise_ns(size, rate)
            assert egress.depart(now_ns, size) == free_ns
        assert egress.busy_ns == sum(serialise_ns(size, rate) for _, size in messages)

    def test_unlimited_is_no_delay(self) -> None:
        egress = Egress()
        assert [egress.depart(t, 10**6) for t in (3, 3, 9)] == [3, 3, 9]
        assert egress.utilisation(0) == 0.0


def test_scalar_arithmetic_compiles_and_agrees() -> None:
    compiled_serialise, compiled_arrival = numba.njit()(serialise_ns), numba.njit()(arrival)
    for size, rate in ((248, 6_700_000), (10**9, 10**6), (5, UNLIMITED)):
        assert compiled_serialise(size, rate) == serialise_ns(size, rate)
    for args in ((5, 7, 11, 3, 2), (5, 7, 11, 30, 20), (0, 0, 0, 0, 99)):
        assert compiled_arrival(*args) == arrival(*args)
    compiled_loss = numba.njit()(loss_probability)
    assert compiled_loss(0.01, 211) == loss_probability(0.01, 211)


def test_bad_directions() -> None:
    with pytest.raises(NetsimError, match="rate_bps = -1"):
        Direction(rate_bps=-1)
    with pytest.raises(NetsimError, match=r"loss = 1\.0.*probability"):
        Direction(loss=1.0)
    with pytest.raises(NetsimError, match="egress"):
        Egress(-5)
    with pytest.raises(NetsimError, match="cannot be negative"):
        Egress().depart(0, -1)


def test_no_clock_is_within_reach() -> None:
    assert not {"time", "datetime", "asyncio", "socket"} & set(vars(link_module))
