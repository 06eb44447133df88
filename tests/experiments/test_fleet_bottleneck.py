"""What would help a fleet: run, not guessed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from costeer.errors import ConfigError
from experiments.fleet.bottleneck import (
    WHAT_IFS,
    find_bottleneck,
    fleet_columns,
    gain_columns,
    one_more_gpu,
    share_columns,
)
from experiments.planning import plan_cell
from experiments.progress import LineProgress, NoProgress
from experiments.results import load
from experiments.results.grid import text_table
from experiments.scenario import Scenario, Sticky, Weighted
from tests.experiments.small_fleets import fleet, interpret, whole


@pytest.fixture(autouse=True)
def _interpreted(monkeypatch: pytest.MonkeyPatch) -> None:
    interpret(monkeypatch)


def test_what_would_help_is_run_and_not_guessed(tmp_path: Path) -> None:
    given = fleet(
        12, 2, cloud={"max_batch": 1}, fleet={"arrivals": {"kind": "closed", "think_s": 0.1}}
    )
    found = find_bottleneck(given, tmp_path / "runs", "none", NoProgress())
    assert list(found) == [each.name for each in WHAT_IFS]
    rows = {name: whole(summary)[0] for name, summary in found.items()}
    base = rows["as it is"]
    assert rows["one more GPU"]["replicas"] == 3
    assert rows["one more GPU"]["breakdown_s"]["cloud_queue"] < base["breakdown_s"]["cloud_queue"]
    lighter = rows["a tenth of the bytes"]
    assert lighter["payload_bytes_down_per_token"] == pytest.approx(17)
    assert base["payload_bytes_down_per_token"] == 165
    halved = rows["half the RTT"]["breakdown_s"]
    assert halved["uplink"] == pytest.approx(base["breakdown_s"]["uplink"] / 2, rel=0.35)
    for columns in (share_columns(found["as it is"]["classes"]), gain_columns(found)):
        assert "phone-npu" in text_table(columns)
    assert "one more GPU" in text_table(fleet_columns(found))
    assert load(tmp_path / "runs" / "half-the-rtt").complete


def test_one_more_gpu_stands_where_devices_are_placed() -> None:
    weighted = fleet(12, 2, fleet={"placement": {"kind": "weighted", "weights": [1, 3]}})
    assert one_more_gpu(weighted).fleet.placement == Weighted(weights=(1, 3, 2))
    regions = [{"share": 0.3, "replicas": 1}, {"share": 0.7, "replicas": 2}]
    sticky = fleet(12, 3, fleet={"placement": {"kind": "sticky", "regions": regions}})
    more = one_more_gpu(sticky)
    # 0.35 of all devices share a replica there, 0.3 in the other region.
    assert isinstance(more.fleet.placement, Sticky)
    assert [each.replicas for each in more.fleet.placement.regions] == [1, 3]
    for made in (one_more_gpu(weighted), more, one_more_gpu(fleet(12, 2))):
        again = Scenario.model_validate(made.model_dump(mode="json"))
        cells = [plan_cell(again, cell) for cell in range(again.cloud.replicas)]
        assert sorted(int(each) for cell in cells for each in cell.device_D) == list(range(12))


def test_a_bottleneck_is_a_fleet_s(tmp_path: Path) -> None:
    virtual = fleet(4, 1).model_copy(update={"way": "virtual"})
    with pytest.raises(ConfigError, match="add --set way=fleet"):
        find_bottleneck(virtual, tmp_path, "none", LineProgress(sys.stderr))
