"""Links that follow recordings: from a scenario's files to the frames of a run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from costeer.errors import ConfigError
from experiments import cli
from experiments.links import class_links, shipped_model, shipped_rates
from experiments.planning import plan_workload
from experiments.results import load
from netsim.carriage import UNLIMITED
from netsim.errors import NetsimError
from tests.experiments.small_runs import digests, run, scenario


def classes(link: dict[str, Any], **changes: Any) -> dict[str, Any]:
    one = {"share": 1.0, "link": link, "hardware": "phone-npu"} | changes
    arrivals = {"kind": "closed", "think_s": 0.01, "requests_per_device": 2}
    return {"devices": 3, "arrivals": arrivals, "classes": [one]}


@pytest.fixture
def drive(tmp_path: Path) -> Path:
    path = tmp_path / "drive.txt"
    path.write_text("0 4\n1 0.05\n2 1\n3 0\n3.5 6\n", encoding="utf-8")
    return path


def test_devices_have_their_own_place_in_the_recording(drive: Path, tmp_path: Path) -> None:
    up = tmp_path / "drive.up"
    up.write_text("1\n5\n9\n", encoding="utf-8")
    link = {"profile": "lte", "trace": {"down": str(drive), "up": str(up), "max_wait_s": 3}}
    given = scenario(fleet=classes(link))
    devices = plan_workload(given).devices
    traces = [each.link.down.trace for each in devices]
    assert len({each.offset_ns for each in traces if each}) == 3
    assert {each.max_wait_ns for each in traces if each} == {3_000_000_000}
    # What was read is there once, however many devices follow it.
    assert len({id(each.carried) for each in traces if each}) == 1
    assert all(each.link.up.trace for each in devices)
    assert {each.link_class for each in devices} == {"lte(trace: down=drive.txt, up=drive.up)"}
    same = {"profile": "lte", "trace": {"down": str(drive), "up": str(up), "offset_s": 1.25}}
    together = plan_workload(scenario(fleet=classes(same))).devices
    assert {each.link.down.trace.offset_ns for each in together if each.link.down.trace} == {
        1_250_000_000
    }


@pytest.mark.parametrize("transport", ["tcp", "datagram", "ideal"])
def test_a_run_over_a_trace_is_the_same_again_and_changes_no_token(
    drive: Path, tmp_path: Path, transport: str
) -> None:
    link = {"profile": "lte", "transport": transport}
    constant = run(scenario(fleet=classes(link)), tmp_path / "constant")
    traced = scenario(fleet=classes(link | {"trace": {"down": str(drive)}}))
    first, again = (run(traced, tmp_path / name) for name in ("first", "again"))
    assert digests(first) == digests(again)
    assert [each[0] for each in digests(first)] == [each[0] for each in digests(constant)]
    assert [each[1] for each in digests(first)] != [each[1] for each in digests(constant)]
    assert set(load(tmp_path / "first").requests["link_class"]) == {
        class_links(traced.fleet, 1)[0].name
    }


def test_an_outage_ends_the_run_and_says_whose(tmp_path: Path) -> None:
    path = tmp_path / "tunnel.txt"
    path.write_text("0 9\n0.2 0\n40 9\n40.1 9\n", encoding="utf-8")
    trace = {"down": str(path), "offset_s": 0, "max_wait_s": 10}
    with pytest.raises(NetsimError, match=r"device \d, downlink: at .* s .*tunnel\.txt.*10 s"):
        run(scenario(fleet=classes({"profile": "lte", "trace": trace})), tmp_path / "run")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        (None, r"fleet\.classes\.0\.link\.trace\.up: .*bad\.txt: no such file.*give a trace"),
        ("0 1\n1 nan\n", r"trace\.up: bad\.txt: line 2: 'nan' is not a finite number"),
        ("0 9000000\n", r"trace\.up: bad\.txt: at 0 s: 9e\+06 Mbit/s .* was it meant in kbit/s"),
        ("\xff", "not text at byte 0"),
    ],
)
def test_a_bad_file_is_named_by_its_key(tmp_path: Path, text: str | None, says: str) -> None:
    path = tmp_path / "bad.txt"
    if text is not None:
        path.write_text(text, encoding="latin-1")
    with pytest.raises(ConfigError, match=says):
        plan_workload(scenario(fleet=classes({"profile": "lte", "trace": {"up": str(path)}})))


def test_what_is_shared_has_a_constant_rate() -> None:
    link = {"profile": "lte", "trace": {"down": "drive.txt"}}
    with pytest.raises(ValidationError, match="cell that devices share has a constant rate"):
        scenario(fleet=classes(link, shared_by=2))
    with pytest.raises(ValidationError, match="egress_sharing: ps shares constant rates"):
        scenario(fleet=classes(link), cloud={"egress_sharing": "ps"})


def test_devices_of_a_class_that_spreads_have_links_of_their_own(tmp_path: Path) -> None:
    given = scenario(fleet=classes({"profile": "4g-eu", "spread": True}))
    devices = plan_workload(given).devices
    assert {each.link_class for each in devices} == {"4g-eu(spread)"}
    assert len({each.link.down.rate_bps for each in devices}) == 3
    assert len({each.link.rtt_ns for each in devices}) == 3
    assert all(each.link.spread is None for each in devices)
    first, again = (run(given, tmp_path / name) for name in ("first", "again"))
    alike = run(scenario(fleet=classes({"profile": "4g-eu"})), tmp_path / "alike")
    assert digests(first) == digests(again)
    assert [each[0] for each in digests(first)] == [each[0] for each in digests(alike)]
    with pytest.raises(ValidationError, match="devices that share a cell have one rate"):
        scenario(fleet=classes({"profile": "4g-eu", "spread": True}, shared_by=2))


def test_without_a_trace_a_class_has_its_profile() -> None:
    links = class_links(scenario().fleet, 1)
    assert [each.name for each in links] == ["4g-eu", "cable"]
    assert all(each.down.rate_bps != UNLIMITED and each.down_rates is None for each in links)


# --------------------------------------------------------------------------- models of rates


def test_shipped_models_say_where_they_are_from() -> None:
    origins = {name: shipped_model(name).origin for name in shipped_rates()}
    assert origins == {
        "3g-commute": "fitted",
        "5g-nsa": "published",
        "lte-ghent": "fitted",
        "starlink": "published",
        "wifi-public": "fitted",
    }
    for name in ("5g-nsa", "starlink"):
        assert "declared" in shipped_model(name).source


def test_a_model_is_a_link_s_rate_and_the_seed_s(tmp_path: Path) -> None:
    link = {"profile": "lte", "trace": {"down": "lte-ghent", "up": "lte-ghent"}}
    fleet = scenario(fleet=classes(link)).fleet
    (one,) = class_links(fleet, 1)
    assert one.down_rates is not None
    assert one.up_rates is not None
    assert one.down_rates.rates_bps != one.up_rates.rates_bps  # each direction has its own weather
    assert one == class_links(fleet, 1)[0]
    assert one != class_links(fleet, 2)[0]
    outcome = run(scenario(fleet=classes(link)), tmp_path / "run")
    assert len(load(outcome.run_dir).tokens) > 0


def test_a_name_that_is_neither_file_nor_model_is_told() -> None:
    fleet = scenario(fleet=classes({"profile": "lte", "trace": {"down": "lte-gent"}})).fleet
    with pytest.raises(ConfigError, match=r"link\.trace\.down: lte-gent: .*lte-ghent"):
        class_links(fleet, 1)


def test_fit_trace_fits_compares_and_writes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recording = tmp_path / "walk.txt"
    lines = (f"{second} {2 + second % 7}" for second in range(300))
    recording.write_text("\n".join(lines), encoding="utf-8")
    out = tmp_path / "walk.json"
    assert cli.main(["fit-trace", str(recording), "--states", "4", "--out", str(out)]) == 0
    printed = capsys.readouterr().out
    assert "recorded" in printed
    assert "4 states of 1 s" in printed
    fleet = scenario(fleet=classes({"profile": "lte", "trace": {"down": str(out)}})).fleet
    assert class_links(fleet, 1)[0].down_rates is not None
    assert cli.main(["fit-trace", str(tmp_path / "none.txt")]) == 2
    assert "no such file" in capsys.readouterr().err
    recording.write_text("0 5\n1 -1\n", encoding="utf-8")
    assert cli.main(["fit-trace", str(recording)]) == 2
    assert "negative" in capsys.readouterr().err
