"""The price of an exact token on rows of a known kind."""

from __future__ import annotations

import pytest

from actors.values.generated import GeneratedConfig, RowSource
from experiments.logits.price import CODECS, prices
from experiments.logits.shown import price_table

VOCAB = 5_000
STEPS = [(0, position) for position in range(20)]


def test_dense_is_always_proved_and_packed_is_cheapest() -> None:
    rows = RowSource(GeneratedConfig(vocab_size=VOCAB), 3)
    found = dict(zip(CODECS, prices(rows, STEPS, VOCAB, 1.0), strict=True))
    dense = found["dense-fp16"]
    assert (dense.first_certified_share, dense.rounds) == (1.0, 0.0)
    assert dense.frame_bytes == pytest.approx(2 * VOCAB, rel=0.01)
    assert found["top64-bf16-packed"].frame_bytes < found["top64-bf16-naive-zstd"].frame_bytes
    assert found["top16-bf16-packed"].rounds >= found["top64-bf16-packed"].rounds
    assert "top16-bf16-packed" in price_table(list(found.values()))


def test_without_steering_the_best_rank_is_enough() -> None:
    rows = RowSource(GeneratedConfig(vocab_size=VOCAB, noise_nats=0.0, slope=3.0), 3)
    assert all(one.first_certified_share == 1.0 for one in prices(rows, STEPS[:5], VOCAB, 0.0))
    with pytest.raises(ValueError, match="no steps"):
        prices(rows, [], VOCAB, 1.0)
