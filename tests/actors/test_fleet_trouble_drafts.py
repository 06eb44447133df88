"""Law 5 for devices that draft where something may fail: frames are lost, repeated, or too late."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.fleet.outcomes import Outcomes
from actors.plan import ArmPlan
from actors.values.order import ReplayOrder
from actors.values.profile import Profile
from actors.values.replayed import ReplayCloudHost, Replayed, ReplayEdgeHost, ReplaySpec
from costeer.codec.config import CodecConfig
from costeer.methods import method_named
from costeer.refinement import RefineConfig
from costeer.speculation import SpeculationConfig
from tests.actors.compiled_fleets import run_fleet, same
from tests.actors.fleets import MS, VOCAB, driver_of, hosts_of, null_hosts
from tests.actors.profiles import session, written
from tests.actors.test_fleet_drafts import drafting_fleets
from tests.actors.test_fleet_trouble import constants, stalled, troubled

some = settings(max_examples=30, deadline=None)


@some
@given(st.data(), drafting_fleets(), st.integers(1, 110))
def test_devices_that_draft_fail_as_in_virtual(
    data: st.DataObject, of: tuple[ArmPlan, float], percent: int
) -> None:
    plan, acceptance = of
    calm = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    plan = data.draw(troubled(plan, calm.end_ns))
    if plan.retry is not None:
        plan = replace(plan, retry=replace(plan.retry, falls_back=data.draw(st.booleans())))
    if percent < 100:
        plan = replace(plan, until_ns=max(1, calm.end_ns * percent // 100))
    run = driver_of(plan, null_hosts(acceptance=acceptance)).run()
    same(run_fleet(plan, constants(plan, acceptance)), run)


@pytest.fixture(scope="module")
def measured() -> Iterator[Path]:
    """A profile whose tokens ask for more ranks, and whose drafts are right in runs."""
    with TemporaryDirectory() as folder:
        said = [[10 + 20 * number + each for each in range(17)] for number in range(5)]
        told = [
            session(number, tokens, limit=17, right=[(each + number) % 5 > 0 for each in tokens])
            for number, tokens in enumerate(said)
        ]
        path = Path(folder) / "measured.parquet"
        yield written(path, [told], vocab_size=VOCAB, eos=())


@settings(max_examples=30, deadline=None)
@given(st.data(), drafting_fleets())
def test_so_do_those_that_refine(
    measured: Path, data: st.DataObject, of: tuple[ArmPlan, float]
) -> None:
    plan = replace(of[0], eos=frozenset(), refine=RefineConfig(growth=2, max_rounds=3))
    codec = CodecConfig.model_validate("top8-bf16-packed")
    method = method_named("costeer")  # what the cloud chooses itself is not refined
    plan = replace(plan, arm=replace(plan.arm, codec=codec, method=method))
    spec = ReplaySpec(str(measured), ReplayOrder.DRAWN, ((plan.arm, Replayed((0,))),))

    plan = data.draw(troubled(plan, 800 * MS))
    hosts = hosts_of(lambda: ReplayCloudHost(spec), lambda: ReplayEdgeHost(spec))
    same(run_fleet(plan, replayed(plan, measured)), driver_of(plan, hosts).run())


def replayed(plan: ArmPlan, path: Path) -> Outcomes:
    read = Profile(path)
    asked = [
        (device.device, number, plan.new_tokens(each))
        for device in plan.devices
        for number, each in enumerate(device.requests)
    ]
    devices, numbers, limits = np.array(asked, np.int64).T
    picked = read.sessions_of(ReplayOrder.DRAWN, plan.arm.seed, devices, numbers)
    return Outcomes.replayed(read.parts[0], picked, limits, to_the_limit=True, drafting=VOCAB)


@pytest.mark.parametrize("ahead", [0, 12])
def test_devices_that_drafted_in_vain_go_on_alone(ahead: int) -> None:
    plan = stalled(speculation=SpeculationConfig(drafts=3, ahead=ahead))
    run = run_fleet(plan, constants(plan))
    same(run, driver_of(plan, null_hosts(acceptance=0.6)).run())
    assert any(row.record.repeats for row in run.tokens)
    assert {row.record.fallback for row in run.tokens} == {False, True}
