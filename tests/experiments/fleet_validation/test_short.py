"""The short form of both comparisons, from runs to the page."""

from __future__ import annotations

from pathlib import Path

import pytest

from experiments.fleet_validation.design import (
    CALIBRATING,
    JUDGING,
    LivePoint,
    live_half,
    live_points,
    middle,
)
from experiments.fleet_validation.figures import draw_correlation, draw_live, draw_middle
from experiments.fleet_validation.live import live_scenario_of, run_point, timed_laboratory
from experiments.fleet_validation.middle import FIGURES, run_middle
from experiments.fleet_validation.page import page
from experiments.fleet_validation.runs import Runs
from experiments.hosting import open_port
from experiments.progress import NoProgress
from experiments.results.run import load


def test_tens_of_devices_with_the_shipped_pair(tmp_path: Path) -> None:
    runs = Runs(tmp_path / "runs", "none", NoProgress())
    outcome = run_middle(middle(16, 8), runs)
    steered, streamed = outcome.arms
    assert (steered.method, streamed.method) == ("costeer", "llm_without")
    assert outcome.tokens == 2 * 16 * 8
    missed = [
        (arm.method, each.figure, each.statistic)
        for arm in outcome.arms
        for each in arm.differences
        if not each.within
    ]
    # Sizes hang together, and a few devices have tails of one: an interval misses now and then.
    assert len(missed) <= 3, missed
    means = {each.figure: each for each in steered.differences if each.statistic == "mean"}
    assert means["ITL, ms"].share == pytest.approx(0, abs=0.1)
    # The same devices and links: no prompt in common.
    prompts = [
        set(load(tmp_path / "runs" / name).requests["prompt_id"])
        for name in ("middle-profiled", "middle-judged")
    ]
    assert prompts[0].isdisjoint(prompts[1])
    text = page(outcome, [], ["a.svg", "b.svg"], "a machine", 60)
    assert all(figure.title in text for figure in FIGURES)
    draw_middle(outcome, tmp_path / "a.svg")
    draw_correlation(outcome, tmp_path / "b.svg")
    assert (tmp_path / "a.svg").stat().st_size > 1_000


def test_simulated_runs_are_kept(tmp_path: Path) -> None:
    runs = Runs(tmp_path, "none", NoProgress())
    design = middle(2, 2)
    run_middle(design, runs)
    written = tmp_path / "middle-judged" / "tokens.parquet"
    before = written.stat().st_mtime_ns
    run_middle(design, runs)
    assert written.stat().st_mtime_ns == before
    run_middle(middle(2, 3), runs)
    assert written.stat().st_mtime_ns != before


def test_no_two_live_runs_share_prompts_or_draws() -> None:
    halves = [
        live_half(point, role, number)
        for role in (CALIBRATING, JUDGING)
        for number in range(5)
        for point in [max(live_points(), key=lambda each: each.devices * each.requests)]
    ]
    rows = [row for half in halves for row in range(half.first_row, half.first_row + half.devices)]
    assert len(set(rows)) == len(rows)
    assert len({half.seed for half in halves}) == len(halves)


def test_a_load_against_the_wall_s_clock(tmp_path: Path) -> None:
    """That it runs, and what it says; how well it predicts depends on the machine."""
    runs = Runs(tmp_path / "runs", "none", NoProgress())
    point = LivePoint("small", "costeer", 2, 1, 1, beyond=True, max_new_tokens=8)
    scenario = live_scenario_of(point, CALIBRATING, 0, runs)
    with open_port("none", actors=2) as port:
        outcome = run_point(point, timed_laboratory(scenario, port), runs, repeats=2)
    assert outcome.costs.cloud.forward > 0
    assert outcome.costs.edge.steer > 0
    assert outcome.rows == (1.0, 1.0)
    assert all(figure.predicted > 0 and figure.mean > 0 for figure in outcome.figures)
    assert [len(figure.measured) for figure in outcome.figures] == [2] * 4
    text = page(None, [outcome], ["live.svg"], "a machine", 60)
    assert "costeer, 2 devices, beyond" in text
    draw_live([outcome], tmp_path / "live.svg")
