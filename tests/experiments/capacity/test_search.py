"""The search for the largest fleet, and what is asked of one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.errors import ConfigError
from experiments.capacity.search import Found, largest_fleet
from experiments.capacity.slo import Slo, parse_slos
from experiments.capacity.study import _step


@given(
    st.integers(0, 5000),
    st.integers(1, 3000),
    st.integers(1, 4000),
    st.sampled_from((1.1, 2.0)),
)
def test_any_threshold_is_found_within_the_tolerance(
    threshold: int, limit: int, first: int, stride: float
) -> None:
    asked: list[int] = []

    def keeps(devices: int) -> bool:
        asked.append(devices)
        return devices <= threshold

    found = largest_fleet(keeps, limit=limit, first=first, stride=stride)
    assert len(asked) == len(set(asked)) <= 40
    assert all(1 <= devices <= limit for devices in asked)
    if threshold >= limit:
        assert found == Found(limit, None)
        return
    assert found.beyond is not None
    assert found.devices <= threshold < found.beyond
    assert found.beyond - found.devices <= max(1, 0.02 * found.devices)
    if threshold == 0:
        assert found == Found(0, 1)


@given(st.integers(1, 5000), st.floats(0.0, 0.02))
def test_an_answer_that_stands_is_confirmed_by_two_fleets(devices: int, wide: float) -> None:
    beyond = devices + max(1, int(wide * devices))
    asked: list[int] = []

    def keeps(fleet: int) -> bool:
        asked.append(fleet)
        return fleet < beyond

    stride = _step({"devices": devices, "beyond": beyond})
    found = largest_fleet(keeps, limit=10_000, first=devices, stride=stride)
    assert found.devices == devices
    assert found.beyond is not None
    assert found.beyond - devices <= max(1, 0.02 * devices)
    assert asked[0] == devices
    assert len(asked) == 2


def test_a_near_beginning_saves_fleets() -> None:
    def fleets(first: int, stride: float) -> int:
        asked: list[int] = []

        def keeps(devices: int) -> bool:
            asked.append(devices)
            return devices <= 1000

        largest_fleet(keeps, limit=100_000, first=first, stride=stride)
        return len(asked)

    assert fleets(1010, 1.1) < fleets(1, 2.0)


def test_objectives_are_read() -> None:
    assert parse_slos(["itl_p95=0.2", "ttft_mean=1.5"]) == (
        Slo("itl", "p95", 0.2),
        Slo("ttft", "mean", 1.5),
    )
    slo = Slo("itl", "p95", 0.2)
    assert slo.title == "ITL p95 ≤ 200 ms"
    assert slo.measured_s({"itl_s": {"p95": 0.1}}) == 0.1


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ("ttf_p95=0.2", "did you mean 'ttft_p95'?"),
        ("latency=1", "known are ttft_p50"),
        ("itl_p95", "as in itl_p95=0.2"),
        ("itl_p95=soon", "positive number of seconds"),
        ("itl_p95=-1", "positive number of seconds"),
        ("itl_p95=nan", "positive number of seconds"),
    ],
)
def test_what_cannot_be_an_objective_is_refused(given: str, told: str) -> None:
    with pytest.raises(ConfigError, match=told.replace("?", r"\?")):
        parse_slos([given])


def test_an_objective_is_given_once() -> None:
    with pytest.raises(ConfigError, match="given twice"):
        parse_slos(["itl_p95=0.2", "itl_p95=0.3"])
