"""A scenario: what a person asks for, read from YAML and checked before anything runs."""

from experiments.scenario.loading import dump_scenario, load_scenario, shipped_scenarios
from experiments.scenario.model import (
    ArmConfig,
    ClosedArrivals,
    CloudConfig,
    DeviceClass,
    FleetConfig,
    GeneratedValues,
    HfModel,
    ModelsConfig,
    PoissonArrivals,
    Scenario,
    TimingConfig,
    WorkloadConfig,
)

__all__ = [
    "ArmConfig",
    "ClosedArrivals",
    "CloudConfig",
    "DeviceClass",
    "FleetConfig",
    "GeneratedValues",
    "HfModel",
    "ModelsConfig",
    "PoissonArrivals",
    "Scenario",
    "TimingConfig",
    "WorkloadConfig",
    "dump_scenario",
    "load_scenario",
    "shipped_scenarios",
]
