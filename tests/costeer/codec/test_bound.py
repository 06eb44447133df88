"""The yardsticks against cases with a known answer."""

from __future__ import annotations

import math

import numpy as np
import pytest

from costeer.codec import CodecConfig, build_codec
from costeer.codec.bound import adaptive_bits, gaps, ids_bits, steps
from costeer.codec.values import Bf16


@pytest.mark.parametrize(("vocab_size", "k"), [(10, 3), (200, 200), (1000, 1)])
def test_ids_bits_count_the_choices(vocab_size: int, k: int) -> None:
    assert ids_bits(vocab_size, k) == pytest.approx(math.log2(math.comb(vocab_size, k)), abs=1e-6)


def test_the_figures_of_a_full_vocabulary() -> None:
    found = [round(ids_bits(151_936, k) / 8) for k in (64, 256, 1024)]
    assert found == [101, 340, 1107]


def test_constant_numbers_cost_next_to_nothing_and_noise_its_bits() -> None:
    assert adaptive_bits(np.zeros(500, np.int64)) < 10
    noise_N = np.random.default_rng(1).integers(0, 2**10, 4000)
    assert adaptive_bits(noise_N) / 4000 == pytest.approx(10.0, abs=0.15)
    assert adaptive_bits(np.zeros(0, np.int64)) == 0.0


def test_geometric_numbers_come_near_their_entropy() -> None:
    p = 0.02
    numbers_N = np.random.default_rng(2).geometric(p, 5000) - 1
    entropy = -(p * math.log2(p) + (1 - p) * math.log2(1 - p)) / p
    assert entropy < adaptive_bits(numbers_N) / 5000 < 1.03 * entropy


def test_gaps_and_steps_are_the_numbers_of_the_packed_layout() -> None:
    row = np.full(50, -200.0, np.float32)
    row[[4, 5, 30]] = [2.0, -1.0, 0.5]
    codec = build_codec(CodecConfig.model_validate("top3-bf16-packed"), 50)
    sent = codec.decode(codec.encode(row))
    assert gaps(sent).tolist() == [4, 0, 24]
    # Codes: 2.0 and 0.5 are 256 apart (two octaves of 128); from −1.0 to 0.5 only the sign changes
    # and one octave is left, once codes below 0.5 in magnitude are taken out.
    assert steps(Bf16().words(sent.logits_K)).tolist() == [386, 0, 130]
