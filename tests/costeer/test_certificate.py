"""Law 3: a certified token is the full vocabulary's token. Always."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from costeer.certificate import Choice, certify_greedy, certify_gumbel, decide
from costeer.codec import CodecConfig, SparseLogits, build_codec, merge
from costeer.codec.core import row_logsumexp
from costeer.codec.select import ranked_ids
from costeer.codec.sparse import checked
from costeer.errors import LocalProtocolError
from costeer.sampling import Sampling, choose, perturb
from costeer.steering import decision_scores

# Few distinct numbers make ties; far apart they make absorption, next to each other off-by-one-ulp.
ONE = float(np.nextafter(np.float32(1), np.float32(2)))
LOGITS = st.sampled_from(
    [0.0, -0.0, 1.0, ONE, -1.0, 8.0, 8.03125, 8.0625, 17.1, 3e4, -3e4, 1e-30, 2.0**-24]
)
WIDE = LOGITS | st.sampled_from([1e38, -1e38, 3.0000001e37, 2.0**30, 2.0**30 + 64])
DELTAS = st.sampled_from([0.0, -0.0, 0.5, -0.5, 1.0, ONE, 1e-8, -1e-8, 1e-45, 40.0, 1e30, -1e30])
STRENGTHS = st.sampled_from([0.0, 1e-9, 0.4761904761904762, 1.0, 1.7832568430850784, 1e12])


@st.composite
def steps(draw: Any) -> tuple[str, Any, Any, float, int]:
    values = draw(st.sampled_from(["fp32", "fp16", "bf16"]))
    size = draw(st.integers(2, 24))
    pool = LOGITS if values == "fp16" else WIDE | st.floats(-100, 100, width=32)
    logits_V = np.array(draw(st.lists(pool, min_size=size, max_size=size)), dtype=np.float32)
    deltas = draw(st.lists(DELTAS | st.floats(-9, 9), min_size=size, max_size=size))
    dtype = draw(st.sampled_from([np.float32, np.float64]))
    return (
        values,
        logits_V,
        np.array(deltas, dtype=dtype),
        draw(STRENGTHS),
        draw(st.integers(1, size)),
    )


def known_and_reference(values: str, logits_V: Any, k: int) -> tuple[SparseLogits, Any]:
    """The first k ranks (a codec would send small vocabularies dense) and the full reference."""
    rounded_V = build_codec(CodecConfig(values=values), logits_V.size).rounded(logits_V)
    ids_K = ranked_ids(rounded_V, 0, k)
    return checked(
        ids_K, rounded_V[ids_K] + 0.0, row_logsumexp(rounded_V), logits_V.size
    ), rounded_V


@given(steps())
@settings(deadline=None, max_examples=1500)
def test_law_3_greedy(step: tuple[str, Any, Any, float, int]) -> None:
    values, logits_V, delta_V, c, k = step
    known, reference_V = known_and_reference(values, logits_V, k)
    choice = certify_greedy(known.ids_K, known.logits_K, known.floor, delta_V, c)
    scores_V = decision_scores(reference_V, delta_V, c)
    if choice.certified:
        assert choice.token == int(np.argmax(scores_V))
        assert choice.margin >= 0.0
        assert choice.margin <= scores_V[choice.token] - np.delete(scores_V, choice.token).max()
    else:
        assert choice.margin <= 0.0
    assert choice.certified or not known.dense


@given(steps(), st.integers(0, 99), st.sampled_from([0.001, 0.7, 1.0, 50.0]), st.booleans())
@settings(deadline=None, max_examples=800)
def test_law_3_sampling(
    step: tuple[str, Any, Any, float, int],
    seed: int,
    temperature: float,
    coarse: bool,
) -> None:
    values, logits_V, delta_V, c, k = step
    gumbel_V = np.random.default_rng(seed).gumbel(size=logits_V.size)
    if coarse:  # ties in the noise too
        gumbel_V = np.round(gumbel_V)
    known, reference_V = known_and_reference(values, logits_V, k)
    choice = decide(known, delta_V, c, Sampling(temperature), lambda ids_K: gumbel_V[ids_K])
    scores_V = perturb(decision_scores(reference_V, delta_V, c), temperature, gumbel_V)
    assert choice.certified or not known.dense
    if choice.certified:
        assert choice.token == int(np.argmax(scores_V))


@st.composite
def near_ties(draw: Any) -> Any:
    """Logits close enough for rounding to swap them."""
    size = draw(st.integers(2, 40))
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    logits_V = rng.normal(
        draw(st.sampled_from([0.0, 20.0])), draw(st.sampled_from([0.05, 4.0])), size
    )
    return (
        logits_V.astype(np.float32),
        rng.normal(0.0, 1.0, size),
        draw(st.sampled_from([0.0, 0.5, 2.0])),
    )


@pytest.mark.parametrize("values", ["bf16", "fp16", "int8", "step0.25", "step0.01", "fp32"])
@given(near_ties(), st.sampled_from([0.0, 1.0]), st.integers(1, 12))
@settings(deadline=None, max_examples=120)
def test_law_3_against_the_row_before_rounding(
    values: str, case: Any, temperature: float, k: int
) -> None:
    logits_V, delta_V, c = case
    gumbel_V = np.random.default_rng(k).gumbel(size=logits_V.size)
    codec = build_codec(CodecConfig.model_validate(f"top{k}-{values}-packed-exact"), logits_V.size)
    known = codec.decode(codec.encode(logits_V))
    assert known.errors_K is not None
    choice = decide(known, delta_V, c, Sampling(temperature), lambda ids_K: gumbel_V[ids_K])
    scores_V = decision_scores(logits_V, delta_V, c)
    if temperature:
        scores_V = perturb(scores_V, temperature, gumbel_V)
    if choice.certified:
        assert choice.token == int(np.argmax(scores_V))
    else:
        assert choice.margin <= 0.0


@given(
    st.integers(0, 2**31),
    st.integers(1, 150),
    st.sampled_from([0.0, 0.5, 1.8]),
    st.sampled_from([0.3, 0.8, 1.0, 1.5]),
    st.sampled_from([0.3, 0.7, 0.9, 0.97]),
    st.sampled_from([1.0, 4.0, 40.0]),
)
@settings(deadline=None, max_examples=400)
def test_law_3_top_p(
    seed: int, k: int, c: float, temperature: float, top_p: float, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    logits_V = np.round(rng.normal(0.0, spread, 200), 1).astype(np.float32)
    delta_V, gumbel_V = rng.normal(0.0, 1.0, 200), rng.gumbel(size=200)
    sampling = Sampling(temperature, top_p)
    known, rounded_V = known_and_reference("bf16", logits_V, k)
    choice = decide(known, delta_V, c, sampling, lambda ids_K: gumbel_V[ids_K])
    ids_V = np.arange(200, dtype=np.int32)
    scores_V = decision_scores(rounded_V, delta_V, c)
    if choice.certified:
        assert choice.token == choose(scores_V, ids_V, sampling, lambda ids_K: gumbel_V[ids_K])
        assert choice.margin == 0.0
    else:
        assert choice.margin == -np.inf


def test_top_p_is_certified_where_the_head_is_heavy_and_little_is_unsent() -> None:
    rng = np.random.default_rng(4)
    certified = 0
    for _ in range(60):
        logits_V = rng.permutation(20.0 - 3.0 * np.log(np.arange(1, 2001))).astype(np.float32)
        known, _ = known_and_reference("bf16", logits_V, 128)
        gumbel_V = rng.gumbel(size=2000)
        delta_V = rng.normal(0.0, 0.5, 2000)
        found = decide(known, delta_V, 1.0, Sampling(1.0, 0.9), gumbel_V.__getitem__)
        certified += found.certified
    assert certified > 40


def test_intervals_are_merged_with_the_rounds() -> None:
    row = np.random.default_rng(1).normal(0.0, 3.0, 200).astype(np.float32)
    codec = build_codec(CodecConfig.model_validate("top8-bf16-packed-exact"), row.size)
    known = codec.decode(codec.encode(row))
    more = merge(known, codec.decode(codec.encode(row, 8, 20), known))
    assert more.errors_K is not None
    assert more.floor_error < known.floor_error
    assert (np.abs(more.logits_K - row[more.ids_K].astype(np.float64)) <= more.errors_K).all()
    assert not more.errors_K.flags.writeable


@given(steps(), st.sampled_from([1, 2, 3]))
@settings(deadline=None, max_examples=300)
def test_refinement_ends_certified_with_the_dense_token(
    step: tuple[str, Any, Any, float, int], growth: int
) -> None:
    values, logits_V, delta_V, c, _ = step
    known, rounded_V = known_and_reference(values, logits_V, 1)
    while not (choice := decide(known, delta_V, c, Sampling())).certified:
        sent = known.ids_K.size
        ids_K = ranked_ids(rounded_V, sent, min(sent + growth, logits_V.size))
        more = checked(ids_K, rounded_V[ids_K] + 0.0, known.logsumexp, logits_V.size)
        known = merge(known, more)
    assert choice.token == int(np.argmax(decision_scores(rounded_V, delta_V, c)))


def test_a_floor_of_a_wide_support_certifies_and_a_narrow_one_does_not() -> None:
    ids_K = np.array([3, 8], dtype=np.int32)
    logits_K = np.array([10.0, 7.0], dtype=np.float32)
    delta_V = np.zeros(12, dtype=np.float32)
    delta_V[5] = 2.0
    assert certify_greedy(ids_K, logits_K, 7.0, delta_V, 1.0) == Choice(3, certified=True, margin=1)
    assert certify_greedy(ids_K, logits_K, 7.0, delta_V, 2.0) == Choice(
        3, certified=False, margin=-1
    )


def test_a_tie_with_the_bound_is_won_by_the_lowest_id() -> None:
    logits_K = np.array([5.0], dtype=np.float32)
    delta_V = np.zeros(4, dtype=np.float32)
    first = certify_greedy(np.array([0], dtype=np.int32), logits_K, 5.0, delta_V, 1.0)
    later = certify_greedy(np.array([2], dtype=np.int32), logits_K, 5.0, delta_V, 1.0)
    assert (first.certified, later.certified) == (True, False)


def test_an_unsent_rival_by_less_than_float32_is_seen() -> None:
    ids_K, logits_K = np.array([0], dtype=np.int32), np.array([5.0], dtype=np.float32)
    delta_V = np.array([0.5, 0.5 + 1e-12, 0.0])
    assert not certify_greedy(ids_K, logits_K, 5.0, delta_V, 1.0).certified
    assert not certify_gumbel(ids_K, logits_K, 5.0, delta_V, 1.0, 1.0, np.zeros(3)).certified


def test_with_noise_too_a_tie_is_won_by_the_lowest_id() -> None:
    logits_K, zero_V = np.array([5.0], dtype=np.float32), np.zeros(4)
    for token, certified in ((0, True), (2, False)):
        ids_K = np.array([token], dtype=np.int32)
        choice = certify_gumbel(ids_K, logits_K, 5.0, zero_V, 1.0, 1.0, zero_V)
        assert choice == Choice(token, certified=certified, margin=0.0)


def test_top_p_is_certified_on_a_dense_support_and_not_on_a_short_one() -> None:
    logits_V = np.arange(6, dtype=np.float32)
    noise, delta_V = (lambda ids_K: np.zeros(ids_K.size)), np.zeros(6)
    for k, certified in ((3, False), (6, True)):
        known, _ = known_and_reference("fp32", logits_V, k)
        choice = decide(known, delta_V, 1.0, Sampling(1.0, 0.9), noise)
        assert (choice.token, choice.certified) == (5, certified)


@pytest.mark.parametrize("c", [-1.0, float("nan"), float("inf")])
def test_an_impossible_strength_is_our_bug(c: float) -> None:
    known, _ = known_and_reference("fp32", np.arange(6, dtype=np.float32), 3)
    with pytest.raises(LocalProtocolError, match="strength"):
        decide(known, np.zeros(6), c, Sampling())


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("where", [0, 5])
@pytest.mark.parametrize("temperature", [0.0, 1.0])
def test_a_delta_that_is_not_finite_is_our_bug(bad: float, where: int, temperature: float) -> None:
    known, _ = known_and_reference("fp32", np.arange(6, dtype=np.float32), 3)
    delta_V = np.zeros(6)
    delta_V[where] = bad
    with pytest.raises(LocalProtocolError, match="not finite"):
        decide(known, delta_V, 1.0, Sampling(temperature), lambda ids_K: np.zeros(ids_K.size))


def test_a_delta_of_another_vocabulary_or_missing_noise_is_our_bug() -> None:
    known, _ = known_and_reference("fp32", np.arange(6, dtype=np.float32), 3)
    with pytest.raises(LocalProtocolError, match="shape"):
        decide(known, np.zeros(7), 1.0, Sampling())
    with pytest.raises(LocalProtocolError, match="noise"):
        decide(known, np.zeros(6), 1.0, Sampling(1.0))
