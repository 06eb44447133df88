"""From a scenario to fleets: the same users for every arm, and errors before anything starts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from actors.plan import ArmPlan, codec_terms
from costeer.errors import ConfigError
from experiments.calibration import PairCalibration
from experiments.planning import Workload, plan_arm, plan_costs, plan_workload, read_calibration
from experiments.scenario import Scenario
from netsim.hardware.calibrated import Linear
from netsim.sharing import Discipline
from tests.experiments.small_runs import random_pair, scenario
from tests.netsim.measured import made_of

CLASSES = [{"share": 1, "link": "ideal", "hardware": "phone-npu"}]


def planned(**changes: Any) -> tuple[Scenario, Workload, list[ArmPlan]]:
    given = scenario(**changes)
    workload = plan_workload(given)
    return given, workload, [plan_arm(given, workload, arm) for arm in given.arms]


def test_generated_prompts_have_a_public_and_a_private_part() -> None:
    _, workload, arms = planned()
    for device in workload.devices:
        for request in device.requests:
            assert len(request.public) == 9
            assert len(request.personal) == 20
            assert request.personal[11:] == request.public
            assert set(request.personal[:11]).isdisjoint(request.public)
    assert workload.eos == frozenset()
    assert all(arm.devices == workload.devices for arm in arms)
    # Few ids are used again, and none is beyond the vocabulary.
    _, workload, _ = planned(generated={"vocab_size": 64, "boost_ranks": 8})
    ids = {token for one in workload.devices for each in one.requests for token in each.personal}
    assert ids == set(range(64))


def test_the_number_of_shards_changes_no_device() -> None:
    fleet: dict[str, Any] = {"devices": 5, "classes": CLASSES}
    _, one, _ = planned(fleet=fleet)
    _, three, _ = planned(fleet=fleet | {"shards": 3})
    assert one.devices == three.devices


def test_a_larger_fleet_has_the_same_first_users() -> None:
    _, small, _ = planned(fleet={"devices": 2, "classes": CLASSES})
    _, large, _ = planned(fleet={"devices": 9, "classes": CLASSES})
    assert large.devices[:2] == small.devices


def test_closed_arrivals_think() -> None:
    arrivals = {"kind": "closed", "think_s": 2.0, "requests_per_device": 3}
    _, workload, _ = planned(fleet={"devices": 50, "arrivals": arrivals, "classes": CLASSES})
    pauses = [one.think_ns for one in workload.devices]
    assert all(len(each) == 3 for each in pauses)
    assert all(0 <= first < 2 * 10**9 for first, *_ in pauses)
    later = [pause for _, *rest in pauses for pause in rest]
    assert 1.5e9 < sum(later) / len(later) < 2.5e9
    assert len(set(later)) == len(later)


def test_open_arrivals_are_one_stream_over_the_fleet() -> None:
    arrivals = {"kind": "poisson", "rate_per_s": 10.0, "requests": 203}
    _, workload, _ = planned(fleet={"devices": 5, "arrivals": arrivals, "classes": CLASSES})
    each = [one.arrivals_ns or () for one in workload.devices]
    assert [len(mine) for mine in each] == [41, 41, 41, 40, 40]
    assert all(
        len(one.requests) == len(mine) for one, mine in zip(workload.devices, each, strict=True)
    )
    assert all(list(mine) == sorted(mine) for mine in each)
    last_s = max(map(max, each)) / 1e9
    assert 15 < last_s < 27
    few = {"kind": "poisson", "rate_per_s": 10.0, "requests": 2}
    _, workload, arms = planned(fleet={"devices": 3, "arrivals": few, "classes": CLASSES})
    assert [len(one.requests) for one in workload.devices] == [1, 1, 0]
    assert arms[0].expected_tokens == 8


def test_arms_carry_what_was_written() -> None:
    given, _, arms = planned(
        cloud={"max_batch": 3, "chunk_tokens": 5, "kv_tokens": 99, "egress_mbps": 2.5,
               "idle_timeout_s": 0.5},
        arms=[
            {"method": "light_costeer", "codec": "top8-bf16", "refine": {"max_rounds": 0}},
            {"method": "costeer", "strength": 0.25, "sampling": {"temperature": 0.7}},
            {"method": "llm_with"},
        ],
    )  # fmt: skip
    light, own, streamed = arms
    assert light.refine.max_rounds == 0
    assert light.arm.strength == pytest.approx(0.4762, abs=1e-4)
    assert own.arm.strength == 0.25
    assert own.arm.sampling.temperature == 0.7
    assert streamed.arm.strength == 0
    limits = own.limits
    assert (limits.max_batch, limits.chunk_tokens, limits.kv_tokens) == (3, 5, 99)
    assert limits.idle_timeout_ns == 500_000_000
    assert own.egress_bps == 2_500_000
    assert {arm.arm.seed for arm in arms} == {given.seed}


def test_devices_of_a_class_share_links_in_groups() -> None:
    classes = [
        {"share": 0.5, "link": "lte", "hardware": "phone-npu", "shared_by": 2, "sharing": "fifo"},
        {"share": 0.5, "link": "cable", "hardware": "laptop-cpu"},
    ]
    _, workload, arms = planned(
        fleet={"devices": 6, "classes": classes}, cloud={"egress_sharing": "ps"}
    )
    cells = [each.cell for each in workload.devices if each.link_class == "lte"]
    assert len(cells) == 3
    assert cells[0] == cells[1] != cells[2]
    assert {each.discipline for each in cells if each} == {Discipline.FIFO}
    assert all(each.cell is None for each in workload.devices if each.link_class == "cable")
    assert arms[0].egress_discipline is Discipline.PS


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cloud": {"egress_sharing": "ps"}}, "egress_sharing: ps is simulated only"),
        (
            {"fleet": {"devices": 2, "classes": [CLASSES[0] | {"share": 1, "shared_by": 2}]}},
            "shared_by > 1 is simulated only",
        ),
    ],
)
def test_a_live_run_shares_nothing_but_a_fifo_egress(changes: dict[str, Any], says: str) -> None:
    with pytest.raises(ValidationError, match=says):
        planned(way="live", **changes)


def test_memory_that_cannot_hold_one_session_is_refused() -> None:
    with pytest.raises(ConfigError, match="memory for 20 tokens cannot hold one session of 24"):
        planned(cloud={"kv_tokens": 20}, arms=[{"method": "llm_with"}])
    _, _, arms = planned(cloud={"kv_tokens": 13}, arms=[{"method": "costeer"}])
    assert arms[0].limits.kv_tokens == 13
    _, _, arms = planned(cloud={"kv_bytes": 57_344 * 100}, arms=[{"method": "costeer"}])
    assert arms[0].limits.kv_tokens == 100
    # A small model that drafts beside the large one keeps the same tokens: 28,672 B each.
    drafting = {"method": "llm_without", "cloud_drafts": {"kind": "model"}}
    _, _, arms = planned(cloud={"kv_bytes": (57_344 + 28_672) * 100}, arms=[drafting])
    assert arms[0].limits.kv_tokens == 100
    # The devices alone have no need of it.
    planned(cloud={"kv_tokens": 1}, arms=[{"method": "slm_with"}])


def test_who_comes_when_memory_is_full_waits_or_is_told() -> None:
    _, _, (queue, *_) = planned()
    _, _, (reject, *_) = planned(cloud={"when_full": "reject"})
    assert queue.limits.max_waiting > 0
    assert reject.limits.max_waiting == 0
    assert not queue.limits.preempts
    _, _, (preempt, *_) = planned(cloud={"when_full": "preempt"})
    assert preempt.limits.max_waiting > 0
    assert preempt.limits.preempts
    with pytest.raises(ConfigError, match="speculation"):
        planned(
            cloud={"when_full": "preempt"},
            arms=[{"method": "costeer", "speculation": {"drafts": 2}}],
        )


def test_more_sessions_than_ids_are_refused() -> None:
    arrivals = {"kind": "poisson", "rate_per_s": 10.0, "requests": 4097}
    with pytest.raises(ConfigError, match="4096 requests each"):
        planned(fleet={"devices": 1, "arrivals": arrivals, "classes": CLASSES})


def test_costs_are_the_roofline_s_or_the_calibration_s(tmp_path: Path) -> None:
    given, _, arms = planned()
    terms = codec_terms(arms[-1], 400)
    assert plan_costs(given, terms).origin == "roofline"
    file = tmp_path / "pair.json"
    file.write_text(calibration().to_json(), encoding="utf-8")
    assert plan_costs(given, terms, calibration()).origin == "calibrated"
    given = scenario(timing={"calibration": str(file)})
    assert plan_costs(given, terms).origin == "calibrated"
    assert read_calibration(file) == calibration()


def calibration() -> PairCalibration:
    constant = Linear(base_ns=5, per_value_ns=0)
    one = made_of(
        [(1, 1, 0, 10), (2, 1, 0, 12)],
        constant,
        kv_tokens=100,
    )
    return PairCalibration(codec="top64-bf16-packed", vocab_size=400, cloud=one, edge=one)


def test_a_calibration_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.json: no such file.*costeer calibrate"):
        read_calibration(tmp_path / "none.json")
    file = tmp_path / "pair.json"
    file.write_text('{"codec": "x", "vocab_size": 9, "cloud": 3}', encoding="utf-8")
    with pytest.raises(ConfigError, match=r"pair\.json: cloud: .*costeer calibrate"):
        read_calibration(file)


def test_prompts_are_encoded_and_checked_against_the_models() -> None:
    given = scenario(
        values="models", models=random_pair(), workload={"limit": 4, "max_new_tokens": 8}
    )
    workload = plan_workload(given)
    first = workload.devices[0].requests[0]
    assert workload.rows[first.prompt_id].input
    assert len(first.personal) > len(first.public)
    assert workload.eos
    assert workload.max_context == 512
    assert all(token < (workload.vocab_size or 0) for token in first.personal)
    ignoring = {"limit": 4, "max_new_tokens": 8, "ignore_eos": True}
    given = scenario(values="models", models=random_pair(), workload=ignoring)
    assert plan_workload(given).eos == frozenset()
    long = {"limit": 4, "max_new_tokens": 500}
    given = scenario(values="models", models=random_pair(), workload=long)
    with pytest.raises(ConfigError, match=r"row '.*' has \d+ tokens and 500 new .* allow 512"):
        plan_workload(given)
