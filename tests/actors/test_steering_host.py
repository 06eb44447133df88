"""Rounds through both ends of a host: whatever the codec, the last choice is the dense one."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.values.steering_host import Selector, Steerer
from costeer.certificate import Choice
from costeer.codec import CodecConfig, build_codec
from costeer.errors import CodecError
from costeer.machine import CloudSelect, EdgeDecode, EdgeSteer, EncodeItem
from costeer.refinement import Ladder, RefineConfig
from costeer.sampling import Sampling
from costeer.steering import decision_scores
from costeer.tail import TAILS, Tail
from tests.actors.value_sessions import arm

VOCAB = 300
CODECS = (
    "top4-bf16-naive",
    "top4-bf16-packed",
    "top4-fp32-planar-zstd3",
    "top4-step0.25-packed",
    "top4-int8-packed",
    "topp0.6max8-bf16-packed",
    "floor0.2max8-bf16-naive",
    "topp0.5max299-fp16-packed",
)


def rounds(codec: str, seed: int, c: float, refine: RefineConfig) -> tuple[Choice, Any, Any, int]:
    """Ask until certified: the choice, the row, Δ and how many payloads it took."""
    rng = np.random.default_rng(seed)
    row_V = rng.normal(5.0, 3.0, VOCAB).astype(np.float32)
    delta_V = rng.normal(0.0, 1.0, VOCAB)
    spec = arm(codec=codec, strength=c)
    cloud, edge = Selector(spec, VOCAB), Steerer(spec, VOCAB)
    ladder = Ladder(build_codec(spec.codec, VOCAB).first_k, VOCAB, refine)
    round_ = 0
    while True:
        ask = CloudSelect((EncodeItem(1, 0, *ladder.ranks(round_)),), ())
        (payload,) = cloud.select(ask, lambda _, __: row_V).payloads
        edge.decode(EdgeDecode(1, 0, round_, payload))
        choice = edge.steer(EdgeSteer(1, 0, round_), delta_V)
        assert isinstance(choice, Choice), choice
        round_ += 1
        if choice.certified or choice.final or not ladder.has(round_):
            return choice, row_V, delta_V, round_


@pytest.mark.parametrize("codec", CODECS)
@given(st.integers(0, 2**31), st.sampled_from([0.5, 1.8]), st.integers(2, 3), st.integers(1, 4))
@settings(deadline=None, max_examples=15)
def test_refinement_ends_with_the_dense_token(
    codec: str, seed: int, c: float, growth: int, cap: int
) -> None:
    choice, row_V, delta_V, _ = rounds(codec, seed, c, RefineConfig(growth=growth, max_rounds=cap))
    rounded_V = build_codec(CodecConfig.model_validate(codec), VOCAB).rounded(row_V)
    assert choice.certified
    assert choice.token == int(np.argmax(decision_scores(rounded_V, delta_V, c)))


@pytest.mark.parametrize("codec", ["top4-bf16-packed-exact", "top4-int8-naive-exact"])
@given(st.integers(0, 2**31), st.sampled_from([0.5, 1.8]))
@settings(deadline=None, max_examples=25)
def test_against_the_row_before_rounding_certified_is_still_exact(
    codec: str, seed: int, c: float
) -> None:
    choice, row_V, delta_V, _ = rounds(codec, seed, c, RefineConfig())
    if choice.certified:
        assert choice.token == int(np.argmax(decision_scores(row_V, delta_V, c)))


def test_the_rounds_in_between_are_needed_somewhere() -> None:
    found = {rounds("top4-bf16-packed", seed, 1.8, RefineConfig())[3] for seed in range(20)}
    assert len(found) > 1


def test_a_follow_up_without_its_first_round_is_the_peers_fault() -> None:
    spec = arm(codec="top4-bf16-packed")
    edge = Steerer(spec, VOCAB)
    row_V = np.random.default_rng(0).normal(size=VOCAB).astype(np.float32)
    edge.decode(EdgeDecode(1, 0, 0, build_codec(spec.codec, VOCAB).encode(row_V, 4, 8)))
    assert isinstance(edge.steer(EdgeSteer(1, 0, 0), np.zeros(VOCAB)), CodecError)


def test_a_row_that_was_sent_whole_is_final_even_where_nothing_is_proved() -> None:
    # int8 values cannot prove a choice on the row before rounding; asking on would gain nothing.
    choice, *_ = rounds("top4-int8-naive-exact", 305, 0.5, RefineConfig())
    assert choice.final
    assert not choice.certified


def _steered(tail: Tail, k: int, delta_V: np.ndarray) -> Choice:
    """The choice of a first frame of k ranks over falling logits, c = 1."""
    spec = replace(arm(codec=f"top{k}-fp32-packed", strength=1.0), sampling=Sampling(tail=tail))
    row_V = np.linspace(4.0, 0.0, VOCAB, dtype=np.float32)
    edge = Steerer(spec, VOCAB)
    edge.decode(EdgeDecode(1, 0, 0, build_codec(spec.codec, VOCAB).encode(row_V)))
    choice = edge.steer(EdgeSteer(1, 0, 0), delta_V)
    assert isinstance(choice, Choice)
    return choice


def test_the_tail_s_assumption_rules_uncertified_choices_alone() -> None:
    raised_V = np.zeros(VOCAB)
    raised_V[VOCAB - 1] = 9.0
    assert _steered("renormalised", 4, raised_V).token == 0
    for tail in ("bounded", "uniform"):
        choice = _steered(tail, 4, raised_V)
        assert choice.token == VOCAB - 1
        assert not choice.certified
    sharp_V = np.zeros(VOCAB)
    sharp_V[0] = 9.0
    for tail in TAILS:
        choice = _steered(tail, 4, sharp_V)
        assert (choice.token, choice.certified) == (0, True)
