"""Cells are planned as arrays, alone, and are the fleet that objects would be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.fleet.cell import CellPlan
from actors.plan import DevicePlan, codec_terms, session_spec
from costeer.messages import encode_open
from costeer.methods import Prompt
from costeer.session import open_body
from costeer.varint import number_bytes
from experiments.planning import plan_arm, plan_cell, plan_workload
from experiments.planning.members import dealt
from experiments.planning.sizes import mean_tokens
from experiments.planning.timing import mean_requests_per_device, plan_timing
from experiments.scenario import ClosedArrivals, PoissonArrivals, Scenario
from netsim.compiled import compiled
from netsim.profiles import drawn
from tests.experiments.planning_rules import classes_in_turn, pauses_ns, poisson_ns
from tests.experiments.small_runs import scenario

CLASSES = [
    {"share": 0.5, "link": {"profile": "4g-eu", "spread": True}, "hardware": "phone-npu"},
    {"share": 0.3, "link": "lte", "hardware": "orin-nano", "shared_by": 3},
    {"share": 0.2, "link": "cable", "hardware": "laptop-cpu", "shared_by": 2},
]
CLOSED = {"kind": "closed", "think_s": 2.0, "requests_per_device": 3}
POISSON = {"kind": "poisson", "rate_per_s": 10.0, "requests": 50}
EVENING = {
    "kind": "rates",
    "steps": [
        {"from_s": 0, "per_hour": 30},
        {"from_s": 600, "per_hour": 0},
        {"from_s": 900, "per_hour": 240},
        {"from_s": 1800, "per_hour": 60},
    ],
}
LENGTHS = {
    "public": {"kind": "lognormal", "median": 60, "spread": 1.0, "most": 500},
    "context": {"kind": "uniform", "least": 0, "most": 20},
    "answer": {"kind": "exponential", "mean": 6, "most": 1000},
}


def fleet(devices: int = 23, arrivals: Any = CLOSED, replicas: int = 1, **more: Any) -> Scenario:
    workload = {"max_new_tokens": 12} | more.pop("workload", {})
    return scenario(
        way="fleet",
        values="null",
        fleet={"devices": devices, "arrivals": arrivals, "classes": CLASSES} | more,
        cloud={"replicas": replicas},
        workload=workload,
    )


def sessions(plan: CellPlan, device: int) -> slice:
    return slice(plan.first_session_D1[device], plan.first_session_D1[device + 1])


@pytest.mark.parametrize("arrivals", [CLOSED, POISSON, EVENING], ids=["closed", "poisson", "rates"])
@pytest.mark.parametrize("lengths", [None, LENGTHS], ids=["one-length", "lengths"])
def test_a_fleet_of_one_cell_is_what_its_objects_are(arrivals: Any, lengths: Any) -> None:
    asked = fleet(
        arrivals=arrivals, workload={"lengths": lengths, "duration_s": 2000.0, "warmup_s": 60.0}
    )
    workload, plan = plan_workload(asked), plan_cell(asked, 0)
    assert plan.devices == len(workload.devices) == 23
    assert (plan.until_ns, plan.warmup_ns) == (2000 * 10**9, 60 * 10**9)
    for index, device in enumerate(workload.devices):
        check_device(plan, index, device)
    check_requests(asked, plan)


def check_device(plan: CellPlan, index: int, device: DevicePlan) -> None:
    of, mine = plan.classes[plan.class_D[index]], sessions(plan, index)
    assert device.device == plan.device_D[index]
    assert (device.link_class, device.device_class) == (of.link.name, of.device_class)
    link, own = device.link, plan.figures
    assert link.down.rate_bps == own.down_bps_D[index]
    assert link.up.rate_bps == own.up_bps_D[index]
    assert link.rtt_ns == own.rtt_ns_D[index]
    assert link.down.loss_delay_ns == own.loss_delay_ns_D[index]
    assert plan.radio_D[index] == (-1 if device.cell is None else device.cell.number)
    due_ns = device.think_ns if device.arrivals_ns is None else device.arrivals_ns
    assert plan.opened == (device.arrivals_ns is not None)
    assert plan.due_ns_S[mine].tolist() == list(due_ns)
    assert plan.public_S[mine].tolist() == [len(each.public) for each in device.requests]
    assert plan.personal_S[mine].tolist() == [len(each.personal) for each in device.requests]
    limits = [12 if each.limit is None else each.limit for each in device.requests]
    assert plan.new_tokens_S[mine].tolist() == limits


def check_requests(asked: Scenario, plan: CellPlan) -> None:
    workload = plan_workload(asked)
    for config in asked.arms:
        arm = plan_arm(asked, workload, config)
        terms = codec_terms(arm, workload.vocab_size)
        if config.settings.cloud_prompt is None:
            continue
        public = config.settings.cloud_prompt is Prompt.PUBLIC
        bytes_S = plan.public_bytes_S if public else plan.personal_bytes_S
        for index, device in enumerate(workload.devices):
            for number, session in enumerate(range(*sessions(plan, index).indices(plan.sessions))):
                body = open_body(session_spec(arm, device, number, terms))
                rest = [body.max_new_tokens, body.codec_fingerprint, body.round_trip_bytes, 0]
                head = 1 + sum(number_bytes(each) for each in rest)
                assert head + bytes_S[session] == len(encode_open(body))


@given(st.lists(st.integers(1, 9), min_size=1, max_size=5), st.integers(1, 200))
def test_any_run_of_devices_holds_the_classes_in_proportion(parts: list[int], devices: int) -> None:
    shares = [part / sum(parts) for part in parts]
    chosen = dealt(shares, devices).tolist()
    assert chosen == classes_in_turn(shares, devices)
    assert chosen[: devices // 2] == dealt(shares, devices // 2).tolist()
    for index, share in enumerate(shares):
        assert abs(chosen.count(index) - share * devices) < len(shares)


def test_machine_code_deals_as_python_does() -> None:
    shares = [0.1, 0.37, 0.53]
    assert dealt(shares, 5000, compiled).tolist() == dealt(shares, 5000).tolist()


def test_times_are_those_of_the_scalar_rules() -> None:
    asked = fleet()
    closed = asked.fleet.arrivals
    assert isinstance(closed, ClosedArrivals)
    timing = plan_timing(asked, np.arange(23))
    assert [timing.of(each) for each in range(23)] == [
        pauses_ns(closed, asked.seed, device) for device in range(23)
    ]
    asked = fleet(arrivals=POISSON)
    poisson = asked.fleet.arrivals
    assert isinstance(poisson, PoissonArrivals)
    timing = plan_timing(asked, np.arange(23))
    assert [timing.of(each) for each in range(23)] == poisson_ns(poisson, asked.seed, 23)


PLACEMENTS: dict[str, dict[str, Any]] = {
    "round robin": {},
    "weighted": {"placement": {"kind": "weighted", "weights": [3, 1, 2]}},
    "sticky": {
        "placement": {
            "kind": "sticky",
            "regions": [{"share": 0.7, "replicas": 2}, {"share": 0.3, "replicas": 1}],
        }
    },
}


@pytest.mark.parametrize("placement", PLACEMENTS.values(), ids=PLACEMENTS)
@pytest.mark.parametrize("arrivals", [CLOSED, POISSON, EVENING], ids=["closed", "poisson", "rates"])
def test_cells_share_the_fleet_out(placement: dict[str, Any], arrivals: Any) -> None:
    more: dict[str, Any] = {"workload": {"duration_s": 2000.0, "lengths": LENGTHS}}
    whole = plan_cell(fleet(100, arrivals, **more), 0)
    spread = fleet(100, arrivals, 3, **placement, **more)
    cells = [plan_cell(spread, cell) for cell in range(3)]
    assert sorted(np.concatenate([each.device_D for each in cells]).tolist()) == list(range(100))
    for cell in cells:
        assert cell.device_D.tolist() == sorted(cell.device_D)
        for index, device in enumerate(cell.device_D.tolist()):
            mine, same = sessions(cell, index), sessions(whole, device)
            assert cell.class_D[index] == whole.class_D[device]
            for name in ("due_ns_S", "public_S", "personal_S", "new_tokens_S"):
                assert getattr(cell, name)[mine].tolist() == getattr(whole, name)[same].tolist()
            for name in ("down_bps_D", "up_bps_D", "rtt_ns_D", "loss_delay_ns_D"):
                assert getattr(cell.figures, name)[index] == getattr(whole.figures, name)[device]


def test_placements_give_replicas_what_they_are_to_have() -> None:
    counts = {
        name: [plan_cell(fleet(1200, replicas=3, **given), cell).devices for cell in range(3)]
        for name, given in PLACEMENTS.items()
    }
    assert counts["round robin"] == [400, 400, 400]
    assert counts["weighted"] == [600, 200, 400]
    first, second, other = counts["sticky"]
    assert abs(first - second) <= 1
    assert 300 < other < 420


def test_more_devices_leave_those_of_a_region_where_they_are() -> None:
    sticky = PLACEMENTS["sticky"]
    for cell in range(3):
        few = plan_cell(fleet(100, replicas=3, **sticky), cell).device_D.tolist()
        assert (
            plan_cell(fleet(500, replicas=3, **sticky), cell).device_D.tolist()[: len(few)] == few
        )


def test_rates_change_when_they_are_to() -> None:
    asked = fleet(4000, EVENING, workload={"duration_s": 2700.0})
    due_s = plan_timing(asked, np.arange(4000)).due_ns_S / 1e9
    counts = np.histogram(due_s, [0, 600, 900, 1800, 2700])[0] / 4000
    assert mean_requests_per_device(asked) == pytest.approx(5 + 0 + 60 + 15)
    assert counts[1] == 0
    assert counts == pytest.approx([5, 0, 60, 15], rel=0.03)
    assert due_s.max() < 2700


def test_requests_at_a_rate_are_a_poisson_process() -> None:
    timing = plan_timing(fleet(4000, EVENING, workload={"duration_s": 900.0}), np.arange(4000))
    assert timing.count_D.mean() == pytest.approx(5, rel=0.03)
    assert timing.count_D.var() == pytest.approx(5, rel=0.06)
    for device in range(50):
        due_ns = timing.of(device)
        assert list(due_ns) == sorted(due_ns)


@pytest.mark.parametrize("name", LENGTHS)
def test_lengths_have_their_means_and_bounds(name: str) -> None:
    asked = fleet(3000, workload={"lengths": {name: LENGTHS[name]}, "max_new_tokens": 1000})
    plan = plan_cell(asked, 0)
    drawn_S = {
        "public": plan.public_S,
        "context": plan.personal_S - plan.public_S,
        "answer": plan.new_tokens_S,
    }[name]
    assert asked.workload.lengths is not None
    length = getattr(asked.workload.lengths, name)
    assert length.least <= drawn_S.min() < drawn_S.max() <= length.most
    assert drawn_S.mean() == pytest.approx(mean_tokens(length), rel=0.06)


def test_own_figures_are_those_of_the_device_in_the_whole_fleet() -> None:
    asked = fleet(60, replicas=3)
    plan = plan_cell(asked, 2)
    links = {each.device: each.link for each in plan_workload(fleet(60)).devices}
    for index, device in enumerate(plan.device_D.tolist()):
        link = drawn(plan.classes[plan.class_D[index]].link, asked.seed, device)
        assert link == links[device]
        assert link.down.rate_bps == plan.figures.down_bps_D[index]
