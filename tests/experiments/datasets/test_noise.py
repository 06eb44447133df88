"""Noise adds other users' lines, and takes nothing away."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.errors import ConfigError
from experiments.datasets.noise import with_noise
from experiments.datasets.row import PromptRow
from experiments.workload import load_rows


def row(number: int, context: str) -> PromptRow:
    query = f"Question {number}?"
    return PromptRow(id=str(number), input=query, personalized_input=context + query, output="o")


LINES = [row(n, "".join(f"fact {n}.{line}\n" for line in range(4)) + "\n") for n in range(5)]


@given(st.sampled_from([0.25, 0.5, 1.0, 2.0]), st.integers(0, 99))
def test_own_lines_stay_in_order_among_foreign_ones(rate: float, seed: int) -> None:
    for before, after in zip(LINES, with_noise(LINES, rate, seed), strict=True):
        own = before.personalized_input.splitlines()[:-2]
        mixed = after.personalized_input.splitlines()[:-2]
        assert [line for line in mixed if line in own] == own
        foreign = [line for line in mixed if line not in own]
        assert len(foreign) == round(rate * len(own))
        assert all(line.startswith("fact ") for line in foreign)
        assert after.personalized_input.endswith(f"\n\n{before.input}")
        assert after.input == before.input


def test_no_noise_changes_nothing() -> None:
    assert with_noise(LINES, 0.0) == tuple(LINES)


def test_the_shipped_rows_get_foreign_attributes() -> None:
    plain, noisy = load_rows("dev", 6), load_rows("dev", 6, noise=1.0, seed=3)
    for before, after in zip(plain, noisy, strict=True):
        own = before.personalized_input.removesuffix(f". {before.input}").split(", ")
        mixed = after.personalized_input.removesuffix(f". {after.input}").split(", ")
        assert not Counter(own) - Counter(mixed)
        assert len(mixed) == 2 * len(own)
    assert noisy != load_rows("dev", 6, noise=1.0, seed=4)


def test_what_cannot_be_told_apart_is_refused() -> None:
    odd = PromptRow(id="a", input="x", personalized_input="x, for me", output="")
    with pytest.raises(ConfigError, match="does not end in its input"):
        with_noise([odd, *LINES], 1.0)
    with pytest.raises(ConfigError, match="give two or more"):
        with_noise(LINES[:1], 1.0)
