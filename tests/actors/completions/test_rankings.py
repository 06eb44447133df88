from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.completions.rankings import Ranking, read_ranking, row_of
from costeer.codec import build_codec
from costeer.codec.config import CodecConfig
from costeer.codec.select import ranked_ids
from costeer.errors import RemoteProtocolError

V = 300


def choice(entries: dict[str, Any]) -> dict[str, Any]:
    return {"logprobs": {"top_logprobs": [entries]}}


def test_the_three_ways_of_naming_a_token_say_the_same() -> None:
    by_id = choice({"token_id:7": -0.1, "token_id:3": -2.5})
    by_text = choice({" a": -0.1, " b": -2.5})
    listed = {
        "logprobs": {
            "content": [{"top_logprobs": [{"id": 3, "logprob": -2.5}, {"id": 7, "logprob": -0.1}]}]
        }
    }
    texts = {" a": 7, " b": 3}
    for each in (by_id, by_text, listed):
        assert read_ranking(each, 2, V, texts) == Ranking((7, 3), (-0.1, -2.5))


def test_equal_tokens_come_by_their_ids_and_padding_is_left_out() -> None:
    given_ = choice({"token_id:9": -1.0, "token_id:4": -1.0, f"token_id:{V}": -0.5})
    assert read_ranking(given_, 2, V, {}) == Ranking((4, 9), (-1.0, -1.0))


@pytest.mark.parametrize(
    ("given_", "said"),
    [
        ({}, "no top_logprobs"),
        ({"logprobs": None}, "no top_logprobs"),
        ({"logprobs": {"top_logprobs": []}}, "no top_logprobs"),
        (choice({"token_id:1": -1.0}), "1 tokens came with log-probabilities, 2 were asked for"),
        (choice({"token_id:1": -1.0, "token_id:2": "x"}), "log-probability 'x'"),
        (choice({"token_id:1": -1.0, "token_id:2": 3.0}), "log-probability 3.0"),
        (choice({"token_id:1": -1.0, "token_id:2": math.nan}), "log-probability nan"),
        (choice({"\ufffd": -1.0, "token_id:2": -1.0}), "not the text of exactly one token"),
    ],
)
def test_what_is_no_ranking_is_the_servers_fault(given_: dict[str, Any], said: str) -> None:
    with pytest.raises(RemoteProtocolError, match=said):
        read_ranking(given_, 2, V, {})


rows = st.lists(st.floats(-40, 0), min_size=40, max_size=40).map(
    lambda each: np.array(each) - np.log(np.exp(each).sum())
)


@pytest.mark.parametrize("values", ["fp32", "fp16", "bf16"])
@given(logprobs=rows, known=st.integers(1, 20))
def test_the_first_ranks_of_a_row_are_the_servers_in_every_format(
    values: str, logprobs: np.ndarray[Any, Any], known: int
) -> None:
    order = np.lexsort((np.arange(40), -logprobs))[:known]
    ranking = Ranking(tuple(map(int, order)), tuple(map(float, logprobs[order])))
    row_V = row_of(ranking, V)
    assert row_V[list(ranking.ids)].tolist() == [np.float32(each) for each in ranking.logprobs]
    config = CodecConfig.model_validate({"select": {"kind": "top_k", "k": known}, "values": values})
    codec = build_codec(config, V)
    sent = codec.decode(codec.encode_batch(row_V[None], [(0, known)])[0])
    assert set(sent.ids_K.tolist()) == set(ranking.ids)
    assert set(ranked_ids(row_V, 0, known).tolist()) == set(ranking.ids)
    unknown = np.delete(row_V, list(ranking.ids))
    assert unknown.max() < sent.floor
    assert np.isfinite(row_V).all()


def test_where_ranks_are_far_apart_the_row_sums_to_one() -> None:
    ranking = Ranking((5, 2), (math.log(0.6), math.log(0.3)))
    row_V = row_of(ranking, V).astype(np.float64)
    assert np.exp(row_V).sum() == pytest.approx(1.0, rel=1e-6)
