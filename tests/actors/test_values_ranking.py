"""Ranking where the logits live: the frames of the host's own path, byte for byte."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.values.generated import GeneratedConfig, RowSource
from actors.values.ranking import DeviceRanker
from costeer.codec import CodecConfig, ComposedCodec, build_codec
from costeer.errors import LocalProtocolError

VOCAB = 700


def built(name: str, vocab: int = VOCAB) -> ComposedCodec:
    codec = build_codec(CodecConfig.model_validate(name), vocab)
    assert isinstance(codec, ComposedCodec)
    return codec


def rows(seed: int, count: int, coarse: float) -> np.ndarray:
    """Rows with many equals: the coarser, the more."""
    rng = np.random.default_rng(seed)
    found: np.ndarray = (np.round(rng.normal(0, 4, (count, VOCAB)) / coarse) * coarse).astype("f4")
    return found


@settings(max_examples=60)
@given(
    st.integers(0, 2**31),
    st.sampled_from(["top16-bf16-packed", "top16-fp16-naive-zstd", "top16-fp32-planar"]),
    st.sampled_from([0.5, 0.01]),
    st.lists(st.sampled_from([(0, 16), (16, 64), (64, 100), (100, VOCAB), (0, 1)]), min_size=1),
)
def test_the_frames_are_those_of_the_host(
    seed: int, name: str, coarse: float, ranges: list[tuple[int, int]]
) -> None:
    codec = built(name)
    logits_BV = rows(seed, len(ranges), coarse)
    payloads = DeviceRanker(codec).encode(torch.from_numpy(logits_BV), ranges)
    assert payloads == codec.encode_batch(logits_BV, ranges)


def test_at_full_vocabulary_too() -> None:
    source = RowSource(GeneratedConfig(), 5)
    codec = built("top64-bf16-packed", 151_936)
    logits_BV = np.stack([source.logits(1, position) for position in range(4)])
    ranges = [(0, 64), (64, 256), (0, 64), (256, 1024)]
    payloads = DeviceRanker(codec).encode(torch.from_numpy(logits_BV), ranges)
    assert payloads == codec.encode_batch(logits_BV, ranges)


def test_what_needs_the_row_is_left_to_the_host() -> None:
    for name in (
        "dense-fp16",
        "topp0.9-bf16-packed",
        "floor0.01-bf16",
        "top16-int8",
        "top16-step0.5",
    ):
        assert not DeviceRanker.suits(built(name))
    assert DeviceRanker.suits(built("adaptive-bf16-packed"))


def test_a_row_that_is_no_number_is_refused() -> None:
    logits_BV = torch.zeros((1, VOCAB))
    logits_BV[0, 3] = float("nan")
    with pytest.raises(LocalProtocolError, match="NaN"):
        DeviceRanker(built("top16-bf16-packed")).encode(logits_BV, [(0, 16)])
