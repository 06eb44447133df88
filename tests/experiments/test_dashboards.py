"""Dashboards and rules against the registry, promtool, and a Prometheus that scraped real runs."""

from __future__ import annotations

import json
import math
import re
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
import yaml

from actors.metrics import FAMILIES, SIMULATED, WALL, Exporter, Metrics
from experiments import cli
from experiments.dashboards.boards import BOARDS
from experiments.dashboards.bundle import prometheus_yaml, write_bundle
from experiments.dashboards.panels import CLOCKS, dashboard_json
from experiments.dashboards.rules import ALERTS, ITL_SLO_S, RECORDINGS
from experiments.hosting import open_laboratory
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.run import run_arms
from experiments.ways import scenario_way
from tests.experiments.small_runs import scenario

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
with_prometheus = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL), reason="prometheus and promtool (Debian: prometheus) are absent"
)
EXPRESSIONS = [query.expr for board in BOARDS for panel in board.panels for query in panel.queries]
_LOOKS = 150
_LOOK_S = 0.1


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        [str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


# --------------------------------------------------------------------------- without Prometheus


def test_panels_show_what_is_exported_and_all_of_it() -> None:
    shown = set()
    for expr in EXPRESSIONS:
        for name in re.findall(r"(?:\$\{clock\}|costeer_)([a-z0-9_]+)", expr):
            shown.add(re.sub(r"_(bucket|sum|count|total)$", "", name))
    assert shown == {family.name for family in FAMILIES}


def test_dashboards_keep_the_usual_rules() -> None:
    uids = set()
    for board in BOARDS:
        made = dashboard_json(board, BOARDS)
        uids.add(made["uid"])
        variables = {each["name"] for each in made["templating"]["list"]}
        assert made["title"]
        assert made["description"]
        assert len(made["links"]) == len(BOARDS) - 1
        places = set()
        for panel in made["panels"]:
            assert panel["title"]
            assert panel["description"].endswith(".")
            assert panel["datasource"]["uid"] == "${datasource}"
            assert panel["fieldConfig"]["defaults"]["unit"]
            places.add((panel["gridPos"]["x"], panel["gridPos"]["y"]))
            for target in panel["targets"]:
                assert target["legendFormat"]
                assert set(re.findall(r"\$\{(\w+)\}", target["expr"])) <= variables
                # A counter is asked for as a rate where seconds are on the axis.
                for window in re.findall(r"rate\([^[]*\[([^]]+)\]", target["expr"]):
                    assert window == "$__rate_interval"
        assert len(places) == len(made["panels"])
    assert len(uids) == len(BOARDS)


def test_the_goal_is_a_bound_of_the_buckets() -> None:
    (bounds,) = (each.bounds for each in FAMILIES if each.name == "inter_token_latency_seconds")
    assert ITL_SLO_S in bounds


def test_the_command_writes_everything_that_starts_both(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["dashboards", str(tmp_path)]) == 0
    assert "docker compose" in capsys.readouterr().out
    compose = yaml.safe_load((tmp_path / "docker-compose.yml").read_text(encoding="utf-8"))
    for service in compose["services"].values():
        for volume in service["volumes"]:
            assert (tmp_path / volume.split(":")[0]).exists()
    assert len(list((tmp_path / "grafana/dashboards").glob("*.json"))) == len(BOARDS)


# --------------------------------------------------------------------------- with Prometheus


@with_prometheus
def test_promtool_takes_the_configuration_and_the_rules(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    promtool("check", "config", tmp_path / "prometheus/prometheus.yml")
    promtool("check", "rules", "--lint=all", "--lint-fatal", tmp_path / "prometheus/rules.yml")


@with_prometheus
def test_alerts_fire_when_they_should_and_are_silent_otherwise(tmp_path: Path) -> None:
    write_bundle(tmp_path)
    bucket = "costeer_inter_token_latency_seconds"
    waiting = "costeer_num_requests_waiting"
    late = "costeer_driver_lateness_seconds_bucket"
    busy, clock = "costeer_sim_egress_busy_seconds_total", "costeer_sim_clock_seconds_total"
    cases: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "CoSteerWallInterTokenLatencyBurn": (
            {
                f'{bucket}_bucket{{method="costeer",le="0.5"}}': "0+80x20",
                f'{bucket}_count{{method="costeer"}}': "0+100x20",
            },
            {
                f'{bucket}_bucket{{method="costeer",le="0.5"}}': "0+99x20",
                f'{bucket}_count{{method="costeer"}}': "0+100x20",
            },
        ),
        "CoSteerQueueGrowth": ({waiting: "0+3x20"}, {waiting: "7x20"}),
        "CoSteerDriverLate": (
            {f'{late}{{le="0.05"}}': "0+0x20", f'{late}{{le="+Inf"}}': "0+9x20"},
            {f'{late}{{le="0.0001"}}': "0+9x20", f'{late}{{le="+Inf"}}': "0+9x20"},
        ),
        "CoSteerRequestsFail": (
            {'costeer_requests_total{finished_reason="failed"}': "0+1x20"},
            {'costeer_requests_total{finished_reason="eos"}': "0+1x20"},
        ),
        "CoSteerSimulatedEgressSaturated": (
            {busy: "0+95x20", clock: "0+100x20"},
            {busy: "0+40x20", clock: "0+100x20"},
        ),
    }
    tests = []
    for name, states in cases.items():
        for fires, series in zip((True, False), states, strict=True):
            (alert,) = (each for each in ALERTS if each.name == name)
            labels = {"severity": "warning"}
            if "{{ $labels.method }}" in alert.summary:
                labels["method"] = "costeer"
            annotations = {
                "summary": alert.summary.replace("{{ $labels.method }}", "costeer"),
                "description": alert.description,
            }
            tests.append(
                {
                    "interval": "30s",
                    "input_series": [{"series": k, "values": v} for k, v in series.items()],
                    "alert_rule_test": [
                        {
                            "eval_time": "9m",
                            "alertname": name,
                            "exp_alerts": [{"exp_labels": labels, "exp_annotations": annotations}]
                            if fires
                            else [],
                        }
                    ],
                }
            )
    path = tmp_path / "prometheus/rules_test.yml"
    path.write_text(
        yaml.safe_dump({"rule_files": ["rules.yml"], "evaluation_interval": "30s", "tests": tests}),
        encoding="utf-8",
    )
    promtool("test", "rules", path)


def _run(metrics: Metrics, way: str, out_dir: Path) -> None:
    given = scenario(way=way, cloud={"egress_mbps": 1})
    with open_laboratory(given, "none") as laboratory:
        chosen = scenario_way(laboratory, given)
        work = plan_workload(given)
        run_arms(laboratory, chosen, given, work, out_dir, NoProgress(), metrics)


def _until(found: Callable[[], bool], what: str) -> None:
    """Wait for another process, a bounded number of looks."""
    for _ in range(_LOOKS):
        if found():
            return
        threading.Event().wait(_LOOK_S)
    pytest.fail(f"Prometheus: {what} did not come")


class _Server:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expr: str) -> list[float]:
        given = urllib.parse.urlencode({"query": expr})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{given}") as answer:  # noqa: S310 - loopback
                rows = json.load(answer)["data"]["result"]
        except OSError:
            return []
        values = [float(row["value"][1]) for row in rows]
        return [value for value in values if not math.isnan(value)]

    def wait_for_scrapes(self) -> None:
        """Wait until both exporters were scraped twice more."""
        expr = "min(count_over_time(up[10m]))"
        before = max(self.query(expr), default=0.0)
        _until(lambda: max(self.query(expr), default=0.0) >= before + 2, "scrape")


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[_Server]:
    """A Prometheus with the shipped rules that has scraped a simulated and a live run."""
    home = tmp_path_factory.mktemp("prometheus")
    write_bundle(home)
    metrics = {
        way: Metrics(scenario="small", way=way, values="generated") for way in ("virtual", "live")
    }
    with ExitStack() as stack:
        exporters = [
            stack.enter_context(Exporter(each, "127.0.0.1", 0)) for each in metrics.values()
        ]
        targets = [each.discovery({})[0] for each in exporters]
        config = prometheus_yaml()
        config["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
        folder = home / "prometheus"
        (folder / "targets/local.json").write_text(json.dumps(targets), encoding="utf-8")
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config), encoding="utf-8")
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        server = stack.enter_context(
            subprocess.Popen(
                [
                    str(PROMETHEUS),
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={home / 'data'}",
                    f"--web.listen-address=127.0.0.1:{port}",
                ],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )
        )
        stack.callback(server.kill)
        found = _Server(port)
        # Rates need two scrapes with something in between.
        for number in range(2):
            for way, each in metrics.items():
                _run(each, way, home / f"{way}-{number}")
            found.wait_for_scrapes()
        yield found


@with_prometheus
def test_every_query_returns_data_of_a_real_run(scraped: _Server) -> None:
    silent = []
    recorded, alerted = [each.expr for each in RECORDINGS], [each.expr for each in ALERTS]
    for expr in [*EXPRESSIONS, *recorded, *alerted]:
        prefixes = CLOCKS.values() if "${clock}" in expr else [""]
        for prefix in prefixes:
            asked = expr.replace("${clock}", prefix).replace("$__rate_interval", "1m")
            if not scraped.query(asked):
                silent.append(asked)
    assert not silent


@with_prometheus
def test_recordings_are_kept(scraped: _Server) -> None:
    names = [each.record for each in RECORDINGS]
    _until(lambda: all(scraped.query(name) for name in names), "recordings")


def test_the_clocks_are_those_of_the_registry() -> None:
    assert set(CLOCKS.values()) == {SIMULATED, WALL}
