"""Statistics of rows whose shape is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from actors.values.generated import GeneratedConfig, RowSource
from experiments.logits.shown import draw_exceedance, generator_settings, statistics_table
from experiments.logits.statistics import centred, exceedance, measure

STEPS = [(0, position) for position in range(40)]


def source(**changes: object) -> RowSource:
    return RowSource(GeneratedConfig(vocab_size=20_000, **changes), 3)  # type: ignore[arg-type]


def test_a_normal_delta_is_found_normal() -> None:
    found = measure(source(sigma=0.7, boosted=0), STEPS)
    assert found.delta_sd_nats == pytest.approx(0.7, rel=0.02)
    assert found.delta_body_nats == pytest.approx(0.7, rel=0.02)
    assert found.delta_kurtosis == pytest.approx(0.0, abs=0.1)
    assert found.correlation == pytest.approx(0.0, abs=0.01)
    assert found.raised < 0.1
    assert "tail: normal" in generator_settings(found)


def test_a_laplace_delta_and_raised_tokens_are_found() -> None:
    laplace = measure(source(sigma=0.7, boosted=0, tail="laplace"), STEPS)
    assert laplace.delta_sd_nats == pytest.approx(0.7, rel=0.03)
    assert laplace.delta_kurtosis == pytest.approx(3.0, abs=0.5)
    assert "tail: laplace" in generator_settings(laplace)
    assert "sigma: 0.7" in generator_settings(laplace)
    raised = measure(source(sigma=0.1, boosted=3, boost_nats=(2.0, 3.0)), STEPS)
    assert raised.raised == pytest.approx(3.0, rel=0.1)
    assert 1.8 < raised.raised_nats[0] < raised.raised_nats[1] < 3.5


def test_the_head_is_found_and_a_constant_added_to_delta_is_not() -> None:
    rows = source(slope=3.0, slope_spread=0.0, highest=(20.0, 21.0), noise_nats=0.05)
    found = measure(rows, STEPS)
    assert found.slope == pytest.approx(3.0, rel=0.05)
    assert 19.5 < found.highest[0] < found.highest[1] < 21.5
    moved_V: npt.NDArray[np.float32] = rows.delta(0, 0) + np.float32(5)
    np.testing.assert_allclose(centred(moved_V), centred(rows.delta(0, 0)), atol=1e-5)


def test_exceedance_falls_from_one_and_is_drawn(tmp_path: Path) -> None:
    x_P, share_P = exceedance(source(), STEPS[:5])
    assert share_P[0] == pytest.approx(1.0, abs=0.01)
    assert (np.diff(share_P) <= 0).all()
    assert x_P[0] == 0
    path = tmp_path / "delta.svg"
    draw_exceedance(source(), STEPS[:5], path)
    assert path.read_text(encoding="utf-8").lstrip().startswith("<?xml")
    assert "V = 20,000" in statistics_table(measure(source(), STEPS[:5]))
    with pytest.raises(ValueError, match="no steps"):
        measure(source(), [])
