"""A recorded run timed anew: what a real run would have been, without its values."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from costeer.errors import ConfigError
from experiments import cli
from experiments.progress import NoProgress
from experiments.replay.changes import check_same_tokens, widen
from experiments.replay.retime import replay_run
from experiments.results.run import load
from experiments.scenario import Scenario
from tests.experiments.small_runs import run, scenario

ARMS: list[dict[str, Any]] = [
    {"method": "slm_with"},
    {"method": "llm_without"},
    {"method": "costeer", "strength": 3.0, "codec": "top8-bf16-naive"},
    {"method": "costeer", "strength": 3.0, "codec": "dense-fp16"},
]


def small(**changes: Any) -> Scenario:
    return scenario(**{"arms": ARMS} | changes)


@pytest.fixture(scope="module")
def recorded(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("replay") / "recorded"
    run(small(), path)
    assert load(path).tokens["rounds"].max() > 1
    return path


def digests(path: Path) -> tuple[Any, Any]:
    summary = load(path).summary
    return summary["output_digest"], summary["digest"]


def replayed(recorded: Path, out: Path, *overrides: str) -> tuple[Any, Any]:
    replay_run(recorded, overrides, out, NoProgress())
    return digests(out)


def test_under_the_same_link_it_is_the_same_run(recorded: Path, tmp_path: Path) -> None:
    assert replayed(recorded, tmp_path / "again") == digests(recorded)


@pytest.mark.parametrize(
    ("override", "changes"),
    [
        ("link=3g", {"link": "3g"}),
        ("hardware=orin-agx", {"hardware": "orin-agx"}),
        ("link={profile: lte, loss: 0.02}", {"link": {"profile": "lte", "loss": 0.02}}),
    ],
)
def test_under_another_it_is_the_run_that_this_would_have_been(
    recorded: Path, tmp_path: Path, override: str, changes: dict[str, Any]
) -> None:
    fleet = small().fleet.model_dump(mode="json")
    fleet["classes"] = [each | changes for each in fleet["classes"]]
    run(small(fleet=fleet), tmp_path / "real")
    real = digests(tmp_path / "real")
    assert replayed(recorded, tmp_path / "replayed", override) == real
    assert real != digests(recorded)
    assert real[0] == digests(recorded)[0]


def test_a_smaller_cloud_and_padding_too(recorded: Path, tmp_path: Path) -> None:
    cloud = {"max_batch": 1, "egress_mbps": 5.0}
    padded = [arm | {"padding": {"down_bytes": 512}} if "codec" in arm else arm for arm in ARMS]
    run(small(cloud=cloud, arms=padded), tmp_path / "real")
    overrides = ["cloud.max_batch=1", "cloud.egress_mbps=5.0"]
    overrides += [f"arms.{index}.padding={{down_bytes: 512}}" for index in (2, 3)]
    assert replayed(recorded, tmp_path / "replayed", *overrides) == digests(tmp_path / "real")


@pytest.mark.parametrize(
    ("arm", "codec"),
    [
        (2, "dense-bf16"),
        (2, "dense-bf16-planar"),
        (2, "top8-bf16-planar"),
        (3, "dense-fp16-packed"),
    ],
)
def test_another_codec_whose_bytes_are_known(
    recorded: Path, tmp_path: Path, arm: int, codec: str
) -> None:
    arms = [dict(each) for each in ARMS]
    arms[arm]["codec"] = codec
    run(small(arms=arms), tmp_path / "real")
    real = digests(tmp_path / "real")
    assert replayed(recorded, tmp_path / "replayed", f"arms.{arm}.codec={codec}") == real
    assert real[0] == digests(recorded)[0]


def test_a_dense_row_may_choose_others_where_nothing_was_proved(tmp_path: Path) -> None:
    accepted = [ARMS[2] | {"refine": {"max_rounds": 0, "at_cap": "accept"}}]
    run(small(arms=accepted), tmp_path / "recorded")
    asked = ["codec=dense-bf16"]
    with pytest.raises(ConfigError, match=r"\d+ recorded tokens were chosen without a proof"):
        replay_run(tmp_path / "recorded", asked, tmp_path / "out", NoProgress())
    # The same ranks leave the same choices unproved.
    replayed(tmp_path / "recorded", tmp_path / "planar", "codec=top8-bf16-planar")


def test_more_devices_replay_blocks_of_what_was_measured(recorded: Path, tmp_path: Path) -> None:
    replay_run(recorded, ["fleet.devices=7"], tmp_path / "more", NoProgress())
    more = load(tmp_path / "more")
    assert more.requests["device"].nunique() == 7
    assert set(more.tokens["token"]) <= set(load(recorded).tokens["token"])


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("strength=1.0", "another strength chooses other tokens"),
        ("arms.2.codec.select.k=16", "top16-bf16-naive takes depends on logits"),
        ("arms.2.codec=top8-bf16-packed", "are not recorded"),
        ("arms.2.codec=dense-bf16-naive-zstd", "arms.2.codec: the tokens would stay"),
        ("codec=top8-fp16-naive", "top8-fp16-naive rounds logits otherwise than top8-bf16-naive"),
        ("arms.3.codec=dense-fp32", "and may choose other tokens; that takes a real run"),
        ("arms.2.refine.at_cap=accept", "tokens; that takes a real run"),
        ("arms.2.sampling.temperature=1", "other sampling"),
        ("arms=[{method: slm_with}]", "an arm that was not recorded"),
        ("workload.max_new_tokens=3", "other prompts and limits"),
        ("generated.sigma=2", "other logits"),
        ("seed=5", "another seed"),
        ("fleet.link=3g", "link"),
    ],
)
def test_what_would_change_a_token_is_refused_with_the_way_out(
    recorded: Path,
    tmp_path: Path,
    override: str,
    told: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    asked = ["replay", str(recorded), "--set", override, "--out", str(tmp_path / "out")]
    assert cli.main(asked) == cli.EXIT_USER
    assert told in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_learnt_k_depends_on_the_link() -> None:
    adaptive = [{"method": "costeer", "codec": {"select": {"kind": "adaptive"}}}]
    one = small(arms=adaptive)
    fleet = one.fleet.model_dump(mode="json")
    fleet["classes"][0]["link"] = "3g"
    with pytest.raises(ConfigError, match="k is learnt"):
        check_same_tokens(one, small(arms=adaptive, fleet=fleet))
    check_same_tokens(one, one)


def test_short_names_stand_for_every_class_and_steered_arm() -> None:
    assert widen(["link=3g", "codec=x", "seed=1"], small()) == [
        "fleet.classes.0.link=3g",
        "fleet.classes.1.link=3g",
        "arms.2.codec=x",
        "arms.3.codec=x",
        "seed=1",
    ]


def test_the_command_says_how_to_compare(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    assert cli.main(["replay", str(recorded), "--set", "link=3g", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert f"costeer compare {recorded} {out}" in printed
    assert cli.main(["replay", str(tmp_path), "--out", str(tmp_path / "x")]) == cli.EXIT_USER
