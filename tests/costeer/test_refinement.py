"""The ladder: rounds that follow each other without a gap, and end."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from costeer.errors import LocalProtocolError
from costeer.refinement import Ladder, RefineConfig

configs = st.builds(
    RefineConfig,
    growth=st.integers(2, 64),
    max_rounds=st.integers(0, 16),
    at_cap=st.sampled_from(["dense", "accept"]),
)
ladders = st.integers(1, 200_000).flatmap(
    lambda vocab: st.builds(
        Ladder, st.integers(1, min(300, vocab)) | st.integers(1, 200_000), st.just(vocab), configs
    )
)


def rounds_of(ladder: Ladder) -> list[tuple[int, int]]:
    spans = [ladder.ranks(0)]
    while ladder.has(len(spans)):
        spans.append(ladder.ranks(len(spans)))
    return spans


@given(ladders)
def test_rounds_follow_each_other_without_gap_or_repetition(ladder: Ladder) -> None:
    spans = rounds_of(ladder)
    assert spans[0] == (0, min(ladder.first_k, ladder.vocab_size))
    for (_, last), (first, more) in pairwise(spans):
        assert first == last < more <= ladder.vocab_size
    assert len(spans) - 1 <= ladder.config.max_rounds


@given(ladders)
def test_a_dense_cap_ends_at_the_whole_vocabulary(ladder: Ladder) -> None:
    if ladder.config.at_cap == "dense" and ladder.config.max_rounds:
        assert rounds_of(ladder)[-1][1] == ladder.vocab_size


@given(ladders, st.integers(-3, 20))
def test_a_round_has_ranks_exactly_if_it_may_be_asked_for(ladder: Ladder, round_: int) -> None:
    if round_ == 0 or ladder.has(round_):
        first, last = ladder.ranks(round_)
        assert first < last
    else:
        with pytest.raises(LocalProtocolError, match="beyond the ladder"):
            ladder.ranks(round_)


def test_the_default_ladder_of_64_ranks() -> None:
    assert rounds_of(Ladder(64, 151_936, RefineConfig())) == [
        (0, 64),
        (64, 256),
        (256, 1024),
        (1024, 4096),
        (4096, 16_384),
        (16_384, 151_936),
    ]


def test_no_rounds_means_every_first_choice_is_accepted() -> None:
    assert rounds_of(Ladder(64, 1000, RefineConfig(max_rounds=0))) == [(0, 64)]


@pytest.mark.parametrize(("first_k", "vocab"), [(0, 10), (-1, 10), (1, 0)])
def test_a_ladder_needs_a_first_step(first_k: int, vocab: int) -> None:
    with pytest.raises(LocalProtocolError, match="1 or more"):
        Ladder(first_k, vocab, RefineConfig())


def test_what_a_person_writes_is_checked() -> None:
    with pytest.raises(ValidationError):
        RefineConfig.model_validate({"growht": 4})
    with pytest.raises(ValidationError):
        RefineConfig(growth=1)
