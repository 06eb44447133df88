"""Scenarios: what is shipped is valid, what is resolved reads back, what is wrong is one line."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.failures import Departure, ReplicaFailure, Standing
from actors.retry import RetryPolicy
from actors.stalls import Stall
from costeer.codec.config import CodecConfig
from costeer.errors import ConfigError
from costeer.methods import METHODS
from costeer.refinement import RefineConfig
from experiments.planning import plan_arm, plan_workload
from experiments.scenario import (
    ArmConfig,
    HfModel,
    PoissonArrivals,
    Scenario,
    dump_scenario,
    load_scenario,
    shipped_scenarios,
)

MINIMAL = """
name: mine
values: generated
fleet:
  devices: 2
  classes: [{share: 1, link: lte, hardware: orin-nano}]
arms: [{method: costeer}]
"""


@pytest.fixture
def minimal(tmp_path: Path) -> Path:
    return written(tmp_path, MINIMAL)


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def complaint(path: Path | str, *overrides: str) -> str:
    with pytest.raises(ConfigError) as caught:
        load_scenario(str(path), overrides)
    message = str(caught.value)
    assert "\n" not in message
    return message


# --------------------------------------------------------------------------- what is right


def test_the_shipped_scenarios() -> None:
    pairs = {
        *("llama-8b-1b", "qwen2.5-1.5b-0.5b", "qwen2.5-32b-7b", "qwen2.5-7b-1.5b", "qwen3-8b-1.7b")
    }
    assert set(shipped_scenarios()) - pairs == {
        *(
            "city",
            "crowd",
            "demo",
            "egress",
            "failover",
            "full-vocabulary",
            "live",
            "measured-crowd",
            "methods",
            "methods-crowd",
            "million",
            "overhead",
            "tiny",
        )
    }
    assert pairs < set(shipped_scenarios())


@pytest.mark.parametrize("name", shipped_scenarios())
def test_a_resolved_scenario_reads_back_as_itself(name: str, tmp_path: Path) -> None:
    scenario = load_scenario(name)
    assert scenario.name == name
    resolved = dump_scenario(scenario)
    again = load_scenario(str(written(tmp_path, resolved)))
    assert again == scenario
    assert dump_scenario(again) == resolved


def test_a_resolved_scenario_says_every_field(minimal: Path) -> None:
    resolved = yaml.safe_load(dump_scenario(load_scenario(str(minimal))))
    assert set(resolved) == set(Scenario.model_fields)
    assert set(resolved["arms"][0]) == set(ArmConfig.model_fields)


def test_the_demo_is_what_was_promised() -> None:
    demo = load_scenario("demo")
    assert demo.fleet.devices == 24
    assert len({each.link.resolve().name for each in demo.fleet.classes}) == 3
    assert [arm.method for arm in demo.arms] == [method.name for method in METHODS]
    assert demo.workload.prompts == "held-out"


def test_steered_methods_have_the_papers_strength_by_default(minimal: Path) -> None:
    light = load_scenario(str(minimal), ["arms.0.method=light_costeer"]).arms[0]
    full = load_scenario(str(minimal)).arms[0]
    assert light.strength is not None
    assert full.strength is not None
    assert light.strength.c == pytest.approx(0.476, abs=1e-3)
    assert full.strength.c == pytest.approx(1.783, abs=1e-3)
    assert full.codec == CodecConfig()
    assert full.refine == RefineConfig()


def test_a_bare_number_is_the_strength(minimal: Path) -> None:
    arm = load_scenario(str(minimal), ["arms.0.strength=1.5"]).arms[0]
    assert arm.strength is not None
    assert arm.strength.c == 1.5


def test_a_bare_null_means_null_values(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace("values: generated", "values: null"))
    assert load_scenario(str(path)).values == "null"


def test_overrides_reach_into_lists_and_missing_sections(minimal: Path) -> None:
    overrides = [
        "arms.0.codec.select.kind=top_k",
        "arms.0.codec.select.k=32",
        "fleet.classes.0.share=1.0",
        "cloud.max_batch=3",
        "fleet.arrivals={kind: poisson, rate_per_s: 2, requests: 5}",
    ]
    scenario = load_scenario(str(minimal), overrides, seed=11)
    codec = scenario.arms[0].codec
    assert isinstance(codec, CodecConfig)
    assert codec.select.model_dump() == {"kind": "top_k", "k": 32}
    assert scenario.cloud.max_batch == 3
    assert scenario.fleet.arrivals == PoissonArrivals(rate_per_s=2, requests=5)
    assert scenario.seed == 11


def test_the_shipped_pair_is_found_wherever_the_project_is() -> None:
    assert Path(HfModel(path="pair/llm").location).is_absolute()
    assert HfModel(path="someone/model").location == "someone/model"


@settings(max_examples=25)  # each writes and reads two files
@given(st.integers(1, 10_000), st.integers(0, 2**63 - 1), st.floats(0, 4))
def test_any_resolved_scenario_reads_back(
    tmp_path_factory: pytest.TempPathFactory, devices: int, seed: int, c: float
) -> None:
    path = written(tmp_path_factory.getbasetemp(), MINIMAL)
    overrides = [f"fleet.devices={devices}", f"arms.0.strength.c={c!r}"]
    scenario = load_scenario(str(path), overrides, seed)
    assert load_scenario(str(written(path.parent, dump_scenario(scenario)))) == scenario


# --------------------------------------------------------------------------- what is wrong

WRONG = {
    "fleet.devcies=3": "--set fleet.devcies=3: unknown key; did you mean 'devices'?",
    "fleet.devices=0": "--set fleet.devices=0: must be at least 1, not 0",
    "fleet.devices=many": "--set fleet.devices=many: must be a whole number, not 'many'",
    "fleet.devices=2.5": "--set fleet.devices=2.5: must be a whole number, not 2.5",
    "fleet.classes.0.link=lta": "unknown link profile 'lta': did you mean 'lte'?",
    "fleet.classes.0.link={down_mbps: 1}": "a link without a profile needs up_mbps, rtt_s",
    "fleet.classes.0.hardware=orin": "unknown hardware 'orin'",
    "fleet.classes.0.share=0.5": "fleet: the shares of classes add up to 0.5",
    "fleet.classes=[]": "--set fleet.classes=[]: needs at least 1 entry",
    "fleet.shards=3": "3 shards for 2 devices",
    "fleet.arrivals.kind=open": "kind 'open' is not known; choose 'closed', 'poisson', 'rates'",
    "fleet.arrivals={think_s: 3}": "kind is missing; choose closed or poisson or rates",
    "fleet.arrivals={kind: poisson, requests: 3}": "fleet.arrivals.rate_per_s: is missing",
    "fleet=3": "--set fleet=3: 3 is a value where keys are expected",
    "way=fleet": "way: fleet computes no values",
    "values=profile": "profile values need `profile: {path: …}`",
    "way=vrtual": "'vrtual' is not known; did you mean 'virtual'?",
    "seed=-1": "--set seed=-1: must be at least 0, not -1",
    "name=": "--set name=: must be text",
    "models.cloud.kind=openai": "models.cloud.url: is missing",
    "models.cloud.kind=api": "models.cloud: kind is neither hf nor openai",
    "models.numerics=fp64": "choose 'fp32', 'bf16' or 'batch-invariant'",
    "generated.vocab_size=1": "must be at least 2, not 1",
    "generated.boosted=100": "boosted must be within 0 and 30",
    "cloud.replicas=9999": "9999 for 2 devices; at most one replica per device",
    "fleet.devices=20000001": "must be at most 20,000,000, not 20000001",
    "fleet.placement={kind: weighted, weights: [1, 2]}": "for 2 replicas, cloud.replicas is 1",
    "fleet.placement={kind: weighted, weights: [0]}": "every replica's weight is above 0",
    "fleet.placement={kind: sticky, regions: [{share: 0.5, replicas: 1}]}": "add up to 0.5",
    "fleet.placement={kind: nearest}": "kind 'nearest' is not known; choose 'round_robin'",
    "fleet.arrivals={kind: rates, steps: []}": "needs at least 1 entry",
    "fleet.arrivals={kind: rates, steps: [{from_s: 0, per_hour: 0}]}": "every rate is 0",
    "fleet.arrivals={kind: rates, steps: [{from_s: 5, per_hour: 1}]}": "let it begin at 0",
    "fleet.arrivals={kind: rates, steps: [{from_s: 0, per_hour: 1}]}": "come for ever; say when",
    "workload.duration_s=0": "must be above 0, not 0",
    "workload={duration_s: 5, warmup_s: 5}": "leave nothing of duration_s: 5; shorten the warm-up",
    "workload.lengths.answer={kind: fixed, tokens: 0}": "answer: has at least 1 token",
    "workload.lengths.answer={kind: uniform, least: 9, most: 3}": "at least 9 and at most 3 tokens",
    "cloud.egress_mbps=.nan": "--set cloud.egress_mbps=.nan: must be",
    "cloud.kv_bytes=-1": "-1 bytes hold no token",
    "cloud={kv_bytes: 5, kv_tokens: 5}": "say the same thing; give one",
    "timing.cloud_model=qwen": "unknown model shape 'qwen'",
    "timing.edge_model=qwen2.5-32b": "take a smaller model",
    "timing.calibration=nowhere.json": "timing.calibration: there is no nowhere.json",
    "arms=[]": "--set arms=[]: needs at least 1 entry",
    "arms.0.method=costear": "'costear' is not known; choose one of slm_without",
    "arms.0.strength.T=0": "--set arms.0.strength.T=0: must be at least 1, not 0",
    "arms.0.strength=-1": "strength: -1 is below 0",
    "arms.0.codec.valeus=bf16": "unknown key; did you mean 'values'?",
    "arms.0.codec.values=bf61": "did you mean 'bf16'?",
    "arms.0.codec.select={kind: top_k, k: 0}": "arms.0.codec.select.k: must be at least 1, not 0",
    "arms.0.refine.growth=1": "must be at least 2, not 1",
    "arms.0.sampling.temperature=-1": "temperature must be 0 (greedy) or at least 0.001",
    "arms.0={method: llm_with, codec: dense}": "codec has no effect on llm_with: leave it out",
    "workload.limit=0": "must be at least 1, not 0",
    "arms.1.method=costeer": "arms is a list; give an index from 0 to 0",
    "arms.x.method=costeer": "arms is a list; give an index from 0 to 0",
    "fleet.devices.x=1": "fleet.devices is the value 2, it has no 'x' below it",
    "fleet.devices": "write it as key.key=value",
    "fleet..devices=1": "write it as key.key=value",
    "fleet.devices=[1": "the value is not YAML",
}


@pytest.mark.parametrize("override", WRONG)
def test_a_wrong_value_is_one_line_that_says_where(minimal: Path, override: str) -> None:
    assert WRONG[override] in complaint(minimal, override)


STALL = """
events: [{kind: cloud_stalls, at_s: 2, for_s: 3, frames: lost}]
cloud: {retry: {timeout_s: 0.5, tries: 2, fallback: slm_with}}
"""


def test_a_stalled_cloud_is_planned_in_nanoseconds(tmp_path: Path) -> None:
    scenario = load_scenario(str(written(tmp_path, MINIMAL + STALL)))
    plan = plan_arm(scenario, plan_workload(scenario), scenario.arms[0])
    assert plan.stalls == (Stall(2 * 10**9, 5 * 10**9, loses=True),)
    assert plan.retry == RetryPolicy(5 * 10**8, 2, backoff=2.0, jitter=0.1, falls_back=True)


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (("cloud.retry=null",), "frames that are lost are waited for for ever"),
        (("values=profile", "profile.path=p"), "a profile does not hold what small models say"),
        (("cloud.retry.tries=0",), "cloud.retry.tries"),
        (("events.0.kind=storm",), "events"),
        (("events.0.replica=1",), "there is no replica 1"),
    ],
)
def test_a_stall_that_cannot_be_run_is_refused_by_name(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    assert said in complaint(written(tmp_path, MINIMAL + STALL), *overrides)


def test_the_file_is_named_when_the_mistake_is_in_it(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL.replace("devices", "devcies"))
    # The one more: `devices` is missing, for the same reason.
    expected = f"{path}: fleet.devcies: unknown key; did you mean 'devices'? (and 1 more)"
    assert complaint(path) == expected


def test_the_file_and_the_option_are_named_when_they_clash(minimal: Path) -> None:
    expected = f"{minimal} with --set fleet.shards=9: fleet: 9 shards for 2 devices"
    assert complaint(minimal, "fleet.shards=9").startswith(expected)


def test_a_missing_section_is_named(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\narms: [{method: costeer}]\n")
    assert complaint(path) == f"{path}: fleet: is missing; give it"


def test_missing_files_are_named(minimal: Path) -> None:
    assert "workload.prompts: there is no rows.jsonl" in complaint(
        minimal, "values=models", "workload.prompts=rows.jsonl"
    )
    assert "models.edge.path: there is no ./nowhere" in complaint(
        minimal, "values=models", "models.edge.path=./nowhere"
    )
    assert "models.edge.path: there is no pair/slim" in complaint(
        minimal, "values=models", "models.edge.path=pair/slim"
    )


def test_a_key_that_stands_twice_is_an_error(tmp_path: Path) -> None:
    path = written(tmp_path, MINIMAL + "name: again\n")
    assert complaint(path) == f"{path}: line 8 key 'name' stands here twice"


def test_what_is_not_yaml_is_named_with_its_line(tmp_path: Path) -> None:
    path = written(tmp_path, "name: mine\nfleet: [1\n")
    assert complaint(path).startswith(f"{path}: line 3 ")


@pytest.mark.parametrize("text", ["", "- 1\n", "just text\n"])
def test_what_has_no_keys_is_an_error(tmp_path: Path, text: str) -> None:
    assert "holds no keys" in complaint(written(tmp_path, text))


def test_what_is_not_text_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_bytes(b"name: \xff\n")
    assert complaint(path) == f"{path}: not UTF-8 text at byte 6"


def test_a_scenario_that_is_not_there() -> None:
    assert "did you mean 'demo'?" in complaint("dmeo")
    assert "shipped are city, crowd, demo, egress" in complaint("zzz")
    assert complaint("nowhere/x.yaml") == (
        "nowhere/x.yaml: no such file or directory; give a scenario's file"
    )
    assert complaint("tests").startswith("tests: is a directory")


FAILS = """
cloud: {replicas: 2}
events:
  - {kind: replica_fails, at_s: 2, replica: 1, noticed_after_s: 0.5, back_after_s: 3}
  - {kind: device_leaves, at_s: 4, devices: [0, 1]}
"""


def test_failures_are_planned_in_nanoseconds(tmp_path: Path) -> None:
    asked = str(written(tmp_path, MINIMAL + FAILS))
    regions = "[{share: 0.5, replicas: 1}, {share: 0.5, replicas: 1}]"
    scenario = load_scenario(asked, [f"fleet.placement={{kind: sticky, regions: {regions}}}"])
    plan = plan_arm(scenario, plan_workload(scenario), scenario.arms[0])
    assert plan.failures == (ReplicaFailure(1, 2 * 10**9, 2_500_000_000, 5 * 10**9),)
    assert plan.departures == (Departure(0, 4 * 10**9), Departure(1, 4 * 10**9))
    assert plan.standing == Standing(regions=(0, 1))
    weighted = load_scenario(asked, ["fleet.placement={kind: weighted, weights: [1, 3]}"])
    plan = plan_arm(weighted, plan_workload(weighted), weighted.arms[0])
    assert plan.standing == Standing(weights=(1.0, 3.0))


@pytest.mark.parametrize(
    ("overrides", "said"),
    [
        (
            ("way=live", "cloud.replicas=1", "events.0={kind: replica_fails, at_s: 1}"),
            "say when one is back with back_after_s",
        ),
        (("events.0.replica=2",), "there is no replica 2; cloud.replicas is 2"),
        (("events.1.devices=[0, 7]",), "there is no device 7; fleet.devices is 2"),
        (("events.1.devices=[0, 0]",), "name each device once"),
        (("events.1.devices=[]",), "needs at least 1 entry"),
        (("events.0.noticed_after_s=4",), "it is back after 3 s; make it no longer"),
        (("cloud.replicas=1", "events.0={kind: replica_fails, at_s: 1}"), "no replica is left"),
        (
            ("events.1={kind: replica_fails, at_s: 4, replica: 1}",),
            "replica 1 fails at 4 s and is not back from an earlier failure",
        ),
        (
            ("events.0={kind: device_leaves, at_s: 1, devices: [1]}",),
            "name each device in one event",
        ),
    ],
)
def test_a_failure_that_cannot_happen_is_refused_by_name(
    tmp_path: Path, overrides: tuple[str, ...], said: str
) -> None:
    assert said in complaint(written(tmp_path, MINIMAL + FAILS), *overrides)
