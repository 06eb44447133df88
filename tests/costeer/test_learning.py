"""The learnt starting k: as good as the best fixed one, whatever the link, and never stuck."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer import starting_k
from costeer.learning import (
    MAX_ROUND_TRIP_BYTES,
    KLearner,
    LearnerSpec,
    LearnerTables,
    naive_bytes,
    packed_bytes,
    sqrt2_grid,
)
from costeer.refinement import Ladder, RefineConfig
from tests.costeer.harness import Case, World, cases
from tests.costeer.toy import VOCAB

LARGE = 151_936
SPEC = LearnerSpec(RefineConfig(), LARGE, 4, 4096, packed_bytes(LARGE, "bf16"))
TOY_SPEC = LearnerSpec(
    RefineConfig(growth=2, max_rounds=3), VOCAB, 2, 16, naive_bytes(VOCAB, "bf16")
)

needs = st.lists(st.integers(1, LARGE), max_size=40)
prices = st.integers(0, 1 << 26)


def rounds_of(ladder: Ladder, needed: int) -> int:
    rounds = 0
    while ladder.ranks(rounds)[1] < needed and ladder.has(rounds + 1):
        rounds += 1
    return rounds


def cost(ladder: Ladder, needed: int, price: int) -> int:
    rounds = rounds_of(ladder, needed)
    sent = sum(SPEC.span_bytes(*ladder.ranks(each)) for each in range(rounds + 1))
    return sent + price * rounds


def taught(sequence: list[int], price: int = 25_000) -> KLearner:
    learner = KLearner(SPEC)
    for needed in sequence:
        ladder = learner.ladder(price)
        learner.observe(ladder, rounds_of(ladder, needed))
    return learner


def test_the_grid_is_that_of_the_fixed_values() -> None:
    assert sqrt2_grid(16, 4096)[:6] == (16, 23, 32, 45, 64, 91)
    assert sqrt2_grid(16, 4096)[-1] == 4096
    assert sqrt2_grid(5, 5) == (5,)


@pytest.mark.parametrize("k", [64, 256, 1024])
def test_a_packed_frame_is_about_as_large_as_expected(k: int) -> None:
    measured = {64: 173, 256: 579, 1024: 2_040}  # frames of generated rows
    assert SPEC.span_bytes(0, k) == pytest.approx(measured[k], rel=0.05)


@given(needs, prices)
def test_the_same_past_gives_the_same_k(sequence: list[int], price: int) -> None:
    first, second = taught(sequence), taught(sequence)
    assert first.ladder(price) == second.ladder(price)
    assert SPEC.least_k <= first.ladder(price).first_k <= SPEC.most_k


@given(needs, prices, prices)
def test_a_dearer_round_trip_never_asks_for_fewer_ranks(
    sequence: list[int], one: int, other: int
) -> None:
    learner = taught(sequence)
    low, high = sorted((one, other))
    assert learner.ladder(low).first_k <= learner.ladder(high).first_k


@pytest.mark.parametrize("price", [2_000, 25_000, 170_000])
@pytest.mark.parametrize(("ln_median", "spread"), [(1.2, 0.5), (3.5, 1.2), (4.5, 0.6)])
def test_it_costs_what_the_best_fixed_k_costs(price: int, ln_median: float, spread: float) -> None:
    """Time on the link per step, the step's own round trip included: within 3 %."""
    draws = np.random.default_rng(5).lognormal(ln_median, spread, 1_500)
    sequence = [int(min(max(draw, 1), LARGE)) for draw in draws]
    learner, spent = KLearner(SPEC), 0
    for needed in sequence:
        ladder = learner.ladder(price)
        spent += cost(ladder, needed, price) + price
        learner.observe(ladder, rounds_of(ladder, needed))
    fixed = [
        sum(cost(Ladder(k, LARGE, SPEC.refine), needed, price) + price for needed in sequence)
        for k in sqrt2_grid(16, 4096)
    ]
    assert spent <= 1.03 * min(fixed)


def test_bytes_that_cost_no_time_are_used() -> None:
    free_bytes = SPEC.span_bytes(0, 256)
    assert KLearner(SPEC).ladder(2_000, free_bytes).first_k == 256
    assert KLearner(SPEC).ladder(2_000).first_k < 256


def test_it_comes_down_again_when_less_is_needed() -> None:
    hard = taught([900] * 300)
    assert hard.ladder(25_000).first_k >= 900
    for _ in range(1_500):
        ladder = hard.ladder(25_000)
        hard.observe(ladder, rounds_of(ladder, 10))
    assert hard.ladder(25_000).first_k < 200


@settings(max_examples=15, deadline=None)
@given(
    st.lists(st.tuples(st.integers(1, LARGE), prices, st.integers(0, 2_000)), max_size=12),
    st.sampled_from((SPEC, TOY_SPEC)),
)
def test_loops_learn_what_arrays_learn(
    steps: list[tuple[int, int, int]], spec: LearnerSpec
) -> None:
    """What compiled fleets run is what the engine runs, to the last integer."""
    learner, tables = KLearner(spec), LearnerTables.of(spec)
    log_weight_H = tables.prior_H.tolist()
    chance_N = [0] * tables.chance_HN.shape[1]
    for needed, price, free_bytes in steps:
        carried = min(price, MAX_ROUND_TRIP_BYTES)
        starting_k.weigh(
            log_weight_H, tables.chance_HN, tables.coarse.tolist(), tables.fine.tolist(), chance_N
        )
        start = starting_k.best_start(
            chance_N, tables.bytes_KN, tables.rounds_KN, carried, free_bytes
        )
        ladder = learner.ladder(price, free_bytes)
        assert tables.ladders[start] == ladder
        rounds = rounds_of(ladder, needed)
        learner.observe(ladder, rounds)
        starting_k.observe(log_weight_H, tables.log_BH, int(tables.bracket_KR[start, rounds]))


@settings(max_examples=40)
@given(cases(max_sessions=3), st.integers(0, 10_000))
def test_tokens_do_not_depend_on_what_was_learnt(case: Case, round_trip_bytes: int) -> None:
    """Over a chaotic link: the same tokens as with a fixed ladder."""
    ladder = Ladder(TOY_SPEC.least_k, VOCAB, TOY_SPEC.refine)
    fleet = tuple(
        replace(spec, ladder=ladder, round_trip_bytes=round_trip_bytes) for spec in case.fleet
    )
    learning = World.of(replace(case, fleet=fleet), learner=TOY_SPEC)
    learning.run()
    fixed = World.of(replace(case, fleet=tuple(replace(s, ladder=ladder) for s in case.fleet)))
    fixed.run()
    for spec in fleet:
        assert learning.tokens(spec.session) == fixed.tokens(spec.session)
