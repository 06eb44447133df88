import pickle
from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim import link as link_module
from netsim.carriage import UNLIMITED, serialise_ns
from netsim.egress import Egress
from netsim.errors import NetsimError
from netsim.link import Bursts, Delivery, Direction, Link
from netsim.profiles import make_profile
from netsim.tcp import loss_probability
from netsim.wire import wire_cost

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
        # What is sent again is sent after the message.
        if not direction.loss:
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
            assert delivery == (free_ns + delay, *wire_cost(size), free_ns)

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
        again = []
        for t in range(5000):
            delivery = link.send_down(t * 10**11, 100)
            times = delivery.packets - 1
            # One time-out for the packet, doubled for each retransmission that is lost as well.
            assert delivery.arrival_ns - t * 10**11 == 300 * MS * ((1 << times) - 1)
            assert delivery.wire_bytes == one.bytes * (1 + times)
            again.append(times)
        late = sum(times > 0 for times in again)
        assert late == link.down_state.lost
        assert late / 5000 == pytest.approx(0.1, rel=0.1)
        assert sum(times > 1 for times in again) / late == pytest.approx(0.1, abs=0.05)

    def test_bursts_lose_more_and_come_at_the_same_times_for_everybody(self) -> None:
        bursts = Bursts(gap_ns=900 * MS, burst_ns=100 * MS, loss=0.5)
        way = Direction(loss=0.001, bursts=bursts)
        fast, slow = (Link(way, Direction(), seed=4, device=0) for _ in range(2))
        lost = [fast.send_down(t * 10 * MS, 100).packets > 1 for t in range(60_000)]
        assert sum(lost) / 60_000 == pytest.approx(0.1 * 0.5 + 0.9 * 0.001, rel=0.15)
        after_a_loss = [later for now, later in pairwise(lost) if now]
        assert sum(after_a_loss) / len(after_a_loss) > 0.35  # alone: 0.05
        for t in range(0, 60_000, 7):
            slow.send_down(t * 10 * MS, 300)
        slow.send_down(60_000 * 10 * MS - 1, 5)
        fast.send_down(60_000 * 10 * MS - 1, 5)
        assert slow.down_state.stays == fast.down_state.stays > 1000

    @given(loss=st.floats(0, 1, exclude_max=True), packets=st.integers(0, 1000))
    def test_loss_of_a_message_is_that_of_any_packet(self, loss: float, packets: int) -> None:
        assert loss_probability(loss, packets) == pytest.approx(
            1 - (1 - loss) ** packets, abs=1e-12
        )


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


def test_bad_directions() -> None:
    with pytest.raises(NetsimError, match="rate_bps = -1"):
        Direction(rate_bps=-1)
    with pytest.raises(NetsimError, match=r"loss = 1\.0.*probability"):
        Direction(loss=1.0)
    with pytest.raises(NetsimError, match=r"bursts: gap_ns = 0"):
        Bursts(0, 1, 0.5)
    with pytest.raises(NetsimError, match="egress"):
        Egress(-5)
    with pytest.raises(NetsimError, match="cannot be negative"):
        Egress().depart(0, -1)


def test_no_clock_is_within_reach() -> None:
    assert not {"time", "datetime", "asyncio", "socket"} & set(vars(link_module))


def test_a_stream_of_small_frames_shares_the_packets_that_wait_for_a_window() -> None:
    """Tokens every 5 ms over a new connection of 400 ms: ten leave, the rest waits one round trip.

    What waits is one queue: it leaves in a few packets as soon as the window opens, not token by
    token.
    """
    profile = make_profile("slow", "declared", down_mbps=20, up_mbps=20, rtt_s=0.4)
    link = Link(profile.down, profile.up, seed=1, device=0, transport=profile.transport)
    sent = [link.send_down(5_000_000 * index, 14) for index in range(60)]
    assert [each.packets for each in sent[:11]] == [1] * 11
    assert sum(each.packets for each in sent[11:]) <= 3
    arrivals = [each.arrival_ns for each in sent]
    assert arrivals == sorted(arrivals)
    assert arrivals[9] < 260_000_000
    assert 600_000_000 <= arrivals[10] < 620_000_000
    assert arrivals[-1] < 620_000_000
    bytes_alone = [each.wire_bytes for each in sent[11:] if not each.packets]
    assert set(bytes_alone) == {14 + 9 + 22}
