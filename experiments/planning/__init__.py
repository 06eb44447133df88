"""From a scenario to what the drivers run: devices, requests, arms, costs."""

from experiments.planning.arms import check_plan, kv_tokens, plan_arm, plan_costs, read_calibration
from experiments.planning.cell import plan_cell
from experiments.planning.facts import cost_facts
from experiments.planning.workload import (
    Workload,
    plan_cells,
    plan_service,
    plan_workload,
)

__all__ = [
    "Workload",
    "check_plan",
    "cost_facts",
    "kv_tokens",
    "plan_arm",
    "plan_cell",
    "plan_cells",
    "plan_costs",
    "plan_service",
    "plan_workload",
    "read_calibration",
]
