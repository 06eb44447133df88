"""Arithmetic of drafts, and that simulated time agrees with it where it should."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.speculation import SpeculationConfig
from experiments.evaluation.bootstrap import Interval
from experiments.speculation.arithmetic import (
    Pace,
    pipelined_s,
    sequential_s,
    tokens_per_exchange,
)
from experiments.speculation.shown import sentences, table, write_study
from experiments.speculation.study import (
    FORWARD_S,
    MBPS,
    RTT_S,
    WAYS,
    Point,
    SpeculationStudy,
    Way,
    measured,
)

PAPER = Pace(draft_s=0.015, forward_s=FORWARD_S, rtt_s=0.05)


@given(st.floats(0, 0.999), st.integers(1, 30))
def test_tokens_per_exchange_is_the_closed_form(acceptance: float, drafts: int) -> None:
    closed = (1 - acceptance ** (drafts + 1)) / (1 - acceptance)
    assert tokens_per_exchange(acceptance, drafts) == pytest.approx(closed)


def test_the_issue_s_thresholds() -> None:
    """0.95 of the plain stream needs a of 0.81 one by one, 0.69 pipelined."""
    stream_s = FORWARD_S / 0.95

    def reached(acceptance: float) -> tuple[bool, bool]:
        one_by_one = min(sequential_s(PAPER, acceptance, n) for n in range(1, 20))
        flow = min(pipelined_s(PAPER, acceptance, n) for n in range(1, 20))
        return one_by_one <= stream_s, flow <= stream_s

    assert reached(0.67) == (False, False)
    assert reached(0.75) == (False, True)
    assert reached(0.83) == (True, True)


@pytest.mark.parametrize("way", WAYS, ids=lambda way: way.label)
@pytest.mark.parametrize("acceptance", [0.8, 1.0])
def test_measured_speed_is_what_arithmetic_allows(way: Way, acceptance: float) -> None:
    point = measured(way, 0.05, 100.0, acceptance, (1, 2, 3, 4, 5, 6))
    if point.expected_per_s is not None:
        assert point.tokens_per_s.mean == pytest.approx(point.expected_per_s, rel=0.1)


def test_learnt_drafts_come_close_to_the_best_fixed_ones() -> None:
    learnt = Way("costeer", SpeculationConfig(drafts="adaptive"))
    fixed = [way for way in WAYS if way.speculation and way.steered and way != learnt]
    for rtt_s, acceptance in ((0.0, 0.3), (0.02, 0.7), (0.2, 0.9)):
        seeds = (1, 2, 3)
        best = max(measured(way, rtt_s, 10.0, acceptance, seeds).tokens_per_s.mean for way in fixed)
        found = measured(learnt, rtt_s, 10.0, acceptance, seeds).tokens_per_s.mean
        assert found > 0.95 * best


def test_what_is_written(tmp_path: Path) -> None:
    flat = Interval(20.0, 19.0, 21.0)
    points = tuple(
        Point(way.label, rtt_s, mbps, 0.9, 0.9, flat, flat, flat, 20.0)
        for rtt_s in RTT_S
        for mbps in MBPS
        for way in WAYS
    )
    found = SpeculationStudy(0.9, points[1 : len(WAYS)], points)
    write_study(found, tmp_path)
    names = {file.name for file in tmp_path.iterdir()}
    assert names == {
        "acceptance.svg", "acceptance.md", "links.svg", "links.md", "regions.md",
        "speculation.json",
    }  # fmt: skip
    data = json.loads((tmp_path / "speculation.json").read_text(encoding="utf-8"))
    assert data["acceptance"] == 0.9
    assert sentences(found)[0].startswith("At an acceptance of 0.90")
    assert "20.0 ± 1.0" in table(found)
