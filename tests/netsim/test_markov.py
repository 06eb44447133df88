"""Generated rates: a chain's long run, its fit to recordings, what is shipped."""

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from netsim.errors import NetsimError
from netsim.markov import (
    RateModel,
    RateStatistics,
    fit,
    lognormal_model,
    sampled_bps,
    statistics,
)
from netsim.trace import RateTrace, make_trace
from netsim.trace_text import parse_trace
from tests.netsim.traces import NETWORK_DATA

SECOND_US = 1_000_000
TWO = RateModel(
    name="two", origin="declared", source="a test", step_s=1.0, rates_mbps=(1.0, 9.0),
    transitions=((0.9, 0.1), (0.3, 0.7)),
)  # fmt: skip
rates = st.lists(st.integers(0, 10**8), min_size=3, max_size=60).filter(
    lambda each: max(each) >= 1_000
)


def recording(rates_bps: list[int], name: str = "r") -> RateTrace:
    return make_trace(name, [(SECOND_US, rate) for rate in rates_bps])


def of(model: RateModel, steps: int = 20_000) -> RateStatistics:
    return statistics(sampled_bps([model.generate(3, 0, steps)], model.step_s))


def test_the_long_run_is_the_chain_s_own() -> None:
    assert TWO.occupied().tolist() == pytest.approx([0.75, 0.25])
    found = of(TWO)
    assert found.mean_mbps == pytest.approx(3.0, rel=0.03)
    # Of two states the correlation is the second eigenvalue: 0.9 + 0.7 − 1.
    assert found.correlation == pytest.approx(0.6, abs=0.03)


def test_a_chain_that_goes_in_circles_settles() -> None:
    circle = TWO.model_copy(update={"transitions": ((0.0, 1.0), (1.0, 0.0))})
    assert circle.occupied().tolist() == pytest.approx([0.5, 0.5])


def test_generated_is_a_function_of_seed_and_number() -> None:
    first = TWO.generate(1, 0, 50)
    assert first == TWO.generate(1, 0, 50)
    assert first != TWO.generate(2, 0, 50)
    assert first != TWO.generate(1, 1, 50)
    assert first.period_ns == 50 * 10**9


@settings(max_examples=40)
@given(rates_bps=rates, states=st.integers(1, 8))
def test_any_recording_can_be_fitted_and_written(rates_bps: list[int], states: int) -> None:
    model = fit("m", "a test", [recording(rates_bps)], 1.0, states)
    assert len(model.rates_mbps) <= states + 1
    assert RateModel.from_json(model.to_json(), "m") == model
    for row in model.transitions:
        assert math.fsum(row) == pytest.approx(1.0)
    shares = model.occupied()
    assert min(shares) >= 0
    assert model.generate(1, 0, 5_000).mean_bps > 0


def test_a_fit_to_a_chain_finds_the_chain() -> None:
    found = fit("again", "a test", [TWO.generate(5, 0, 50_000)], 1.0, 8)
    for row, expected in zip(found.transitions, TWO.transitions, strict=True):
        assert row == pytest.approx(expected, abs=0.02)
    assert found.rates_mbps == pytest.approx(TWO.rates_mbps, rel=1e-6)


def test_recordings_are_not_joined() -> None:
    low, high = [1_000_000] * 30, [9_000_000] * 30
    model = fit("m", "a test", [recording(low), recording(high)], 1.0, 2)
    assert model.transitions == ((1.0, 0.0), (0.0, 1.0))


def test_outages_have_a_state_of_their_own() -> None:
    model = fit("m", "a test", [recording([5_000_000, 0, 0, 5_000_000, 7_000_000] * 9)], 1.0, 2)
    assert model.rates_mbps[0] == 0
    assert model.transitions[0][0] == pytest.approx(0.5)
    assert of(model).without == pytest.approx(0.4, abs=0.02)


@pytest.mark.parametrize(
    ("rates_bps", "step_s", "says"),
    [([0, 0, 500], 1.0, "carry nothing"), ([10**6] * 3, 2.0, "less than two steps")],
)
def test_what_cannot_be_fitted(rates_bps: list[int], step_s: float, says: str) -> None:
    with pytest.raises(NetsimError, match=says):
        fit("m", "a test", [recording([*rates_bps[:-1], rates_bps[-1]])], step_s, 3)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ('"transitions":[[0.9,0.1]]', "2 rates need 2 rows"),
        ('"transitions":[[0.9,0.2],[0.3,0.7]]', "row 0 is no distribution"),
        ('"rates_mbps":[0,0]', "every rate is 0"),
        ('"rates_mbps":[1,200000]', "100 Gbit/s"),
        ('"step_s":0', "greater than 0"),
        ('"colour":1', "colour"),
    ],
)
def test_bad_files_are_told(change: str, says: str) -> None:
    text = TWO.model_dump_json()
    key = change.split(":", maxsplit=1)[0]
    if key in text:
        start = text.index(key)
        stop = text.find(',"', start)
        text = text[:start] + change + (text[stop:] if stop > 0 else "}")
    else:
        text = text[:-1] + "," + change + "}"
    with pytest.raises(NetsimError, match=f"m.json: .*{says}.*fit-trace"):
        RateModel.from_json(text, "m.json")


def test_published_figures_become_a_chain() -> None:
    sigma = math.log(226 / 20) / 1.6448536
    model = lognormal_model(
        "5g", "a test", median_mbps=20, sigma=sigma, correlation=0.9, step_s=1.0
    )
    found = of(model, 40_000)
    assert found.p50_mbps == pytest.approx(20, rel=0.25)  # of ten states, none lies in the middle
    assert found.p95_mbps == pytest.approx(226, rel=0.1)
    assert found.correlation == pytest.approx(0.9, abs=0.02)
    assert model.origin == "published"


@pytest.mark.parametrize(
    ("folder", "pattern"),
    [("3g_hsdpa_norway", "*.log"), ("lte_ghent", "*.json"), ("wifi_solis", "*.txt")],
)
def test_a_fit_has_the_statistics_of_its_recordings(folder: str, pattern: str) -> None:
    files = sorted((NETWORK_DATA / folder).glob(pattern))
    if not files:
        pytest.skip(f"no recordings in {NETWORK_DATA / folder}")
    traces = [parse_trace(path.read_text(encoding="utf-8"), path.name) for path in files]
    recorded = statistics(sampled_bps(traces, 1.0))
    generated = of(fit(folder, "a test", traces, 1.0, 10), 50_000)
    assert generated.mean_mbps == pytest.approx(recorded.mean_mbps, rel=0.06)
    assert generated.p5_mbps == pytest.approx(recorded.p5_mbps, rel=0.1)
    assert generated.p50_mbps == pytest.approx(recorded.p50_mbps, rel=0.1)
    assert generated.p95_mbps == pytest.approx(recorded.p95_mbps, rel=0.1)
    assert generated.correlation == pytest.approx(recorded.correlation, abs=0.05)
    assert generated.without == pytest.approx(recorded.without, abs=0.005)


def test_step_files_are_read(tmp_path: Path) -> None:
    path = tmp_path / "m.json"
    path.write_text(TWO.to_json(), encoding="utf-8")
    assert RateModel.from_json(path.read_text(encoding="utf-8"), "m") == TWO
