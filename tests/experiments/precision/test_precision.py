"""Choices that turn are counted against the same prefixes; narrow ones are told of every run."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from actors.models.numerics import Numerics
from experiments.cli import main
from experiments.precision.shown import precision_text
from experiments.precision.study import study_precision
from experiments.progress import NoProgress
from experiments.results.narrow import narrow_choices, narrow_sentence
from experiments.scenario import Scenario
from tests.experiments.small_runs import random_pair, scenario


def of_random_pair() -> Scenario:
    return scenario(values="models", models=random_pair(), workload={"max_new_tokens": 4})


def test_the_reference_does_not_turn_and_bf16_is_coarser_than_fp32() -> None:
    found = study_precision(of_random_pair(), 4, 6, NoProgress())
    assert [row.numerics for row in found] == ["batch-invariant", "fp32", "bf16"] * 2
    for reference, fp32, bf16 in (found[:3], found[3:]):
        assert reference.tokens == 24
        assert reference.batch_flips == reference.reference_flips == 0
        assert reference.batch_nats == reference.reference_nats == 0
        assert fp32.batch_nats < 1e-4 < bf16.reference_nats
        assert fp32.reference_nats < bf16.reference_nats
        assert 0 <= fp32.margin_p1 <= fp32.margin_p10
    text = precision_text(found)
    assert "A model's first line (batch-invariant) is its reference." in text


def test_a_large_models_reference_is_float32() -> None:
    found = study_precision(of_random_pair(), 2, 2, NoProgress(), large=True)
    assert [row.numerics for row in found] == ["fp32", "bf16"] * 2
    assert found[0].reference_nats == 0


def tokens(**columns: list[object]) -> pd.DataFrame:
    return pd.DataFrame(columns)


def test_narrow_choices_are_those_within_the_noise() -> None:
    frame = tokens(
        arm=[0, 0, 1, 1, 2],
        method=["slm_with", "slm_with", "costeer", "costeer", "llm_without"],
        strength=["", "", "1.5", "1.5", ""],
        margin=[0.2, 0.3, 0.9, 1.1, 0.0],
    )
    assert narrow_choices(frame, Numerics.BATCH_INVARIANT) is None
    found = narrow_choices(frame, Numerics.BF16)
    assert found is not None
    # 0.25 nats a logit; steered, 0.25 · (1 + 2 · 1.5) = 1. Streamed choices tell no margin.
    assert found["narrow_share"] == {"0": 0.5, "1": 0.5}
    said = narrow_sentence(found, {"0": "slm_with", "1": "costeer"})
    assert "slm_with 50.0 %, costeer 50.0 %" in said


def test_runs_that_round_as_the_batch_goes_say_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--set", "models.numerics=bf16", "--set", "workload.max_new_tokens=4"]
    assert main(["run", "tiny", "--address", "none", "--out", str(tmp_path / "r"), *options]) == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "numerics bf16: choices won by less than what a logit may differ by" in shown
