"""The same reduced model, the same draws, in a general simulator: equal to the nanosecond."""

from __future__ import annotations

from dataclasses import replace

import pytest

from actors.fleet.driver import FleetDriver
from actors.fleet.machine_code import kept_compiler
from experiments.bench.reduced import Reduced, as_plan
from tests.actors.fleets import recorder_of

pytest.importorskip("simpy", reason="SimPy, the oracle, is a development dependency")

MODEL = Reduced(devices=300, tokens=12)


def compiled(model: Reduced) -> list[list[int]]:
    plan, terms, costs, outcomes = as_plan(model)
    run = FleetDriver(
        plan, terms, costs, outcomes, recorder_of(plan), compiler=kept_compiler()
    ).run()
    chosen_ns: list[list[int]] = [[] for _ in range(model.devices)]
    for token in run.tokens:
        chosen_ns[token.device].append(token.chosen_at_ns)
    return chosen_ns


@pytest.mark.parametrize(
    "model",
    [
        MODEL,
        replace(MODEL, seed=8, jitter_ns=20_000_000, edge_ns=90_000_000),
        # Beyond saturation: 300 devices and a cloud that serves 4 rows in 5.8 ms.
        replace(MODEL, max_batch=4),
        replace(MODEL, devices=1, spread_ns=0),
        replace(MODEL, rate_bps=400_000, propagation_ns=1_000_000, edge_ns=0),
    ],
    ids=["usual", "late edges", "saturated", "alone", "slow links"],
)
def test_simpy_says_the_same_to_the_nanosecond(model: Reduced) -> None:
    from experiments.bench.simpy_model import simulate

    assert compiled(model) == simulate(model)


def test_the_oracle_itself_by_hand() -> None:
    """One device, no jitter: every token takes the sum of its parts."""
    from experiments.bench.simpy_model import simulate

    model = replace(MODEL, devices=1, tokens=3, jitter_ns=0, spread_ns=0)
    exchange_ns = (
        model.transit_ns(model.frame_bytes_up)
        + model.forward_ns
        + model.forward_per_row_ns
        + model.select_ns
        + model.transit_ns(model.frame_bytes_down)
        + model.decode_ns
    )
    token_ns = max(exchange_ns, model.edge_ns) + model.steer_ns
    assert simulate(model) == [[token_ns, 2 * token_ns, 3 * token_ns]]
