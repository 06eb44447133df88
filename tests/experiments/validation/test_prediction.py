"""The design covers what it says, records have the size asked for, a prediction is the link's."""

from __future__ import annotations

from collections import Counter
from itertools import combinations

import pytest

from experiments.validation.design import RATES_MBPS, ROUND_TRIPS_MS, SIZES, State, design
from experiments.validation.hosts import PathSpec
from experiments.validation.measurement import Figure, Outcome, Validation, repeats_of
from experiments.validation.page import page
from experiments.validation.peer import REQUEST_BYTES, Job, answer, request
from experiments.validation.prediction import predict, predict_connect

MS = 1_000_000


def test_every_level_meets_every_other_one() -> None:
    single = [cell for cell in design() if cell.clients == 1 and not cell.loss]
    levels = [(cell.answer_bytes, cell.state, cell.rate_mbps, cell.rtt_ms) for cell in single]
    sizes = (len(SIZES), len(State), len(RATES_MBPS), len(ROUND_TRIPS_MS))
    for first, second in combinations(range(4), 2):
        pairs = Counter((level[first], level[second]) for level in levels)
        assert len(pairs) == sizes[first] * sizes[second]
    assert len(set(single)) == len(single) == 60


def test_the_whole_design_takes_minutes() -> None:
    total_s = 0.0
    for cell in design():
        job = cell.job(repeats_of(cell))
        each_s = max(predict(cell.path, cell.job(1))) / 1e9
        total_s += job.repeats * ((1 + job.warmups) * each_s + job.idle_s + job.settle_s)
    assert total_s < 12 * 60


@pytest.mark.parametrize("size", [100, 3_000, 1_000_000])
def test_records_have_the_size_asked_for(size: int) -> None:
    assert len(answer(size)) == size
    assert len(request(size)) == REQUEST_BYTES


def test_a_prediction_repeats_what_the_client_does() -> None:
    path = PathSpec(20 * MS, 20 * MS)
    fresh = predict(path, Job(300_000, 3, fresh=True))
    warm = predict(path, Job(300_000, 3, lead=5))
    idle = predict(path, Job(300_000, 3, lead=5, idle_s=1.0))
    assert len(set(fresh)) == 1
    assert max(warm) < min(idle) <= fresh[0] * 1.01
    assert predict_connect(path) == 40 * MS


def test_clients_that_share_take_turns() -> None:
    path = PathSpec(20 * MS, 5 * MS)
    one = predict(path, Job(300_000, 10, lead=5))[-1]
    four = predict(path, Job(300_000, 10, lead=5, clients=4))
    serialise_ns = one - 10 * MS
    assert len(four) == 40
    assert sum(four) / len(four) == pytest.approx(4 * serialise_ns, rel=0.02)


def test_a_page_names_what_misses() -> None:
    cells = [cell for cell in design() if cell.state is State.NEW][:2]
    figures = [Figure(100.0, 99.0, 101.0, 103.0, 5.0), Figure(100.0, 99.0, 101.0, 120.0, 5.0)]
    outcomes = [Outcome(cell, 7, figure) for cell, figure in zip(cells, figures, strict=True)]
    connects = {10: Figure(10.2, 10.1, 10.9, 10.0, 1.0)}
    text = page(Validation(outcomes, connects, 0.1), [], "a machine", 60.0)
    assert "| new | 1 of 2 | 20.0% | 20.0% |" in text
    assert "+20.0%" in text.split("Outside:")[1].split("\n")[0]
    assert "| yes |" in text
    assert "| **no** |" in text
