"""Law 3 with a floor: what is certified is the choice among all plausible tokens."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.codec import CodecConfig, build_codec
from costeer.errors import LocalProtocolError
from costeer.plausibility import decide_plausible
from costeer.sampling import Sampling

V = 40


def known_of(row: Any, k: int) -> Any:
    config = CodecConfig.model_validate({"select": {"kind": "top_k", "k": k}, "values": "fp32"})
    codec = build_codec(config, V)
    return codec.decode(codec.encode(row))


def rows(seed: int, spread: float) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(seed)
    row = (rng.normal(0.0, spread, V)).round(1).astype(np.float32)
    return row, rng.normal(0.0, 2.0, V), rng.gumbel(size=V)


def full_choice(row: Any, delta: Any, c: float, share: float, sampling: Sampling, g: Any) -> int:
    """The reference, with the whole row at hand."""
    scores = row + c * delta
    if not sampling.greedy:
        scores = scores / sampling.temperature + g
    scores[row < np.float32(float(row.max()) + math.log(share))] = -math.inf
    return int(np.argmax(scores))


@given(
    seed=st.integers(0, 2**32 - 1),
    k=st.integers(1, V),
    c=st.floats(0.0, 4.0),
    share=st.sampled_from([0.5, 0.1, 0.01, 1e-4]),
    spread=st.floats(0.2, 4.0),
    temperature=st.sampled_from([0.0, 0.7, 1.5]),
)
def test_law_3_what_is_certified_is_the_choice_among_all_plausible_tokens(
    seed: int, k: int, c: float, share: float, spread: float, temperature: float
) -> None:
    row, delta, g = rows(seed, spread)
    sampling = Sampling(temperature)
    choice = decide_plausible(known_of(row, k), delta, c, sampling, share, lambda ids: g[ids])
    expected = full_choice(row, delta, c, share, sampling, g)
    if choice.certified:
        assert choice.token == expected
    plausible = row >= np.float32(float(row.max()) + math.log(share))
    assert plausible[choice.token]
    if int(plausible.sum()) < k:
        assert choice.certified


def test_what_lies_below_the_floor_is_never_chosen_whatever_delta_says() -> None:
    row = np.linspace(4.0, -4.0, V).astype(np.float32)
    delta = np.zeros(V)
    delta[30] = 1e6
    assert decide_plausible(known_of(row, 20), delta, 1.0, Sampling(), 0.1).token == 0


def test_a_cloud_that_chose_by_the_share_has_sent_all_that_matters() -> None:
    row = np.array([4.0, 3.9] + [-5.0] * (V - 2), dtype=np.float32)
    delta = np.zeros(V)
    delta[1], delta[30] = 1.0, 50.0
    two = known_of(row, 2)
    plain = decide_plausible(two, delta, 1.0, Sampling(), 0.1)
    told = decide_plausible(two, delta, 1.0, Sampling(), 0.1, sent_share=0.1)
    assert (plain.token, plain.certified) == (1, False)
    assert (told.token, told.certified) == (1, True)
    assert not decide_plausible(two, delta, 1.0, Sampling(), 0.1, sent_share=0.2).certified


def test_top_p_is_settled_or_nothing() -> None:
    row, delta, g = rows(1, 3.0)
    sampling = Sampling(1.0, 0.8)
    few = decide_plausible(known_of(row, 2), delta, 1.0, sampling, 1e-4, lambda ids: g[ids])
    all_of_it = decide_plausible(known_of(row, V), delta, 1.0, sampling, 1e-4, lambda ids: g[ids])
    assert not few.certified
    assert all_of_it.certified


def test_misuse_is_refused() -> None:
    row, delta, _ = rows(1, 3.0)
    known = known_of(row, 3)
    with pytest.raises(LocalProtocolError, match="do not fit"):
        decide_plausible(known, delta, -1.0, Sampling(), 0.1)
    with pytest.raises(LocalProtocolError, match="needs noise"):
        decide_plausible(known, delta, 1.0, Sampling(1.0), 0.1)
