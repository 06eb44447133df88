"""Runs side by side: pairs, differences, intervals, warnings, and every format."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from costeer.errors import ConfigError
from costeer.methods import method_named
from experiments import cli
from experiments.comparison import ArmComparison, Difference, compare
from experiments.comparison.tables import verdict
from experiments.results import load
from tests.experiments.fake_run import make_arm, write_run
from tests.experiments.test_report import Checker

DEVICES = 12


def keys(method: str, codec: str = "top-64") -> dict[str, str]:
    return {"method": method, "codec": codec, "way": "virtual", "strength": "1.8"}


def write(path: Path, payload: int = 262, devices: int = DEVICES, **scenario: Any) -> Path:
    arms = [
        (keys("slm_with", ""), make_arm(method_named("slm_with"), devices=devices)),
        (
            keys("costeer", f"top-{payload}"),
            make_arm(method_named("costeer"), payload_bytes=payload, devices=devices),
        ),
    ]
    write_run(path, arms)
    file = path / "scenario.yaml"
    file.write_text(yaml.safe_dump(yaml.safe_load(file.read_text()) | scenario))
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("runs")
    return write(folder / "small"), write(folder / "large", payload=4_000)


def arm_of(found: tuple[ArmComparison, ...], name: str) -> ArmComparison:
    (arm,) = (each for each in found if name in {each.arm.split(",")[0], each.label})
    return arm


def by_key(arm: ArmComparison) -> dict[str, Difference]:
    return {each.measure.key: each for each in arm.differences}


def test_arms_are_matched_and_differences_are_those_of_the_pairs(runs: tuple[Path, Path]) -> None:
    found = compare(runs)
    assert {each.arm for each in found.arms} == {"slm_with", "costeer"}
    assert arm_of(found.arms, "slm_with").identical
    down = by_key(arm_of(found.arms, "costeer"))["frame_bytes_down_per_token"]
    means = []
    for path in runs:
        rows = load(path).requests
        rows = rows[rows["method"] == "costeer"]
        means.append((rows["frame_bytes_down"] / rows["tokens"].map(len)).mean())
    assert (down.theirs, down.ours) == pytest.approx(tuple(means))
    assert down.difference.mean == pytest.approx(means[1] - means[0])
    assert down.difference.low <= down.difference.mean <= down.difference.high
    assert verdict(down) == "worse"


def test_turning_the_runs_round_turns_the_signs(runs: tuple[Path, Path]) -> None:
    there, back = compare(runs), compare(runs[::-1])
    for key, each in by_key(arm_of(there.arms, "costeer")).items():
        turned = by_key(arm_of(back.arms, "costeer"))[key]
        assert turned.difference.mean == pytest.approx(-each.difference.mean)
        assert turned.difference.low == pytest.approx(-each.difference.high)


def test_what_has_no_partner_is_left_out_and_told(runs: tuple[Path, Path], tmp_path: Path) -> None:
    found = compare([runs[0], write(tmp_path / "fewer", devices=5)])
    arm = arm_of(found.arms, "costeer")
    assert (arm.pairs, arm.unpaired, arm.devices) == (5, DEVICES - 5, 5)
    assert sum("have no partner" in each for each in found.warnings) == 2
    assert any("over so few are rough" in each for each in found.warnings)


def test_one_run_compares_its_arms(runs: tuple[Path, Path]) -> None:
    (arm,) = compare(runs[:1]).arms
    assert (arm.baseline, arm.label) == ("slm_with", "costeer")
    (turned,) = compare(runs[:1], "costeer").arms
    assert (turned.baseline, turned.label) == ("costeer", "slm_with")
    with pytest.raises(ConfigError, match="there are slm_with, costeer"):
        compare(runs[:1], "llm_with")


@pytest.mark.parametrize(
    ("change", "spoils"),
    [
        ({"seed": 8}, True),
        ({"workload": {"prompts": "mine"}}, True),
        ({"fleet": {"devices": 25}}, True),
        ({"cloud": {"hardware": "a100"}}, False),
    ],
)
def test_scenarios_that_differ_are_told(
    runs: tuple[Path, Path], tmp_path: Path, change: dict[str, Any], spoils: bool
) -> None:
    other = write(tmp_path / "other", **change)
    found = compare([runs[0], other])
    told = found.warnings if spoils else found.remarks
    assert any(next(iter(change)) in each for each in told)
    assert bool(found.warnings) == spoils


def test_every_format_holds_the_same_numbers(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(path) for path in runs]
    assert cli.main(["compare", *names, "--out", str(tmp_path / "out")]) == 0
    assert sorted(path.suffix for path in (tmp_path / "out").iterdir()) == [
        ".csv", ".html", ".md", ".tex",
    ]  # fmt: skip
    capsys.readouterr()
    assert cli.main(["compare", *names, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    rows = list(csv.DictReader(io.StringIO((tmp_path / "out/compare.csv").read_text())))
    assert len(rows) == len(told["differences"])
    for row, same in zip(rows, told["differences"], strict=True):
        assert float(row["difference"]) == pytest.approx(same["difference"])
    assert cli.main(["compare", *names]) == 0
    text = capsys.readouterr().out
    assert "Every figure is the same." in text
    markdown, latex = ((tmp_path / f"out/compare.{each}").read_text() for each in ("md", "tex"))
    for title in ("frame down", "ITL, a request's mean"):
        assert title in text
        assert title in markdown
        assert title in latex
    assert latex.count(r"\toprule") == 1


def test_the_page_is_whole_and_offline(runs: tuple[Path, Path], tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert cli.main(["compare", *map(str, runs), "--format", "html", "--out", str(out)]) == 0
    page = Checker()
    page.feed((out / "compare.html").read_text())
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert all(link.startswith(("data:", "#")) for link in page.links)
    assert all(link[1:] in page.ids for link in page.links if link.startswith("#"))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["{a}", "{a}"], "given twice"),
        (["{a}", "nowhere"], "no manifest.json"),
        (["{a}", "{b}", "--baseline", "costeer"], "names an arm of one run"),
        (["{a}", "{b}", "--format", "md,csv"], "add --out DIR"),
        (["{a}", "{b}", "--format", "pdf"], "'pdf' is no format; there are html, md, csv, tex"),
    ],
)
def test_what_cannot_be_compared_is_told_in_one_line(
    runs: tuple[Path, Path],
    arguments: list[str],
    says: str,
    capsys: pytest.CaptureFixture[str],
) -> None:
    filled = [each.format(a=runs[0], b=runs[1]) for each in arguments]
    assert cli.main(["compare", *filled]) == cli.EXIT_USER
    told = capsys.readouterr().err.strip()
    assert says in told
    assert "\n" not in told


def test_tables_of_a_report_come_in_every_format(
    runs: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["report", str(runs[0]), "--format", "md,csv,tex"]) == 0
    paths = [Path(line) for line in capsys.readouterr().out.splitlines()]
    assert all(path.exists() for path in paths)
    summary = runs[0] / "tables/summary.csv"
    rows = list(csv.DictReader(io.StringIO(summary.read_text())))
    assert {row["method"] for row in rows} == {"slm_with", "costeer"}
    exact = load(runs[0]).arms[0]["itl_s"]["p50"]
    assert float(rows[0]["itl_s.p50"]) == pytest.approx(exact, rel=1e-12)
