"""Several replicas in simulated time: each with its devices is a run of its own."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from actors.plan import ArmPlan, DevicePlan
from actors.records import NO_REPLICA, ArmRun
from costeer.methods import METHODS, CloudRole
from experiments.results import digest
from tests.actors.fleets import arm_plan, device, generated_hosts, plans, run_virtual


def placed(plan: ArmPlan, homes: Sequence[int], replicas: int) -> ArmPlan:
    """The plan with its devices on so many replicas, dealt out as given."""
    devices = tuple(
        replace(each, replica=homes[index % len(homes)] % replicas)
        for index, each in enumerate(plan.devices)
    )
    return replace(plan, devices=devices, replicas=replicas)


def part_of(run: ArmRun, devices: Sequence[DevicePlan]) -> ArmRun:
    """The rows of some devices, as those of a run of one replica."""
    numbers = {each.device for each in devices}
    return ArmRun(
        [replace(row, replica=0) for row in run.tokens if row.device in numbers],
        [replace(row, replica=0) for row in run.requests if row.device in numbers],
    )


@settings(max_examples=20)
@given(plans(), st.lists(st.integers(0, 2), min_size=1, max_size=7), st.integers(1, 3))
def test_a_replica_and_its_devices_are_a_run_of_their_own(
    plan: ArmPlan, homes: list[int], shards: int
) -> None:
    spread = placed(plan, homes, 3)
    run = run_virtual(spread, generated_hosts(shards))
    served = plan.arm.method.cloud is not CloudRole.ABSENT
    assert len(run.replicas) == (3 if served else 0)
    for number in range(3):
        devices = [each for each in spread.devices if each.replica == number]
        if not any(each.requests for each in devices):
            continue
        alone = run_virtual(
            replace(spread, devices=tuple(replace(each, replica=0) for each in devices), replicas=1)
        )
        assert digest(part_of(run, devices)) == digest(part_of(alone, devices))
        if served:
            assert run.replicas[number] == alone.replicas[0]


def test_rows_say_who_served_them() -> None:
    devices = [replace(device(number), replica=number % 2) for number in range(4)]
    for method in METHODS:
        run = run_virtual(replace(arm_plan(method.name, devices), replicas=2))
        served = method.cloud is not CloudRole.ABSENT
        said = [(row.device, row.replica) for row in run.tokens]
        for number, replica in [*said, *((row.device, row.replica) for row in run.requests)]:
            assert replica == (number % 2 if served else NO_REPLICA)
