"""Costs out of a live run: known ones are found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from costeer.token_record import STAGES
from experiments.fleet_validation.contention import (
    Contended,
    cloud_costs,
    edge_costs,
    engine_ns,
    forward_that_waits,
    line_through,
    mean_of,
)
from experiments.fleet_validation.timed import Timed
from netsim.hardware import Fixed


def served(steps: int, *, idle_ns: int = 0) -> list[Timed]:
    """A cloud whose forward takes 5,000 + 300 a row + 20 a token, select 700 + 50 a row."""
    rng = np.random.default_rng(3)
    now_ns, timed = 0, []
    for step in range(steps):
        rows = int(rng.integers(1, 9))
        tokens = rows + 40 * int(rng.integers(0, 2))
        now_ns += 110 + (idle_ns if step % 2 else 0)
        took_ns = 5_000 + 300 * rows + 20 * tokens
        timed.append(Timed("forward", rows, tokens, now_ns, now_ns + took_ns))
        now_ns += took_ns + 30
        timed.append(Timed("select", rows, 0, now_ns, now_ns + 700 + 50 * rows))
        now_ns += 700 + 50 * rows
    return timed


def test_the_cloud_s_costs_are_found_again() -> None:
    steered = cloud_costs(served(200), streamed=False, saturated=True)
    assert (steered.forward, steered.forward_per_row, steered.forward_per_token) == (5000, 350, 20)
    assert steered.select == 700 + 140
    streamed = cloud_costs(served(200), streamed=True, saturated=True)
    assert (streamed.forward, streamed.forward_per_row) == (5000 + 700 + 140, 300)
    assert streamed.choose == 50
    assert set(steered.forward_variation) == set(streamed.forward_variation) == {1000}


def test_how_far_forwards_lie_from_the_line_is_found_again() -> None:
    timed = [
        # In turn a tenth less and more than what it takes by its rows and tokens.
        replace(each, ended_ns=each.ended_ns + (-1) ** step * each.took_ns // 10)
        if each.kind == "forward"
        else each
        for step, each in enumerate(served(200)[::2])
    ]
    timed += [each for each in served(200) if each.kind == "select"]
    found = cloud_costs(timed, streamed=False, saturated=False).forward_variation
    assert found[8] == pytest.approx(900, abs=25)
    assert found[-8] == pytest.approx(1100, abs=25)
    assert sum(found) / len(found) == pytest.approx(1000, abs=2)


def test_idle_pauses_are_not_the_engine_s_work() -> None:
    assert engine_ns(served(200, idle_ns=90_000), saturated=False) == 140
    assert engine_ns(served(200), saturated=True) == pytest.approx(140)


def test_a_saturated_cloud_s_pauses_end_with_its_full_batches() -> None:
    busy = served(200)
    end_ns = busy[-1].ended_ns
    tail = [
        Timed("forward", 1, 1, end_ns + 900_000, end_ns + 905_000),
        Timed("select", 1, 0, end_ns + 906_000, end_ns + 907_000),
    ]
    assert engine_ns([*busy, *tail], saturated=True) == pytest.approx(140)


def test_a_forward_is_as_long_as_its_waits_say() -> None:
    decided_ns = np.array([10_000_000.0, 30_000_000, 50_000_000])
    wait_ns = float(np.maximum(0, 40_000_000 - decided_ns).mean())
    assert forward_that_waits(decided_ns, wait_ns) == pytest.approx(40_000_000, abs=2_000)
    assert forward_that_waits(decided_ns, 0.0) < 10_000_000


def test_a_device_s_costs_are_found_again() -> None:
    stages = dict.fromkeys((f"stage_{name}_ns" for name in STAGES), 0)
    later = stages | {
        "position": 1,
        "stage_uplink_ns": 20_000_000,
        "stage_decode_ns": 40_000,
        "stage_edge_wait_ns": 5_000_000,
        "stage_steer_ns": 900_000,
        "stage_overhead_ns": 100_000,
    }
    first = later | {"position": 0, "stage_steer_ns": 9_000_000_000}
    timed = [Timed("forward", n, 2 * n, 0, 1_000_000 + 200_000 * n) for n in (1, 2, 3)]
    edge = edge_costs(pd.DataFrame([first, later, later]), timed)
    assert edge.decode == 40_000
    assert edge.steer == 1_000_000
    # Two tokens a device and two times 100,000 a token: columns of rows and tokens are one.
    whole_ns = edge.forward + 2 * edge.forward_per_token
    assert whole_ns == pytest.approx(25_040_000, abs=2_000)


def test_columns_that_say_nothing_and_factors_below_zero_are_left_out() -> None:
    ones = np.array([[1.0, 1, 2], [1, 1, 3], [1, 1, 4]])
    assert line_through(ones, np.array([7.0, 8, 9])) == pytest.approx([5, 0, 1])
    assert line_through(ones, np.array([9.0, 8, 7])) == pytest.approx([8, 0, 0])


def test_costs_of_several_runs_are_averaged() -> None:
    one = Contended(Fixed(forward=10, select=1), Fixed(steer=4))
    other = Contended(Fixed(forward=20, select=2), Fixed(steer=8))
    assert mean_of([one, other]) == Contended(Fixed(forward=15, select=2), Fixed(steer=6))
