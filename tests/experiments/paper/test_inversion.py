"""Table 3 read backwards: it gives the published speeds, and the machines give the same times."""

from __future__ import annotations

import json

import pytest

from actors.values.null import NullCloudHost, NullConfig, NullEdgeHost
from experiments import cli
from experiments.paper.inversion import DENSE_BYTES, ITERATIONS, Reading, readings, remedies
from netsim.hardware import Fixed
from netsim.transport import IDEAL
from tests.actors import fleets

PACKED = 173


@pytest.mark.parametrize("reading", readings(), ids=lambda reading: reading.name)
def test_both_readings_give_the_three_published_speeds(reading: Reading) -> None:
    assert 1 / reading.llm_s == pytest.approx(23.88)
    assert 1 / reading.token_s(1) == pytest.approx(13.73)
    assert 1 / reading.token_s(ITERATIONS) == pytest.approx(9.44)
    assert reading.iteration_s == pytest.approx(1.742e-3, rel=1e-3)


def test_what_helps_tells_the_readings_apart() -> None:
    link, slm = (remedies(reading, PACKED) for reading in readings())
    assert link["scalar form"] == slm["scalar form"] == pytest.approx(13.73)
    assert link["top-64"] > 1.3 * link["as published"]
    assert link["overlap"] == link["as published"]
    assert slm["top-64"] == slm["as published"]
    assert slm["overlap"] > 1.3 * slm["as published"]
    for each in (link, slm):
        assert 0.9 * each["vanilla"] < each["all three"] < each["vanilla"]


@pytest.mark.parametrize("index", [0, 1])
def test_the_machines_take_as_long_as_the_readings_with_overlap_say(index: int) -> None:
    reading = readings()[index]
    rate_bps = round(8 * DENSE_BYTES / reading.transfer_s) if reading.transfer_s else 0
    size = DENSE_BYTES if reading.transfer_s else 0
    config = NullConfig(payload_bytes=size, vocab_size=fleets.VOCAB, first_token=10, period=100)
    hosts = fleets.hosts_of(lambda: NullCloudHost(config), lambda: NullEdgeHost(config), 1, None)
    where = fleets.link(propagation_ns=0, rate_bps=rate_bps)
    assert where.transport == IDEAL
    plan = fleets.arm_plan(
        "costeer", [fleets.device(0, where=where, hardware="papers")], codec="dense-fp16"
    )
    terms = fleets.begin(plan, hosts)
    edge = Fixed(forward=round(reading.slm_s * 1e9), steer=round(reading.iteration_s * 1e9))
    with pytest.MonkeyPatch.context() as patched:
        patched.setitem(fleets.EDGE_COSTS, "papers", edge)
        run = fleets.driver_of(plan, hosts, cloud_cost=Fixed(forward=round(reading.llm_s * 1e9)))
        found = run.run()
    assert terms.name.startswith("dense")
    later = [row.record.latency_ns for row in found.tokens if row.record.position > 0]
    expected = max(reading.llm_s + reading.transfer_s, reading.slm_s) + reading.iteration_s
    # Packets and TLS records have headers, which the paper's arithmetic knows nothing of.
    assert sum(later) / len(later) / 1e9 == pytest.approx(expected, rel=0.02)


def test_the_command_names_what_was_fitted(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["evaluate", "table3-inverse"]) == 0
    printed = capsys.readouterr().out
    assert "calibration, not measurement" in printed
    assert "83 Mbit/s" in printed
    assert cli.main(["evaluate", "table3-inverse", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in told["readings"]] == ["link-bound", "SLM-bound"]
