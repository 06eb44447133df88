"""From a scenario to what the drivers run: devices, requests, arms, costs."""

from experiments.planning.arms import check_plan, plan_arm, plan_costs, read_calibration
from experiments.planning.workload import (
    Workload,
    plan_service,
    plan_workload,
)

__all__ = [
    "Workload",
    "check_plan",
    "plan_arm",
    "plan_costs",
    "plan_service",
    "plan_workload",
    "read_calibration",
]
