from collections.abc import Hashable
from itertools import permutations
from statistics import median

import pytest
from hypothesis import given
from hypothesis import strategies as st

from netsim.carriage import serialise_ns
from netsim.egress import Egress
from netsim.errors import NetsimError
from netsim.sharing import SharedLinks, max_min_rates
from netsim.wire import RAW_TCP, wire_cost

MS = 1_000_000
rates = st.integers(1_000, 10**10)
# (time since the message before, flow, size)
traffic = st.lists(
    st.tuples(st.integers(0, 10**8), st.integers(0, 4), st.integers(0, 100_000)), max_size=25
)


def run_out(shared: SharedLinks[int]) -> dict[int, int]:
    """When each message ended."""
    ended: dict[int, int] = {}
    while (at_ns := shared.next_event_ns()) is not None:
        ended |= {message: done_ns for done_ns, message in shared.advance(at_ns)}
    return ended


def timed(messages: list[tuple[int, int, int]]) -> list[tuple[int, int, int]]:
    now_ns, placed = 0, []
    for gap_ns, flow, size in messages:
        now_ns += gap_ns
        placed.append((now_ns, flow, size))
    return placed


def processor_sharing(rate_bps: int, messages: list[tuple[int, int, int]]) -> dict[int, int]:
    shared = SharedLinks[int]([rate_bps])
    for index, (at_ns, flow, size) in enumerate(messages):
        shared.add(at_ns, flow, (0,), size, index)
    return run_out(shared)


@given(rate_bps=rates, messages=traffic)
def test_alone_it_is_fifo(rate_bps: int, messages: list[tuple[int, int, int]]) -> None:
    alone = [(at_ns, 0, size) for at_ns, _, size in timed(messages)]
    egress = Egress(rate_bps)
    expected = {i: egress.depart(at_ns, size) for i, (at_ns, _, size) in enumerate(alone)}
    assert processor_sharing(rate_bps, alone) == expected


@given(rate_bps=rates, messages=traffic)
def test_work_is_conserved(rate_bps: int, messages: list[tuple[int, int, int]]) -> None:
    # Whoever is served first, the link is busy at the same times: the last ends when FIFO ends.
    placed = timed(messages)
    egress = Egress(rate_bps)
    fifo = [egress.depart(at_ns, size) for at_ns, _, size in placed]
    ended = processor_sharing(rate_bps, placed)
    assert set(ended) == set(range(len(placed)))
    if placed:
        # Shares are rounded down to a bit per second, ends up to a nanosecond.
        spare = 25 + max(fifo) * 5 // rate_bps
        assert max(fifo) - 25 <= max(ended.values()) <= max(fifo) + spare
    for index, (at_ns, _, size) in enumerate(placed):
        assert ended[index] >= at_ns + serialise_ns(size, rate_bps)


@given(
    rate_bps=rates,
    sizes=st.lists(st.integers(1, 100_000), min_size=2, max_size=4),
)
def test_who_is_named_first_has_no_advantage(rate_bps: int, sizes: list[int]) -> None:
    ends = set()
    for turn in permutations(range(len(sizes))):
        ended = processor_sharing(rate_bps, [(0, flow, sizes[flow]) for flow in turn])
        ends.add(tuple(ended[turn.index(flow)] for flow in range(len(sizes))))
    assert len(ends) == 1
    by_size = sorted(zip(sizes, ends.pop(), strict=True))
    assert [end for _, end in by_size] == sorted(end for _, end in by_size)


def test_equal_flows_share_equally() -> None:
    ended = processor_sharing(8_000_000, [(0, 0, 1000), (0, 1, 1000)])
    assert ended == {0: 2 * MS, 1: 2 * MS}
    # One that comes half-way: 0.5 ms alone, then half the rate.
    ended = processor_sharing(8_000_000, [(0, 0, 1000), (MS // 2, 1, 1000)])
    assert ended == {0: 3 * MS // 2, 1: 2 * MS}


def test_messages_of_one_flow_go_one_after_the_other() -> None:
    ended = processor_sharing(8_000_000, [(0, 0, 1000), (0, 0, 1000), (0, 1, 1000)])
    assert ended == {0: 2 * MS, 2: 2 * MS, 1: 3 * MS}


@given(
    capacity=st.lists(rates, min_size=1, max_size=5),
    paths=st.lists(st.sets(st.integers(0, 4), min_size=1), min_size=1, max_size=8),
)
def test_rates_are_max_min_fair(capacity: list[int], paths: list[set[int]]) -> None:
    crossed: dict[Hashable, tuple[int, ...]] = {
        name: tuple(sorted({link % len(capacity) for link in path}))
        for name, path in enumerate(paths)
    }
    found = max_min_rates(crossed, capacity)
    assert set(found) == set(crossed)
    used = [sum(found[n] for n, path in crossed.items() if link in path)
            for link in range(len(capacity))]  # fmt: skip
    assert all(total <= limit for total, limit in zip(used, capacity, strict=True))
    # Every flow has a bottleneck: a full link on which nobody is faster (to a bit/s each).
    for name, path in crossed.items():
        assert any(
            used[link] > capacity[link] - 2 * len(paths) - 1
            and all(
                found[other] <= found[name] + 2 * len(paths)
                for other, their in crossed.items()
                if link in their
            )
            for link in path
        )


def test_max_min_by_example() -> None:
    # Two in a cell of 10, one in a cell of 100, an egress of 30 over all: 5, 5, and what is left.
    rates_bps = max_min_rates({"a": (0, 2), "b": (0, 2), "c": (1, 2)}, [10, 100, 30])
    assert rates_bps == {"a": 5, "b": 5, "c": 20}


def test_four_downloads_share_a_line_as_measured() -> None:
    # Closed loop of four clients over 20 Mbit/s and 40 ms, 300 KB each: real TCP took 494 ms. No
    # two of them begin at once: clients in step would all wait for their requests together.
    shared = SharedLinks[int]([20_000_000])
    size = wire_cost(300_000, RAW_TCP).bytes
    asked = dict.fromkeys(range(4), 0)
    for client in range(4):
        asked[client] = 50 * MS * client
        shared.add(asked[client] + 20 * MS, client, (0,), size, client)
    took_ms = []
    for _ in range(400):
        at_ns = shared.next_event_ns()
        assert at_ns is not None
        for done_ns, client in shared.advance(at_ns):
            took_ms.append((done_ns + 20 * MS - asked[client]) / MS)
            asked[client] = done_ns + 20 * MS
            shared.add(done_ns + 40 * MS, client, (0,), size, client)
    assert median(took_ms[40:]) == pytest.approx(494, rel=0.03)


def test_bad_links_and_times() -> None:
    with pytest.raises(NetsimError, match="shared link 1: 0 bit/s"):
        SharedLinks[int]([5, 0])
    shared = SharedLinks[int]([5])
    shared.advance(10)
    with pytest.raises(NetsimError, match="before now"):
        shared.add(9, 0, (0,), 1, 0)
    shared.add(12, 0, (), 100, 7)
    assert shared.advance(12) == [(12, 7)]
    assert shared.busy_ns == [0]
