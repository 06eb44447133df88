"""The paper's tables and figure: what is published, what is run for it, what is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from costeer.steering import PAPER, strength
from experiments.cli import main
from experiments.evaluation.bootstrap import Interval
from experiments.paper.published import published
from experiments.paper.running import pair_scenario, scenario_of
from experiments.paper.sensitivity import Point, Sensitivity, _Loop
from experiments.paper.speed import Speed, speed_text
from experiments.paper.tasks import Task, preference_tasks, text_tasks
from experiments.workload import load_rows
from tests.experiments.scoring.judge_server import RuleJudge, judging

HISTORY = [{"title": "On owls", "abstract": "Owls fly."}]


def test_published_figures_are_the_papers() -> None:
    first = published("table1", "qwen2.5-7b-1.5b")
    assert first["costeer", "abstract", "rouge_l"] == 0.2361
    assert first["llm_with", "cogenesis", "judge_overall"] == 8.62
    assert published("table1", "llama-8b-1b")["costeer", "preference", "uplifting"] == 0.9068
    assert published("table2", "qwen2.5-7b-1.5b")["light_costeer", "review", "meteor"] == 0.1831
    assert published("table5", "qwen2.5-32b-7b")["llm_with", "ultrachat", "concise"] == 0.8229
    assert len(first) == 75
    assert not published("table1", "qwen3-8b-1.7b")


def data(folder: Path) -> Path:
    """Two of the paper's files, with two rows each."""
    rows = [{"id": n, "input": f"Write {n}.", "top_5": HISTORY, "output": "It."} for n in (1, 2)]
    questions = [{"id": n, "input": f"Why {n}?"} for n in (1, 2)]
    for name, records in (("longlamp_abstract", rows), ("helpsteer", questions)):
        lines = [json.dumps(record) + "\n" for record in records]
        (folder / f"{name}.jsonl").write_text("".join(lines))
    return folder


def test_tasks_are_those_whose_files_are_there(tmp_path: Path) -> None:
    assert [task.name for task in text_tasks(data(tmp_path))] == ["abstract"]
    assert not text_tasks(tmp_path, ("review",))
    found = preference_tasks(tmp_path)
    assert [task.preference for task in found] == ["creative", "verbose", "concise", "uplifting"]
    assert found[2].published_as == (("helpsteer", "concise"),)


def test_every_row_is_asked_once_where_devices_divide_them() -> None:
    base = pair_scenario("shipped")
    task = Task("t", "t", "held-out", ("rouge_l",))
    scenario = scenario_of(base, task, ("slm_with", "costeer"), rows=200, limit=48)
    arrivals = scenario.fleet.arrivals.model_dump()
    assert scenario.fleet.devices * arrivals["requests_per_device"] == 48
    assert [arm.method for arm in scenario.arms] == ["slm_with", "costeer"]
    few = scenario_of(base, task, ("slm_with",), rows=2, limit=None)
    assert (few.fleet.devices, few.fleet.shards, few.workload.limit) == (2, 2, 2)


def test_tables_are_run_scored_and_printed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    options = ["--pair", "tiny", "--limit", "2", "--out", str(out)]
    assert main(["evaluate", "table2", *options]) == 0
    shown = capsys.readouterr().out
    assert "LightCoSteer" in shown
    assert "0.219" in shown  # the paper's ROUGE-L of LightCoSteer on abstracts
    assert "The paper does not have the pair tiny" in shown
    assert (out / "tiny-shipped" / "scores.parquet").exists()


def test_tables_of_the_papers_files_as_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--pair", "tiny", "--data", str(data(tmp_path)), "--json"]
    out = ["--out", str(tmp_path / "run")]
    assert main(["evaluate", "table1", *options, *out]) == 0
    found = json.loads(capsys.readouterr().out)
    (task,) = found["tasks"]
    assert task["task"] == "abstract"
    (costeer,) = [row for row in task["rows"] if row["method"] == "costeer"]
    assert costeer["metrics"]["rouge_1"]["published"] == 0.4298
    assert costeer["frame_bytes_down_per_token"] > 0
    again = ["--out", str(tmp_path / "five")]
    assert main(["evaluate", "table5", *options, *again]) == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["tasks"]) == 4
    assert "add --reward MODEL" in " ".join(found["notes"])


def test_a_judge_is_asked_of_its_own_task_alone(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = data(tmp_path)
    record = {"id": "1", "input": "Ask.", "personalized_input": "I am Ada. Ask.", "output": "Yes"}
    line = json.dumps(record | {"output_without_context": "No"})
    (folder / "cogenesis.jsonl").write_text(f"{line}\n")
    judge = RuleJudge()
    with judging(judge) as url:
        options = ["--pair", "tiny", "--data", str(folder), "--judge", url]
        assert main(["evaluate", "table1", *options, "--out", str(tmp_path / "run")]) == 0
    assert "overall judge" in capsys.readouterr().out
    assert all("I am Ada." in prompt for prompt in judge.prompts)
    assert len(judge.prompts) <= 10  # five settings, two rubrics; equal texts are asked once


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["table5"], "has no preferences; give the paper's files with --data DIR"),
        (["table1", "--data", "."], "--data .: has none of cogenesis.jsonl"),
        (["table1", "--pair", "overhead"], "runs on null values, which have no texts"),
        (["table2", "--pair", "nobody"], "neither shipped nor a file"),
    ],
)
def test_what_cannot_be_run_is_one_line(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", *options]) == 2
    assert message in capsys.readouterr().err


def test_table_3_says_what_steering_adds_to_vanilla() -> None:
    rows = [
        Speed("llm_without", "", "slow", 100.0, 23.88, 13.0),
        Speed("costeer", "dense-fp16-naive", "slow", 10.0, 9.44, 303_888.0),
    ]
    line = next(line for line in speed_text(rows).splitlines() if "CoSteer  " in line)
    assert line.split()[-4:] == ["10.00", "90.0", "9.44", "64.1"]


def rows_of(seed: int, spread: float = 3.0) -> list[torch.Tensor]:
    logits = torch.from_numpy(np.random.default_rng(seed).normal(0, spread, (3, 4, 500)))
    return list(torch.log_softmax(logits.float(), dim=-1))


def test_the_loop_is_the_scalar_where_float32_suffices() -> None:
    five = dict(PAPER)
    loop = _Loop(five, strength(**five))
    base, with_, without = rows_of(1)
    scores = loop([base, with_, without], torch.tensor([True, True, True, False]))
    expected = (base + strength(**five) * (with_ - without)).argmax(-1)
    assert torch.equal(scores.argmax(-1), expected)
    assert (loop.tokens, loop.disagreements) == (3, 0)


def test_disagreements_are_counted_where_rounding_decides() -> None:
    loop = _Loop(dict(PAPER), strength(**PAPER))
    for seed in range(10):
        loop(rows_of(seed, spread=1e-6), torch.ones(4, dtype=torch.bool))
    assert loop.tokens == 40
    assert 0 < loop.disagreements <= 40


def test_what_one_axis_explains() -> None:
    def point(name: str, c: float, value: float) -> Point:
        return Point(name, c, c, Interval(value, value, value), (value,), 10, 0)

    curve = tuple(point("c", c, float(np.log(c))) for c in (0.1, 1.0, 10.0))
    on_it = tuple(point("T", c, float(np.log(c))) for c in (0.2, 0.5, 3.0))
    assert Sensitivity("p", 1, on_it, curve).explained() == pytest.approx(1.0)
    off_it = tuple(point("T", c, 1.0 - float(np.log(c))) for c in (0.2, 0.5, 3.0))
    assert Sensitivity("p", 1, off_it, curve).explained() < 0


def test_the_figure_is_swept_drawn_and_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("experiments.paper.sensitivity.SWEEPS", {"eta": (2.0, 10.0), "T": (1, 20)})
    monkeypatch.setattr("experiments.paper.sensitivity.STRENGTHS", (0.2, 3.0))
    out = tmp_path / "figure"
    options = ["--pair", "tiny", "--limit", "2", "--out", str(out)]
    assert main(["evaluate", "figure2", *options]) == 0
    shown = capsys.readouterr().out
    assert "η from 10 to 20 moves c by 0.4 %" in shown
    assert (out / "figure2.svg").read_text().startswith("<?xml")
    lines = (out / "figure2.csv").read_text().splitlines()
    assert len(lines) == 1 + 4 + 2


def test_a_count_of_rows_is_that_of_the_rows(tmp_path: Path) -> None:
    from experiments.workload import count_rows

    path = str(data(tmp_path) / "longlamp_abstract.jsonl")
    assert count_rows(path) == len(load_rows(path)) == 2
    assert count_rows("dev") == len(load_rows("dev"))
