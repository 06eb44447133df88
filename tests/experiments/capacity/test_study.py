"""A whole study on small fleets: what it finds is what was built in."""

from __future__ import annotations

import json
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import pytest

from experiments import cli
from experiments.capacity import study
from experiments.capacity.chain import Chain, run_chain
from experiments.capacity.changes import DEVICE, EGRESS, KV
from experiments.capacity.page import write_page
from experiments.capacity.slo import parse_slos
from experiments.capacity.store import Store
from experiments.capacity.study import Question, run_study
from experiments.capacity.tables import findings
from experiments.progress import NoProgress
from experiments.scenario import Scenario, dump_scenario
from tests.experiments.small_runs import scenario

ONE_LINK = {
    "devices": 8,
    "arrivals": {"kind": "closed", "think_s": 0.05, "requests_per_device": 2},
    "classes": [{"share": 1.0, "link": "cable", "hardware": "orin-agx"}],
}


def narrow(**changes: Any) -> Scenario:
    """An egress so narrow that it is full before anything else."""
    given: dict[str, Any] = {
        "values": "null",
        "fleet": ONE_LINK,
        "cloud": {"egress_mbps": 0.2},
        "arms": [{"method": "costeer", "codec": "top8-bf16-naive"}],
        "workload": {"max_new_tokens": 3},
    }
    return scenario(**given | changes)


def carried_out(asked: Scenario, path: Path, *slos: str, **given: Any) -> dict[str, Any]:
    given = {"limit": 60, "repeats": 1, "sensitivity": False} | given
    question = Question(asked, parse_slos(slos), **given)
    with pytest.MonkeyPatch.context() as patched:
        # All of them take their time; which ones there are is the business of test_changes.
        patched.setattr(study, "RESOURCES", (EGRESS, KV))
        patched.setattr(study, "COSTS", (EGRESS, DEVICE))
        return run_study(question, Store(path, resume=True), "none", 1, NoProgress())


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    path = tmp_path_factory.mktemp("capacity") / "out"
    return carried_out(narrow(), path, "itl_p95=0.3", repeats=2, sensitivity=True), path


def test_the_resource_that_was_made_scarce_is_what_limits(full: Any) -> None:
    found, _ = full
    (row,) = found["results"]
    assert 1 < row["devices"] < 60
    assert (row["guess"]["resource"], row["limit"]) == ("egress", "egress")
    assert row["devices_low"] <= row["devices"] <= row["devices_high"]
    assert row["at_capacity"]["met"]
    assert not row["beyond"]["met"]
    gains = {each["resource"]: each["gain"] for each in row["reliefs"]}
    assert gains["egress"] == pytest.approx(2.0, rel=0.3)
    assert gains["kv"] < 1.1
    egress = next(each for each in row["sensitivity"] if each["cost"] == "egress")
    assert egress["change_cheaper"] > 0 > egress["change_dearer"]
    assert len(row["sensitivity"]) == 2


def test_the_compiled_way_answers_as_virtual_does(tmp_path: Path) -> None:
    """Equal event by event, so equal in every mean; other tests make the same machine code."""
    asked = narrow().model_copy(update={"way": "fleet"})
    found = carried_out(asked, tmp_path, "itl_mean=0.25", limit=30)
    (row,) = found["results"]
    assert 1 < row["devices"] < 30
    assert (row["guess"]["resource"], row["limit"]) == ("egress", "egress")
    slos = parse_slos(["itl_mean=0.25"])
    virtual = run_chain(Chain("", dump_scenario(narrow()), slos, limit=30, first=8, baseline=1))
    assert virtual["devices"] == row["devices"]
    theirs = {point["devices"]: point for point in virtual["points"]}
    mine = {point["devices"]: point for point in row["curve"]}
    assert set(theirs) <= set(mine)
    for devices, point in theirs.items():
        assert mine[devices]["slo"]["itl_mean"] == pytest.approx(point["slo"]["itl_mean"], rel=1e-9)
        assert mine[devices]["in_time_share"] == pytest.approx(point["in_time_share"])


def test_goodput_falls_beyond_the_knee(full: Any) -> None:
    (row,) = full[0]["results"]
    good = [(p["devices"], p["in_time_share"]) for p in row["curve"]]
    assert [devices for devices, _ in good] == sorted(devices for devices, _ in good)
    assert good[0][1] == 1.0
    assert good[-1][1] < 0.5


def test_a_page_with_figures_tables_and_their_data(full: Any) -> None:
    found, path = full
    page = write_page(path, found).read_text(encoding="utf-8")
    assert "How many devices can one replica of small serve?" in page
    for name in ("curves", "reliefs", "sensitivity"):
        ET.parse(path / "plots" / f"{name}.svg")  # noqa: S314 - our own file
        assert len((path / "plots" / f"{name}.csv").read_text().splitlines()) >= 3
        assert f'id="{name}"' in page
    assert "egress" in (path / "tables" / "capacity.md").read_text()
    (sentence,) = findings(found)
    assert "Re-run, this holds: an egress twice as wide" in sentence


def test_a_finished_study_is_not_run_again(full: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    found, path = full

    def never(_: object) -> dict[str, Any]:
        raise AssertionError("run again")

    monkeypatch.setattr(study, "run_chain", never)
    again = carried_out(narrow(), path, "itl_p95=0.3", repeats=2, sensitivity=True)
    assert again == found


def test_a_stopped_study_keeps_what_it_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ran: list[str] = []

    def some(chain: Any) -> dict[str, Any]:
        if len(ran) == 2:
            raise KeyboardInterrupt
        ran.append(chain.id)
        return run_chain(chain)

    monkeypatch.setattr(study, "run_chain", some)
    with pytest.raises(KeyboardInterrupt):
        carried_out(narrow(), tmp_path, "itl_p95=0.3")
    kept = {file.stem for file in (tmp_path / "chains").glob("*.json")}
    assert kept == set(ran)
    ran.clear()

    def rest(chain: Any) -> dict[str, Any]:
        ran.append(chain.id)
        return run_chain(chain)

    monkeypatch.setattr(study, "run_chain", rest)
    assert carried_out(narrow(), tmp_path, "itl_p95=0.3")["complete"]
    assert not set(ran) & kept


def test_no_fleet_keeps_what_one_device_breaks(tmp_path: Path) -> None:
    asked = narrow(cloud={"egress_mbps": 1000}, fleet=ONE_LINK | {"devices": 2})
    found = carried_out(asked, tmp_path, "itl_p95=0.01")
    (row,) = found["results"]
    assert (row["devices"], row["unbroken"]) == (0, False)
    (sentence,) = findings(found)
    assert "no fleet keeps itl_p95 ≤ 0.01 s: one device alone breaks it (itl_p95 = 0.0" in sentence
    write_page(tmp_path, found)


def test_what_is_never_broken_is_said_with_the_limit(tmp_path: Path) -> None:
    found = carried_out(narrow(), tmp_path, "itl_p95=60", limit=12)
    (row,) = found["results"]
    assert row["unbroken"]
    assert not row["reliefs"]
    assert "never broken, up to the limit of 12 devices" in findings(found)[0]
    write_page(tmp_path, found)


def test_memory_limits_what_waits_for_it(tmp_path: Path) -> None:
    asked = narrow(cloud={"kv_tokens": 60, "egress_mbps": 1000})
    found = carried_out(asked, tmp_path, "ttft_p95=0.4")
    (row,) = found["results"]
    assert row["guess"]["resource"] == "kv"
    gains = {each["resource"]: each["gain"] for each in row["reliefs"]}
    assert gains["kv"] > 1.5


def test_the_command_prints_or_tells_json(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "narrow.yaml"
    file.write_text(dump_scenario(narrow()), encoding="utf-8")
    asked = ["capacity", str(file), "--slo", "itl_p95=0.3", "--limit", "30", "--repeats", "1"]
    asked += ["--address", "none", "--no-sensitivity", "--out", str(tmp_path / "out")]
    monkeypatch.setattr(study, "RESOURCES", ())
    assert cli.main(asked) == 0
    printed = capsys.readouterr().out
    assert "limited by" in printed
    assert "report:" in printed
    assert cli.main(asked) == cli.EXIT_USER
    assert "--resume" in capsys.readouterr().err
    assert cli.main([*asked, "--resume", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["slo"] == {"itl_p95": 0.3}


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["overhead", "--slo", "itl_p90=1"], "no objective 'itl_p90'"),
        (["overhead"], "--slo"),
        (["live", "--slo", "itl_p95=1"], "choose way: virtual or fleet"),
        (["overhead", "--slo", "itl_p95=1", "--jobs", "2", "--address", "none"], "--jobs 2"),
    ],
)
def test_bad_input_is_one_line(
    given: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["capacity", *given]) == cli.EXIT_USER
    assert told in capsys.readouterr().err
