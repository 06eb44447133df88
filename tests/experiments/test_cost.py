"""What a token costs: every figure against the work that was really charged."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from actors.costs import Costs
from actors.plan import codec_terms
from costeer.machine import CloudForward, CloudOp, CloudRow, EdgeForward, EdgeOp
from experiments.cost_facts import CostFacts, EdgeFacts
from experiments.planning import plan_arm, plan_costs, plan_workload
from experiments.results.cost import Usage, cost_of
from experiments.results.cost_table import cost_columns, cost_table, has_costs
from experiments.scenario import Scenario
from netsim.hardware import hardware_named
from tests.experiments.small_runs import run, scenario

PRICES = {"gpu_usd_per_hour": 3.6, "egress_usd_per_gb": 0.1, "source": "a test"}
STEERED = {"method": "costeer", "strength": 3.0, "codec": "top8-bf16-naive"}
ONE_MORE = {"growth": 4, "max_rounds": 1, "at_cap": "dense"}


def whole(summary: dict[str, Any]) -> list[dict[str, Any]]:
    return [row for row in summary["arms"] if row["link_class"] == "all"]


@pytest.fixture(scope="module")
def priced(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """A run's arms, and the nanoseconds that were charged for it, by who was charged."""
    charged: dict[str, int] = {}

    def charge(who: str, cost_ns: int) -> int:
        charged[who] = charged.get(who, 0) + cost_ns
        return cost_ns

    cloud_ns, edge_ns = Costs.cloud_ns, Costs.edge_ns

    def watched_cloud(costs: Costs, op: CloudOp) -> int:
        return charge("cloud", cloud_ns(costs, op))

    def watched_edge(costs: Costs, op: EdgeOp, device_class: str) -> int:
        cost_ns = edge_ns(costs, op, device_class)
        # Session 0's first decode and choice cannot be told from a table's look-ups.
        asked = isinstance(op, EdgeForward) or op.session > 0 or op.position > 0
        return charge(device_class, cost_ns) if asked else cost_ns

    asked = scenario(
        arms=[STEERED | {"refine": ONE_MORE}],
        prices=PRICES,
        fleet=scenario().fleet.model_dump() | {"devices": 4},
    )
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(Costs, "cloud_ns", watched_cloud)
        patched.setattr(Costs, "edge_ns", watched_edge)
        outcome = run(asked, tmp_path_factory.mktemp("cost") / "run")
    return outcome.summary["arms"], charged


def test_gpu_time_is_what_the_cloud_was_charged(priced: Any) -> None:
    rows, charged = priced
    (row,) = (row for row in rows if row["link_class"] == "all")
    cost = row["cost"]
    assert cost["gpu_busy_s_per_token"] * row["tokens"] == pytest.approx(charged["cloud"] / 1e9)
    assert row["gpu_busy_share"] == pytest.approx(charged["cloud"] / 1e9 / row["makespan_s"])
    money = cost["usd_per_million_tokens"]
    assert money["gpu_paid"] == pytest.approx(row["makespan_s"] * 1e-3 / row["tokens"] * 1e6)
    assert money["gpu_busy"] < money["gpu_paid"]
    wire = row["wire_bytes_down_per_token"]
    assert money["egress"] == pytest.approx(wire * 1e6 / 1e9 * 0.1)
    assert money["total"] == pytest.approx(money["gpu_paid"] + money["egress"])


def test_a_devices_energy_is_its_power_over_the_work_it_was_charged(priced: Any) -> None:
    rows, charged = priced
    assert any(row["refined_share"] for row in rows)
    (row,) = (row for row in rows if row["link_class"] == "all")
    joules = sum(
        hardware_named(name).power_w * ns / 1e9 for name, ns in charged.items() if name != "cloud"
    )
    assert row["cost"]["device_j_per_token"] * row["tokens"] == pytest.approx(joules, rel=0.02)


def test_link_classes_share_bytes_and_energy_but_not_the_gpu(priced: Any) -> None:
    rows, _ = priced
    (whole_row,) = (row for row in rows if row["link_class"] == "all")
    parts = [row for row in rows if row["link_class"] != "all"]
    assert len(parts) == 2
    for key in ("device_j_per_token", "egress_gb_per_million_tokens"):
        total = sum(row["cost"][key] * row["tokens"] for row in parts)
        assert total == pytest.approx(whole_row["cost"][key] * whole_row["tokens"])
    assert {row["cost"]["gpu_busy_s_per_token"] for row in parts} == {None}


def test_dense_fp16_is_some_300_gb_of_egress_per_million_tokens(tmp_path: Path) -> None:
    arms = [
        {"method": "costeer", "codec": "dense-fp16"},
        {"method": "costeer", "codec": "top64-bf16-packed"},
    ]
    asked = scenario(values="null", generated={"constant_bytes": "codec"}, arms=arms, prices=PRICES)
    dense, sparse = whole(run(asked, tmp_path / "run").summary)
    assert dense["payload_bytes_down_per_token"] == pytest.approx(303_872, abs=20)
    assert 300 < dense["cost"]["egress_gb_per_million_tokens"] < 330
    assert 100 < sparse["payload_bytes_down_per_token"] < 200
    assert sparse["cost"]["egress_gb_per_million_tokens"] < 1


def test_constants_weigh_the_same_in_both_simulated_ways(tmp_path: Path) -> None:
    codec = {"method": "costeer", "codec": "top64-bf16-packed"}
    asked = {"values": "null", "generated": {"constant_bytes": "codec"}, "arms": [codec]}
    digests = {
        way: run(scenario(way=way, **asked), tmp_path / way).summary["digest"]
        for way in ("virtual", "fleet")
    }
    assert digests["virtual"] == digests["fleet"]


def test_without_prices_nothing_costs_money_but_time_and_energy_are_known(tmp_path: Path) -> None:
    summary = run(scenario(), tmp_path / "run").summary
    local, streamed, steered = whole(summary)
    assert not has_costs(summary["arms"])
    assert set(steered["cost"]["usd_per_million_tokens"].values()) == {None}
    assert local["cost"]["gpu_busy_s_per_token"] is None
    assert local["cost"]["egress_gb_per_million_tokens"] == 0
    assert streamed["cost"]["device_j_per_token"] == 0
    assert streamed["cost"]["device_memory_gb"] == {"weights": 0, "kv": 0}
    # Two branches: the public prompt of 9 tokens, and with 11 of context; 4 new tokens each.
    shape_kv = 2 * 28 * 2 * 128 * 2
    assert steered["cost"]["device_memory_gb"]["kv"] == pytest.approx((9 + 20 + 8) * shape_kv / 1e9)
    assert steered["cost"]["device_j_per_token"] > local["cost"]["device_j_per_token"] > 0


def test_costs_by_hand() -> None:
    facts = CostFacts(
        gpus=2,
        gpu_usd_per_hour=36.0,
        egress_usd_per_gb=0.5,
        edges={"phone": EdgeFacts(5.0, 1_000_000, 2_000_000_000, 3_000_000)},
    )
    usage = Usage(
        tokens=1_000,
        delivered=1_000,
        requests=10,
        wire_bytes_down=4_000_000_000,
        wire_bytes_up=1_000_000,
        makespan_s=100.0,
        gpu_busy_s=25.0,
        edge_work_ns={"phone": 9_000_000_000},
        edge_rounds={"phone": 1_000},
    )
    cost = cost_of(facts, usage)
    assert cost["gpu_paid_s_per_token"] == pytest.approx(0.2)
    money = cost["usd_per_million_tokens"]
    assert money == pytest.approx(
        {"gpu_paid": 2_000.0, "gpu_busy": 250.0, "egress": 2_000.0, "total": 4_000.0}
    )
    assert cost["mb_per_response"] == pytest.approx({"down": 400.0, "up": 0.1})
    assert cost["device_j_per_token"] == pytest.approx(5.0 * 10.0 / 1_000)
    assert cost_of(facts, Usage(0, 0, 0, 0, 0))["device_j_per_token"] is None


def costs_with(**changes: Any) -> tuple[Costs, str]:
    asked = Scenario.model_validate(scenario().model_dump(mode="json") | changes)
    workload = plan_workload(asked)
    plan = plan_arm(asked, workload, asked.arms[-1])
    each = asked.fleet.classes[0].device_class
    return plan_costs(asked, codec_terms(plan, workload.vocab_size)), each


def test_a_throttled_device_takes_as_much_longer_as_its_hardware_says() -> None:
    fleet = scenario().fleet.model_dump(mode="json")
    hot = fleet | {"classes": [each | {"throttled": True} for each in fleet["classes"]]}
    forward = EdgeForward(1, ((1,), (1,)), (9, 20))
    usual, name = costs_with()
    slow, slow_name = costs_with(fleet=hot)
    assert (name, slow_name) == ("phone-npu", "phone-npu (throttled)")
    ratio = slow.edge_ns(forward, slow_name) / usual.edge_ns(forward, name)
    assert ratio == pytest.approx(1 / hardware_named("phone-npu").sustained_speed, rel=1e-4)
    assert (usual.origin, slow.origin) == ("roofline", "roofline × declared")


def test_factors_change_what_they_name_and_nothing_else() -> None:
    forward = CloudForward((CloudRow(1, (1,), 9),))
    usual, name = costs_with()
    fast, _ = costs_with(timing={"factors": {"cloud_forward": 0.5, "edge_logits": 3.0}})
    assert fast.cloud_ns(forward) == pytest.approx(usual.cloud_ns(forward) / 2, rel=1e-4)
    assert fast.cloud_round_ns(0, 3) == usual.cloud_round_ns(0, 3)
    edge = EdgeForward(1, ((1,), (1,)), (9, 20))
    assert fast.edge_ns(edge, name) == usual.edge_ns(edge, name)


def test_the_table_has_a_line_per_arm_and_says_where_prices_are_from(priced: Any) -> None:
    rows, _ = priced
    assert has_costs(rows)
    assert {len(column.cells) for column in cost_columns(rows)} == {1}
    assert "a test" in cost_table(rows)
    assert cost_table(rows, markdown=True).startswith("| ")
