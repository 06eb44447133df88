"""An ablation carried out: exactness, resumption, failures, and that nothing of it leaks in."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml

from experiments import cli
from experiments.ablation import runner
from experiments.ablation.collection import (
    by_configuration,
    collect,
    over_links,
    over_repeats,
)
from experiments.ablation.config import AblationConfig
from experiments.ablation.execution import run_cell
from experiments.ablation.expansion import Cell, expand
from experiments.ablation.store import Store
from experiments.progress import NoProgress
from experiments.results.run import load
from tests.experiments.small_runs import random_pair

SMALL: dict[str, Any] = {
    "generated.vocab_size": 300,
    "workload.max_new_tokens": 5,
    "arms": [{"method": "costeer", "strength": 3.0}],
}
EXACT = {"arms.0.refine": {"growth": 4, "max_rounds": 2, "at_cap": "dense"}}
FIRST = {"arms.0.refine": {"max_rounds": 0}}


def ablation(**given: Any) -> AblationConfig:
    whole = {"name": "small", "scenario": "full-vocabulary", "set": SMALL} | given
    return AblationConfig.model_validate(whole)


def run(given: AblationConfig, path: Path, *, resume: bool = False) -> runner.AblationOutcome:
    expansion = expand(given)
    return runner.run_ablation(
        given, expansion, Store(path, resume=resume), "none", 1, NoProgress()
    )


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Dense and sparse, exact and not, on two links, twice."""
    path = tmp_path_factory.mktemp("ablation") / "out"
    exactness = [{"label": "exact", "set": EXACT}, {"label": "first frame", "set": FIRST}]
    given = ablation(
        title="A small one",
        axes={"fleet.classes.0.link": ["4g-eu", "cable"]},
        blocks=[
            {"axes": {"arms.0.codec": ["dense-fp16"]}},
            {
                "axes": {
                    "arms.0.codec": ["top1-bf16-packed", "top8-bf16-naive-zstd"],
                    "refinement": exactness,
                }
            },
        ],
        repeats=2,
        shadow="ranks",
    )
    outcome = run(given, path)
    assert outcome.failures == ()
    assert outcome.finished == 20
    return path


def test_tidy_has_a_row_per_cell_repeat_and_link(finished: Path) -> None:
    tidy = pd.read_parquet(finished / "results.parquet")
    same = pd.read_csv(finished / "results.csv")
    assert len(tidy) == len(same)
    # Two link classes in the scenario, the first replaced: `cable`/`4g-eu` beside `fixed-us`.
    assert set(tidy["link_class"]) == {"all", "4g-eu", "cable", "fixed-us"}
    assert len(tidy) == 20 * 3
    assert set(tidy["repeat"]) == {0, 1}
    assert set(tidy["seed"]) == {7, 8}
    assert (tidy["shadow_tokens"] == tidy["tokens"]).all()
    assert set(tidy["family"]) == {"dense fp16", "top-k bf16 packed", "top-k bf16 naive zstd3"}
    whole = tidy[tidy["link_class"] == "all"].set_index(["cell", "arm"])
    rounds = [name for name in tidy.columns if name.startswith("payload_bytes_round")]
    summed = whole[rounds].sum(axis=1)
    assert (abs(summed - whole["payload_bytes_down_per_token"]) < 1e-6).all()
    stages = [name for name in tidy.columns if name.startswith("stage_")]
    assert (abs(whole[stages].sum(axis=1) - whole["itl_mean_s"]) < 1e-9).all()


def test_exact_is_exact_and_first_frames_are_not(finished: Path) -> None:
    rows = over_links(by_configuration(over_repeats(collect(finished))))
    exact = rows[rows["exactness"] != "first frame"]
    assert (exact["agreement_share"] == 1).all()
    assert (exact["certified_share"] == 1).all()
    assert (exact["disagreements"] == 0).all()
    assert exact["first_divergence_mean"].isna().all()
    first = rows[(rows["exactness"] == "first frame") & (rows["k"] == 1)].iloc[0]
    assert 0 < first["agreement_share"] < 1
    assert first["certified_share"] < first["agreement_share"]
    assert first["diverged_share"] > 0
    assert first["rounds_mean"] == 0


def test_repeats_have_intervals(finished: Path) -> None:
    means = over_repeats(collect(finished))
    assert set(means["repeats"]) == {2}
    sparse = means[means["k"] == 8]
    assert (sparse["frame_bytes_down_per_token_ci95"] > 0).any()


def test_everything_is_written(finished: Path) -> None:
    page = (finished / "ablation.html").read_text(encoding="utf-8")
    assert "A small one" in page
    assert "20 of 20 cells" in page
    assert "http://" not in page.replace("http://www.w3.org", "")
    plots = sorted(file.name for file in (finished / "plots").iterdir())
    assert plots == [
        "bytes-agreement.svg",
        "speed-links.svg",
        "stages-fastest.svg",
        "stages-slowest.svg",
    ]
    for file in (finished / "plots").iterdir():
        assert ET.fromstring(file.read_text(encoding="utf-8")).tag.endswith("svg")  # noqa: S314 - ours
    for name in ("results", "rounds", "links"):
        assert (finished / "tables" / f"{name}.md").read_text(encoding="utf-8").startswith("| ")
        latex = (finished / "tables" / f"{name}.tex").read_text(encoding="utf-8")
        assert latex.count("\\toprule") == 1
        rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
        assert len({line.count("&") for line in rows[-5:]}) == 1


def test_every_cell_is_a_run_directory(finished: Path) -> None:
    cell = next((finished / "cells").iterdir())
    found = load(cell)
    assert found.complete
    assert len(found.tokens) == 10


def test_what_is_finished_is_not_run_again(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def counted(cell: Cell) -> dict[str, bytes]:
        ran.append(cell.title)
        return run_cell(cell)

    monkeypatch.setattr(runner, "run_cell", counted)
    config = yaml.safe_load((finished / "ablation.yaml").read_text(encoding="utf-8"))
    given = AblationConfig.model_validate(config)
    run(given, finished, resume=True)
    assert ran == []
    fewer = given.model_copy(update={"blocks": given.blocks[:1], "repeats": 1})
    changed = fewer.model_copy(update={"set": {**given.set, "workload.max_new_tokens": 2}})
    outcome = run(changed, finished, resume=True)
    assert ran == ["4g-eu, dense-fp16", "cable, dense-fp16"]
    assert outcome.finished == 2
    run(given, finished, resume=True)
    assert len(ran) == 2


def test_a_shadow_changes_nothing() -> None:
    digests = []
    for shadow in ("none", "agreement", "ranks"):
        given = ablation(set=SMALL | {"arms.0.codec": "top8-bf16-packed"}, shadow=shadow)
        (cell,) = expand(given).cells
        digests.append(json.loads(run_cell(cell)["summary.json"])["digest"])
    assert digests[0]
    assert len(set(digests)) == 1


def test_a_failed_cell_is_told_and_the_others_go_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "mine.yaml"
    given = {
        "name": "mine",
        "scenario": "full-vocabulary",
        "set": SMALL,
        "axes": {"arms.0.codec": [{"kind": "nowhere:Codec"}, "top8-bf16-packed"]},
    }
    file.write_text(yaml.safe_dump(given), encoding="utf-8")
    out = tmp_path / "out"
    argv = ["ablate", str(file), "--out", str(out), "--address", "none"]
    assert cli.main(argv) == 1
    shown = capsys.readouterr()
    assert "codec 'nowhere:Codec' cannot be built" in shown.err
    assert "top8-bf16-packed" in shown.out
    assert "report:" in shown.out
    index = json.loads((out / "ablation.json").read_text(encoding="utf-8"))
    assert [cell["finished"] for cell in index["cells"]] == [False, True]
    assert not index["complete"]
    assert "cannot be built" in (out / "ablation.html").read_text(encoding="utf-8")
    assert cli.main(argv) == cli.EXIT_USER
    assert "--resume" in capsys.readouterr().err
    assert cli.main([*argv, "--resume", "--json"]) == 1
    told = json.loads(capsys.readouterr().out)
    assert told["finished"] == 1
    assert len(told["failures"]) == 1
    assert told["rows"][0]["agreement_share"] == 1


def test_nothing_but_failures_leaves_no_report(tmp_path: Path) -> None:
    given = ablation(set=SMALL | {"arms.0.codec": {"kind": "nowhere:Codec"}})
    outcome = run(given, tmp_path / "out")
    assert outcome.report is None
    assert outcome.finished == 0
    assert len(outcome.failures) == 1


def test_a_dry_run_writes_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert cli.main(["ablate", "strength", "--dry-run", "--repeats", "2"]) == 0
    shown = capsys.readouterr().out
    assert "Laplace" in shown
    assert "54 cells, roughly" in shown
    assert cli.main(["ablate", "strength", "--dry-run", "--json", "--repeats", "1"]) == 0
    plan = json.loads(capsys.readouterr().out)
    assert len(plan["cells"]) == 27
    assert plan["estimate_s"] > 0
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (["ablate", "strenth"], "did you mean 'strength'?"),
        (["ablate", "strength", "--jobs", "0"], "--jobs: '0' is not a whole number from 1"),
        (
            ["ablate", "strength", "--jobs", "2", "--address", "none"],
            "runs one cell after the other",
        ),
    ],
)
def test_what_the_user_got_wrong(
    argv: list[str], expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(argv) == cli.EXIT_USER
    assert expected in capsys.readouterr().err


def test_first_disagreement_is_where_the_text_leaves_the_dense_one() -> None:
    """The claim on which `first_divergence_mean` rests, on models, whose rows follow the text."""
    given = ablation(
        scenario="tiny",
        set={
            "models": random_pair(),
            "workload.max_new_tokens": 12,
            "workload.ignore_eos": True,
            "arms": [{"method": "costeer", "strength": 30.0}],
        },
        axes={
            "arms.0.codec": ["dense-fp32", "top1-fp32-naive"],
            "refinement": [{"label": "first frame", "set": FIRST}],
        },
    )
    dense, sparse = expand(given).cells
    left: set[int] = set()
    texts = {}
    for cell in (dense, sparse):
        files = run_cell(cell)
        tokens = pd.read_parquet(_buffer(files["tokens.parquet"]))
        texts[cell.id] = tokens.set_index(["device", "position"])["token"]
        shadow = pd.read_parquet(_buffer(files["shadow.parquet"]))
    shadow["device"] = shadow["session"] // 4096
    both = pd.DataFrame({"dense": texts[dense.id], "said": texts[sparse.id]})
    seen = shadow.set_index(["device", "position"])["dense_token"]
    for device, mine in both.groupby("device"):
        differs = mine.index[mine["dense"] != mine["said"]]
        disagrees = [at for at in mine.index if mine["said"][at] != seen[at]]
        assert list(differs[:1]) == disagrees[:1]
        left |= {device} if len(differs) else set()
    assert left


def _buffer(content: bytes) -> Any:
    import io

    return io.BytesIO(content)


@pytest.mark.ray
def test_cells_on_ray_are_the_cells_run_here(tmp_path: Path) -> None:
    given = ablation(axes={"arms.0.codec": ["dense-fp16", "top8-bf16-packed"]})
    expansion = expand(given)
    broken = replace(expansion.cells[0], id="broken", scenario="name: no scenario\n")
    cells = replace(expansion, cells=(broken, *expansion.cells))
    store = Store(tmp_path / "out", resume=False)
    outcome = runner.run_ablation(given, cells, store, "local", 2, NoProgress())
    assert outcome.finished == 2
    assert [failure.id for failure in outcome.failures] == ["broken"]
    assert "ValidationError" in outcome.failures[0].reason
    for cell in expansion.cells:
        here = json.loads(run_cell(cell)["summary.json"])
        there = json.loads((store.folder(cell) / "summary.json").read_text(encoding="utf-8"))
        assert there["digest"] == here["digest"]
