"""Metrics: they say what the rows say, in a bounded number of series, on a clock that is named."""

from __future__ import annotations

import re
import socket
import urllib.request
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import generate_latest
from prometheus_client.parser import text_string_to_metric_families as parsed

from actors.metrics import FAMILIES, MOST_VALUES, OTHER, ArmMetrics, Exporter, Metrics
from actors.records import ByteMeter, News, RequestRow, TokenRow
from actors.sight import Sight
from costeer.errors import ConfigError
from costeer.token_record import STAGES, TokenRecord
from experiments import cli
from experiments.fleet.run import run_fleet
from experiments.hosting import open_laboratory
from experiments.planning import plan_arm, plan_workload
from experiments.planning.members import as_it_is
from experiments.progress import NoProgress
from experiments.results import load
from experiments.run import run_arms
from experiments.ways import scenario_way
from tests.experiments.small_runs import scenario

Samples = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def samples_of(metrics: Metrics) -> Samples:
    text = generate_latest(metrics.registry).decode()
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parsed(text)
        for sample in family.samples
    }


def total(samples: Samples, name: str, **labels: str) -> float:
    wanted = set(labels.items())
    return sum(
        value for (found, key), value in samples.items() if found == name and wanted <= set(key)
    )


def counted(way: str, tmp_path: Path) -> tuple[Metrics, Path]:
    given = scenario(way=way, **({"values": "null"} if way == "fleet" else {}))
    metrics = Metrics(scenario=given.name, way=given.way, values=given.values)
    with open_laboratory(given, "none") as laboratory:
        run_arms(
            laboratory,
            scenario_way(laboratory, given),
            given,
            plan_workload(given),
            tmp_path / "run",
            NoProgress(),
            metrics,
        )
    return metrics, tmp_path / "run"


@pytest.mark.parametrize(
    ("way", "clock"),
    [("virtual", "costeer_sim_"), ("fleet", "costeer_sim_"), ("live", "costeer_")],
)
def test_metrics_say_what_the_rows_say(way: str, clock: str, tmp_path: Path) -> None:
    metrics, run_dir = counted(way, tmp_path)
    found, samples = load(run_dir), samples_of(metrics)
    tokens, requests = found.tokens, found.requests
    for method, rows in tokens.groupby("method"):
        later = rows["position"] > 0
        assert total(samples, "costeer_tokens_total", method=method) == len(rows)
        assert total(samples, f"{clock}inter_token_latency_seconds_count", method=method) == sum(
            later
        )
        assert total(
            samples, f"{clock}inter_token_latency_seconds_sum", method=method
        ) == pytest.approx(rows["latency_ns"][later].sum() * 1e-9)
        assert total(samples, f"{clock}stage_seconds_sum", method=method) == pytest.approx(
            rows["latency_ns"].sum() * 1e-9
        )
    for family, kind in (("frame", "frame"), ("link", "wire")):
        for direction in ("down", "up"):
            booked = requests[f"{kind}_bytes_{direction}"].sum()
            exported = total(samples, f"costeer_{family}_bytes_total", direction=direction)
            assert exported == booked > 0
    assert total(samples, "costeer_requests_total") == len(requests)
    assert total(samples, "costeer_devices", state="done") == 3
    assert total(samples, "costeer_devices") == 3
    assert total(samples, "costeer_batch_rows_count") > 0
    other = "costeer_sim_" if way == "live" else "costeer_inter"
    assert not any(name.startswith(other) for name, _ in samples)


OF_ROWS_ALONE = {
    f"costeer_{name}"
    for name in (
        *("link_devices", "num_requests_running", "num_requests_waiting"),
        *("kv_cache_usage_ratio", "sim_link_busy_seconds_total", "requests_total"),
        "sim_clock_seconds_total",
    )
}
"""What cells do not tell, or not in the same words: their clock goes on to the last frame."""


def test_cells_count_what_their_rows_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("actors.fleet.machine_code.kept_compiler", lambda: as_it_is)
    monkeypatch.setattr("experiments.fleet.task.kept_compiler", lambda: as_it_is)
    rows = samples_of(counted("fleet", tmp_path)[0])
    given = scenario(way="fleet", values="null")
    metrics = Metrics(scenario=given.name, way=given.way, values=given.values)
    run_fleet(given, tmp_path / "cells", "none", NoProgress(), metrics=metrics)
    cells = samples_of(metrics)
    assert total(cells, "costeer_cells", state="done") == 1
    assert total(cells, "costeer_requests_total", finished_reason="ended") == total(
        rows, "costeer_requests_total"
    )
    assert total(cells, "costeer_devices", state="done") == 3
    assert total(cells, "costeer_devices") == 3
    compared = {
        key
        for key, value in rows.items()
        # A value that is 0.8 % off may be in the next bucket.
        if value and key[0] not in OF_ROWS_ALONE and not key[0].endswith("seconds_bucket")
    }
    assert len(compared) > 60
    assert {"costeer_batch_rows_bucket", "costeer_sim_inter_token_latency_seconds_sum"} <= {
        name for name, _ in compared
    }
    for key in sorted(compared):
        assert cells[key] == pytest.approx(rows[key], rel=1e-9), key


def test_names_units_and_help_texts_are_those_of_the_field() -> None:
    for family in FAMILIES:
        name = family.full_name("costeer_")
        assert re.fullmatch(r"[a-z][a-z0-9_]*", name)
        assert family.help.endswith(".")
        assert list(family.bounds) == sorted(set(family.bounds))
        assert bool(family.bounds) == (family.kind == "histogram")
        assert not {"device", "request", "run", "session"} & set(family.labels)
        assert not re.search(r"_(ms|ns|us|kb|percent)\b", name)


def test_the_number_of_series_has_a_bound_whatever_runs() -> None:
    given = scenario()
    plan = plan_arm(given, plan_workload(given), given.arms[2])
    device = plan.devices[0]
    fleet = tuple(replace(device, device=n, link_class=f"link-{n}") for n in range(500))
    metrics = Metrics(scenario="many", way="virtual", values="null")
    moved = ByteMeter(1, 1, 1, 1, 1, 1, 1)
    rows = [
        TokenRow(n, 0, 5, TokenRecord(n, 0, 1, 11, (1,) * len(STAGES)), moved) for n in range(500)
    ]
    for number in range(40):
        count = ArmMetrics(metrics, replace(plan, devices=fleet), f"codec-{number}")
        count(News(rows, [], Sight(5)))
    samples = samples_of(metrics)
    values: dict[str, set[str]] = {}
    for _, labels in samples:
        for label, value in labels:
            values.setdefault(label, set()).add(value)
    values.pop("le")
    assert values["link"] == {OTHER} | {f"link-{n}" for n in range(MOST_VALUES)}
    assert all(len(each) <= MOST_VALUES + 1 for each in values.values())
    assert len(samples) < 3_000
    assert total(samples, "costeer_frame_bytes_total", direction="up") == 40 * 500


def test_failures_are_one_reason_and_no_latency() -> None:
    given = scenario()
    plan = plan_arm(given, plan_workload(given), given.arms[2])
    metrics = Metrics(scenario="failing", way="virtual", values="null")
    count = ArmMetrics(metrics, plan, "codec")
    for reason in ("no memory for 12", "no memory for 13"):
        row = RequestRow(0, 0, 0, "p", "lte", "phone", 0, 9, (), reason, True, ByteMeter())  # noqa: FBT003
        count(News([], [row], Sight(9)))
    samples = samples_of(metrics)
    assert total(samples, "costeer_requests_total", finished_reason="failed") == 2


def test_an_exporter_serves_and_a_port_in_use_is_told() -> None:
    metrics = Metrics(scenario="served", way="live", values="null")
    with Exporter(metrics, "127.0.0.1", 0) as exporter:
        url = f"http://127.0.0.1:{exporter.port}/metrics"
        with urllib.request.urlopen(url) as answer:
            text = answer.read().decode()
        assert 'costeer_run_info{scenario="served",values="null",way="live"} 1.0' in text
        with pytest.raises(ConfigError, match=r"cannot listen .*--metrics-port"):
            Exporter(metrics, "127.0.0.1", exporter.port)
        assert exporter.discovery({"node": "a"})[0]["targets"] == [f"127.0.0.1:{exporter.port}"]
    with socket.socket() as free:
        free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        free.bind(("127.0.0.1", exporter.port))


def test_the_command_says_that_a_port_is_in_use(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        options = ["--address", "none", "--metrics-port", port, "--out", str(tmp_path / "run")]
        assert cli.main(["run", "overhead", *options]) == cli.EXIT_USER
    assert "address already in use" in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
