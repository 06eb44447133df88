"""What a fleet may need and what is asked of it: said, or refused, before any of it is planned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from actors.costs import Costs
from actors.plan import ArmPlan, codec_terms
from costeer.errors import ConfigError
from experiments.fleet.limits import Load, check_size, load_of
from experiments.fleet.overload import Overload
from experiments.planning import plan_arm, plan_cell, plan_cells, plan_costs
from experiments.planning.members import most_devices
from experiments.planning.size import runs_in_cells, size_of
from experiments.scenario import Scenario
from tests.experiments.small_runs import scenario

CLASSES = [
    {"share": 0.5, "link": "4g-eu", "hardware": "phone-npu"},
    {"share": 0.5, "link": "cable", "hardware": "laptop-cpu"},
]
REGIONS = [{"share": 0.9, "replicas": 1}, {"share": 0.1, "replicas": 1}]


def fleet(devices: int = 40, replicas: int = 2, **more: Any) -> Scenario:
    return scenario(
        way="fleet",
        values="null",
        fleet={"devices": devices, "classes": CLASSES} | more.pop("fleet", {}),
        cloud={"replicas": replicas, "max_batch": 8} | more.pop("cloud", {}),
        arms=[{"method": "costeer", "codec": "top8-bf16-naive"}],
        workload={"max_new_tokens": 10} | more.pop("workload", {}),
        **more,
    )


def asked_at(per_hour: float, duration_s: float = 600.0) -> dict[str, Any]:
    return {
        "fleet": {
            "arrivals": {"kind": "rates", "steps": [{"from_s": 0, "per_hour": per_hour}]},
        },
        "workload": {"duration_s": duration_s},
    }


def planned(of: Scenario) -> tuple[ArmPlan, Costs]:
    workload = plan_cells(of)
    plan = plan_arm(of, workload, of.arms[0])
    return plan, plan_costs(of, codec_terms(plan, workload.vocab_size))


def test_the_estimate_says_how_large_a_fleet_is() -> None:
    size = size_of(fleet(1_000_000, 100))
    assert (size.cells, size.devices, size.requests, size.tokens) == (100, 10**6, 10**6, 10**7)
    told = size.told(1, 2)
    assert told.startswith("1,000,000 devices on 100 replicas, about 1,000,000 requests an arm")
    assert "10,000,000 tokens in all; estimate: " in told
    assert told.endswith("GB with 2 at a time")
    assert size.seconds(1, 2) < size.seconds(1, 1) < size.seconds(3, 1)
    assert size.memory_bytes(1) < size.memory_bytes(2) == size.memory_bytes(2)


def test_more_replicas_need_less_memory_at_a_time() -> None:
    assert size_of(fleet(10**6, 100)).cell_bytes < size_of(fleet(10**6, 4)).cell_bytes / 5


def test_a_fleet_that_does_not_fit_is_refused_with_the_way_out() -> None:
    with pytest.raises(ConfigError, match=r"needs about .* GB are free; spread the devices over"):
        check_size(fleet(20_000_000, 20), at_once=2, free_bytes=2**30)
    assert check_size(fleet(20_000_000, 20), at_once=2, free_bytes=2**40).cells == 20


def test_a_sample_of_too_many_rows_is_refused() -> None:
    given = fleet(1_000_000, 100, fleet={"sample": 1_000_000})
    with pytest.raises(ConfigError, match=r"fleet.sample: 1,000,000 requests are up to 10,000,000"):
        check_size(given, at_once=1)


def test_more_devices_on_a_replica_than_it_has_ids_are_refused() -> None:
    with pytest.raises(ConfigError, match="at most 1048576 devices"):
        plan_cells(fleet(3_000_000, 2))
    plan_cells(fleet(3_000_000, 3))


def test_small_fleets_write_everything_down_and_large_ones_a_sample() -> None:
    assert not runs_in_cells(fleet(40, 1))
    assert runs_in_cells(fleet(40, 2))
    assert runs_in_cells(fleet(40, 1, fleet={"sample": 5}))
    assert runs_in_cells(fleet(100_000, 1))
    assert not runs_in_cells(scenario(way="virtual", values="null"))


@pytest.mark.parametrize(
    "placement",
    [
        {"kind": "round_robin"},
        {"kind": "weighted", "weights": [1, 5]},
        {
            "kind": "sticky",
            "regions": [{"share": 0.9, "replicas": 1}, {"share": 0.1, "replicas": 1}],
        },
    ],
)
def test_the_largest_cell_is_known_before(placement: dict[str, Any]) -> None:
    given = fleet(3000, 2, fleet={"placement": placement})
    largest = max(plan_cell(given, cell).devices for cell in range(2))
    assert largest == pytest.approx(most_devices(given), rel=0.03)


# --------------------------------------------------------------------------- load


def test_a_load_that_a_replica_can_serve_has_no_backlog() -> None:
    load = load_of(fleet(**asked_at(1.0)), *planned(fleet()))
    assert load is not None
    assert load.backlog == 0
    assert load.offered_per_s == pytest.approx(20 / 3600)


def test_a_load_that_no_replica_can_serve_is_told_with_its_backlog() -> None:
    load = load_of(fleet(**asked_at(36_000.0)), *planned(fleet()))
    assert load is not None
    assert load.offered_per_s == pytest.approx(200)
    assert load.backlog == pytest.approx((200 - load.served_per_s) * 600)
    assert "requests come faster than a replica can serve them: 200 per second" in load.told()


def test_users_who_wait_for_answers_cannot_ask_too_much() -> None:
    assert load_of(fleet(), *planned(fleet())) is None


def test_the_bound_grows_with_the_batch() -> None:
    one, many = (
        load_of(given, *planned(given))
        for given in (
            fleet(**asked_at(1.0), cloud={"max_batch": 1}),
            fleet(**asked_at(1.0), cloud={"max_batch": 64}),
        )
    )
    assert one is not None
    assert many is not None
    assert 20 < many.served_per_s / one.served_per_s < 64


def test_a_load_is_told_in_words() -> None:
    assert Load(3.0, 2.0, 100.0).backlog == 100
    assert "about 100 would wait after 100 s" in Load(3.0, 2.0, 100.0).told()


# --------------------------------------------------------------------------- overload


def looked(served_share: float, *, opened: bool = True, until: float = 1.0) -> bool:
    """Whether a cell is found to be overloaded that serves a share of what comes, for a while."""
    given = fleet(40, 1, **asked_at(300.0)) if opened else fleet(40, 1)
    cell = plan_cell(given, 0)
    overload = Overload(cell)
    due_ns = np.sort(cell.due_ns_S)
    for now_ns in np.linspace(0, due_ns[-1] * 1.2, 500).astype(np.int64):
        arrived = int((due_ns <= now_ns).sum())
        relief = max(0.0, now_ns / due_ns[-1] - until) * len(due_ns) * 2
        overload.look(int(now_ns), min(arrived, int(arrived * served_share + relief)))
        if overload.found:
            return True
    return False


def test_a_cell_that_can_never_keep_up_is_found() -> None:
    assert looked(0.3)


def test_a_cell_that_keeps_up_or_nearly_so_is_not() -> None:
    assert not looked(1.0)
    assert not looked(0.8)


def test_a_peak_that_passes_is_no_overload() -> None:
    assert not looked(0.3, until=0.3)


def test_users_who_wait_never_overload() -> None:
    assert not looked(0.1, opened=False)
