"""What is known of an arm's costs before it runs: prices, power and memory."""

from __future__ import annotations

from actors.plan import ArmPlan, CodecTerms
from costeer.machine import EdgeDecode, EdgeSteer
from costeer.methods import CloudRole
from experiments.cost_facts import CostFacts, EdgeFacts
from experiments.planning.arms import plan_costs
from experiments.planning.workload import Workload
from experiments.scenario import Scenario
from netsim.hardware import hardware_named, shape_named


def cost_facts(
    scenario: Scenario, plan: ArmPlan, terms: CodecTerms, workload: Workload | None = None
) -> CostFacts:
    """Return what prices, power and memory an arm is charged with.

    Power is that of the hardware that a scenario names; where a calibration is charged instead, or
    the devices are played by this machine, it is not known.

    Args:
        scenario: names hardware, models and prices.
        plan: the arm.
        terms: its codec.
        workload: of an arm without devices: says how long prompts are at most.
    """
    cloud = plan.arm.method.cloud is not CloudRole.ABSENT
    prices = scenario.prices
    gpus = scenario.cloud.replicas * (prices.gpus_per_replica if prices else 1) if cloud else 0
    return CostFacts(
        gpus=gpus,
        gpu_usd_per_hour=prices.gpu_usd_per_hour if prices else None,
        egress_usd_per_gb=prices.egress_usd_per_gb if prices else None,
        edges=_edges(scenario, plan, terms, workload),
        prices=prices.source if prices else "none declared",
    )


def _edges(
    scenario: Scenario, plan: ArmPlan, terms: CodecTerms, workload: Workload | None
) -> dict[str, EdgeFacts]:
    method = plan.arm.method
    if not method.edge_branches:
        return {}
    named = scenario.way != "live" and scenario.timing.calibration is None
    costs = plan_costs(scenario, terms) if named else None
    shape = shape_named(scenario.timing.edge_model)
    longest = max(
        (
            sum(len(request.branch(branch)) for branch in method.edge_branches)
            for device in plan.devices
            for request in device.requests
        ),
        default=0,
    )
    if workload is not None:
        longest = sum(workload.longest(branch) for branch in method.edge_branches)
    held = longest + plan.max_new_tokens * len(method.edge_branches)
    edges = {}
    for each in scenario.fleet.classes:
        name = each.device_class
        more_ns = 0
        if costs is not None and method.steered and terms.ladder.has(1):
            more_ns = costs.edge_ns(EdgeDecode(0, 0, 1, b""), name)
            more_ns += costs.edge_ns(EdgeSteer(0, 0, 1), name)
        edges[name] = EdgeFacts(
            power_w=hardware_named(each.hardware).power_w if named else None,
            more_ns=more_ns,
            weight_bytes=shape.weight_bytes,
            kv_bytes=held * shape.kv_bytes_per_token,
        )
    return edges
