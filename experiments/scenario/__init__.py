"""A scenario: what a person asks for, read from YAML and checked before anything runs."""

from experiments.scenario.arms import ArmConfig, WorkloadConfig
from experiments.scenario.cloud import CloudConfig, CostFactors, RetryConfig, TimingConfig
from experiments.scenario.events import CloudStalls
from experiments.scenario.fleet import (
    ClosedArrivals,
    DeviceClass,
    FleetConfig,
    PoissonArrivals,
    RatesArrivals,
    Sticky,
    TraceArrivals,
    Weighted,
)
from experiments.scenario.loading import dump_scenario, load_scenario, shipped_scenarios
from experiments.scenario.model import Scenario
from experiments.scenario.models import AlignedBytes, HfModel, ModelsConfig, OpenAiModel
from experiments.scenario.values import GeneratedValues

__all__ = [
    "AlignedBytes",
    "ArmConfig",
    "ClosedArrivals",
    "CloudConfig",
    "CloudStalls",
    "CostFactors",
    "DeviceClass",
    "FleetConfig",
    "GeneratedValues",
    "HfModel",
    "ModelsConfig",
    "OpenAiModel",
    "PoissonArrivals",
    "RatesArrivals",
    "RetryConfig",
    "Scenario",
    "Sticky",
    "TimingConfig",
    "TraceArrivals",
    "Weighted",
    "WorkloadConfig",
    "dump_scenario",
    "load_scenario",
    "shipped_scenarios",
]
