"""Calibration: what is measured, and what it is checked on."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from actors import calibrate as measuring
from actors.calibrate import Grid, settled_ns
from costeer.errors import ConfigError
from experiments import cli
from experiments.calibration import CLOUD_GRID, EDGE_GRID, Measured, PairCalibration, between
from experiments.calibration_check import checked, roofline_of
from experiments.calibration_text import check_text
from experiments.planning import plan_costs
from experiments.scenario import HfModel
from netsim.errors import NetsimError
from netsim.hardware import Fixed
from tests.experiments.small_runs import random_pair, scenario


def points(grid: Grid) -> set[tuple[int, int, int]]:
    return {(r, n, c) for r in grid.rows for n in grid.new_tokens for c in grid.contexts}


@pytest.mark.parametrize(("grid", "multiple"), [(CLOUD_GRID, 1), (EDGE_GRID, 2)])
def test_what_it_is_checked_on_was_not_measured_for_it(grid: Grid, multiple: int) -> None:
    held_out = between(grid, multiple)
    assert not points(held_out) & points(grid)
    assert all(rows % multiple == 0 for rows in held_out.rows)
    assert grid.rows[0] < held_out.rows[0]
    assert held_out.rows[-1] < grid.rows[-1]


def test_errors_are_signed_and_over_what_was_measured() -> None:
    (point,) = checked("cloud", [(3, 1, 9, 200)], Fixed(forward=220), Fixed(forward=50))
    assert point.error == pytest.approx(0.1)
    assert point.roofline_error == pytest.approx(-0.75)
    told = " ".join(check_text([point], "laptop-cpu").split())
    assert "median error 10%, largest 10%. The roofline of laptop-cpu is off by 75%" in told
    (alone,) = checked("cloud", [(3, 1, 9, 200)], Fixed(forward=220), None)
    assert alone.roofline_error is None
    assert "roofline of" not in check_text([alone], "laptop-cpu")


@pytest.mark.parametrize(
    ("batches", "contexts", "told"),
    [((4,), (0, 9), "--batches 4"), ((1, 2), (9, 0), "--contexts 9,0"), ((0, 2), (0, 9), "from 1")],
)
def test_a_grid_has_something_in_between(
    batches: Sequence[int], contexts: Sequence[int], told: str
) -> None:
    with pytest.raises(ConfigError, match=told):
        Measured.over(batches, contexts, "laptop-cpu")


def test_a_roofline_reads_the_shape_off_the_configuration() -> None:
    folder = random_pair()["cloud"]["path"]
    of = roofline_of(HfModel(path=folder), "fp32", "laptop-cpu").shape
    assert (of.layers, of.hidden, of.bytes_per_weight) == (1, 32, 4.0)
    with pytest.raises(NetsimError, match="laptop-cpu"):
        roofline_of(HfModel(path=folder), "fp32", "laptop")


def test_a_gpu_is_waited_for_before_the_clock_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    order: list[str] = []
    cuda = SimpleNamespace(
        is_available=lambda: True, synchronize=lambda: order.append("synchronised")
    )
    monkeypatch.setitem(sys.modules, "torch", SimpleNamespace(cuda=cuda))

    def read() -> int:
        order.append("read")
        return 7

    monkeypatch.setattr(measuring, "time", SimpleNamespace(monotonic_ns=read))
    assert settled_ns() == 7
    assert order == ["synchronised", "read"]


def test_a_pair_is_measured_checked_and_charged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair: Any = random_pair()
    out = tmp_path / "calibration.json"
    asked = ["calibrate", "--llm", pair["cloud"]["path"], "--slm", pair["edge"]["path"]]
    asked += ["--out", str(out), "--batches", "1,4", "--contexts", "0,20"]
    assert cli.main(asked) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert "Forwards that the calibration was not made from" in printed
    assert "The roofline of laptop-cpu is off by" in printed
    assert "forwards of one shape, against their median: 5th percentile" in printed
    made = PairCalibration.from_json(out.read_text(encoding="utf-8"), str(out))
    assert {(p.side, p.rows, p.context) for p in made.checks} == {
        ("cloud", 2, 10),
        ("edge", 4, 10),
    }
    assert made.cloud.forward_variation[0] <= 1000 <= made.cloud.forward_variation[-1]
    assert (made.cloud.batches, made.cloud.contexts) == ((1, 4), (0, 20))
    given = scenario(timing={"calibration": str(out)})
    assert plan_costs(given, _terms(given)).origin == "calibrated"
    old = json.loads(out.read_text(encoding="utf-8"))
    del old["checks"]
    assert PairCalibration.from_json(json.dumps(old), "old").checks == ()


def _terms(given: Any) -> Any:
    from actors.plan import codec_terms
    from experiments.planning import plan_arm, plan_workload

    workload = plan_workload(given)
    return codec_terms(plan_arm(given, workload, given.arms[-1]), workload.vocab_size)


def test_a_context_that_no_model_holds_is_refused_before_anything_is_measured(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair: Any = random_pair()
    asked = ["calibrate", "--llm", pair["cloud"]["path"], "--slm", pair["edge"]["path"]]
    asked += ["--out", str(tmp_path / "x.json"), "--contexts", "0,100000"]
    assert cli.main(asked) == cli.EXIT_USER
    assert "--contexts 100000" in capsys.readouterr().err
