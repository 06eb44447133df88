"""Arrivals over links of one's own and shared ones, first in first out and under sharing."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from heapq import heappop, heappush
from statistics import median

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.device import AccessLink, link_of
from actors.network import Network
from actors.plan import ArmPlan, Cell, DevicePlan
from netsim.link import Direction
from netsim.profiles import LinkProfile
from netsim.sharing import Discipline
from netsim.transport import Congestion, Transport
from netsim.wire import RAW_TCP, wire_cost
from tests.actors.fleets import MS, arm_plan, device, null_hosts, run_virtual

LINE = Direction(8_000_000, 10 * MS)
"""A byte takes a microsecond."""
LINK = LinkProfile("line", LINE, LINE, "test")
SIZE = wire_cost(5_000).bytes * 1_000


@dataclass
class Air:
    """A network whose looks are taken when they are due."""

    plan: ArmPlan
    arrivals: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.network = Network(self.plan)
        self.access = [AccessLink(each.device, link_of(each, 1)) for each in self.plan.devices]
        self.sent = 0

    def down(self, now_ns: int, to: int, frame_bytes: int) -> None:
        self.look_until(now_ns)
        deliver = partial(self.arrivals.__setitem__, self.sent)
        self.network.down(self.access[to], now_ns, frame_bytes, frame_bytes, deliver)
        self.sent += 1

    def up(self, now_ns: int, by: int, frame_bytes: int) -> None:
        self.look_until(now_ns)
        deliver = partial(self.arrivals.__setitem__, self.sent)
        self.network.up(self.access[by], now_ns, frame_bytes, deliver)
        self.sent += 1

    def look_until(self, now_ns: int) -> None:
        while (at_ns := self.network.next_event_ns()) is not None and at_ns <= now_ns:
            self.network.advance(at_ns)

    def all(self) -> list[int]:
        self.look_until(10**18)
        return [self.arrivals[index] for index in range(self.sent)]


def plan(
    devices: int, cell: Discipline | None, egress_bps: int = 0, egress: Discipline = Discipline.FIFO
) -> ArmPlan:
    shared = Cell(0, cell) if cell else None
    plans = [replace(device(index, where=LINK), cell=shared) for index in range(devices)]
    return replace(arm_plan(devices=tuple(plans), egress_bps=egress_bps), egress_discipline=egress)


def test_a_cell_is_shared_and_a_link_of_ones_own_is_not() -> None:
    expected = {
        None: [SIZE + 10 * MS] * 2,
        Discipline.FIFO: [SIZE + 10 * MS, 2 * SIZE + 10 * MS],
        Discipline.PS: [2 * SIZE + 10 * MS] * 2,
    }
    for discipline, arrivals in expected.items():
        for way in ("down", "up"):
            air = Air(plan(2, discipline))
            for index in range(2):
                getattr(air, way)(0, index, 5_000)
            assert air.all() == arrivals


def test_ways_up_and_down_do_not_share() -> None:
    air = Air(plan(2, Discipline.PS))
    air.down(0, 0, 5_000)
    air.up(0, 1, 5_000)
    assert air.all() == [SIZE + 10 * MS] * 2


def test_who_joins_later_moves_the_arrival_of_who_was_first() -> None:
    air = Air(plan(2, Discipline.PS))
    air.down(0, 0, 5_000)
    air.down(SIZE // 2, 1, 5_000)
    assert air.all() == [SIZE * 3 // 2 + 10 * MS, 2 * SIZE + 10 * MS]


def test_max_min_over_a_cell_and_the_egress() -> None:
    # Three devices in a cell of 8 Mbit/s, one of its own line: an egress of 12 leaves it 4.
    devices = [replace(each, cell=Cell(0, Discipline.PS)) for each in plan(3, None).devices]
    devices.append(device(3, where=LINK))
    shared = replace(
        arm_plan(devices=tuple(devices), egress_bps=12_000_000), egress_discipline=Discipline.PS
    )
    air = Air(shared)
    for index in range(4):
        air.down(0, index, 5_000)
    *cell, alone = air.all()
    # All have 12/4 at first, and the cell no more than 8/3 each: the fourth has the rest, 4.
    assert cell == pytest.approx([3 * SIZE + 10 * MS] * 3, abs=5)
    assert alone == pytest.approx(2 * SIZE + 10 * MS, abs=5)
    assert air.network.egress_busy_ns() == pytest.approx(3 * SIZE, abs=5)


@pytest.mark.parametrize("cell", list(Discipline))
@pytest.mark.parametrize("congestion", list(Congestion))
def test_four_clients_share_a_line_as_over_real_tcp(
    cell: Discipline, congestion: Congestion
) -> None:
    # 20 Mbit/s, 40 ms; each asks with 100 B for 300 KB as soon as it has the last: 494 ms were
    # measured. No two of them begin at once: clients in step would wait for requests together.
    line = Direction(20_000_000, 20 * MS)
    transport = Transport(congestion, wire=RAW_TCP)
    where = LinkProfile("line", line, Direction(0, 20 * MS), "test", transport)
    devices = [replace(device(i, where=where), cell=Cell(0, cell)) for i in range(4)]
    air = Air(arm_plan(devices=tuple(devices)))
    took_ms: list[float] = []
    events: list[tuple[int, int, Callable[[int], None]]] = []

    def at(client: int, handler: Callable[[int], None], at_ns: int) -> None:
        heappush(events, (at_ns, client, handler))

    def ask(client: int, now_ns: int) -> None:
        answer = partial(at, client, partial(respond, client, now_ns))
        air.network.up(air.access[client], now_ns, 100, answer)

    def respond(client: int, asked_ns: int, now_ns: int) -> None:
        got = partial(at, client, partial(receive, client, asked_ns))
        air.network.down(air.access[client], now_ns, 300_000, 300_000, got)

    def receive(client: int, asked_ns: int, now_ns: int) -> None:
        took_ms.append((now_ns - asked_ns) / MS)
        ask(client, now_ns)

    for client in range(4):
        at(client, partial(ask, client), client * 50 * MS)
    while len(took_ms) < 60:
        shared_ns = air.network.next_event_ns()
        if shared_ns is not None and (not events or shared_ns <= events[0][0]):
            air.network.advance(shared_ns)
        else:
            at_ns, _, handler = heappop(events)
            handler(at_ns)
    assert median(took_ms[30:]) == pytest.approx(494, rel=0.03)


@settings(max_examples=50)
@given(
    cell=st.sampled_from((None, *Discipline)),
    egress=st.sampled_from(Discipline),
    egress_bps=st.sampled_from((0, 4_000_000)),
    # (time since the message before, device, size, whether it goes down)
    traffic=st.lists(
        st.tuples(st.integers(0, 10 * MS), st.integers(0, 2), st.integers(1, 9_000), st.booleans()),
        max_size=20,
    ),
)
def test_all_arrive_in_order_and_none_is_early(
    cell: Discipline | None,
    egress: Discipline,
    egress_bps: int,
    traffic: list[tuple[int, int, int, bool]],
) -> None:
    air = Air(plan(3, cell, egress_bps, egress))
    now_ns, sent = 0, []
    for gap_ns, who, size, down in traffic:
        now_ns += gap_ns
        (air.down if down else air.up)(now_ns, who, size)
        sent.append((now_ns, who, size, down))
    last: dict[tuple[int, bool], int] = {}
    for arrival_ns, (at_ns, who, size, down) in zip(air.all(), sent, strict=True):
        assert arrival_ns >= at_ns + wire_cost(size).bytes * 1_000 + 10 * MS
        assert arrival_ns >= last.get((who, down), 0)
        last[who, down] = arrival_ns


@pytest.mark.parametrize("cell", list(Discipline))
@pytest.mark.parametrize("egress", list(Discipline))
def test_a_whole_run_over_shared_links(cell: Discipline, egress: Discipline) -> None:
    alone = run_virtual(plan(4, None), null_hosts())
    slow = replace(LINK, down=replace(LINE, rate_bps=200_000), up=replace(LINE, rate_bps=200_000))
    devices: list[DevicePlan] = [
        replace(each, link=slow) for each in plan(4, cell, 300_000, egress).devices
    ]
    shared = run_virtual(
        replace(plan(4, cell, 300_000, egress), devices=tuple(devices)), null_hosts()
    )
    assert shared.complete
    tokens = {(row.device, row.request): row.tokens for row in alone.requests}
    assert {(row.device, row.request): row.tokens for row in shared.requests} == tokens
    assert shared.end_ns > alone.end_ns
    assert shared.egress_busy_ns > 0
