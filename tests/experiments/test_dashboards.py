"""Dashboards and rules against the registry, promtool, and a Prometheus that scraped real runs."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml

from actors.metrics import FAMILIES, NODE_FAMILIES, SIMULATED, WALL, Exporter, Metrics
from experiments import cli
from experiments.dashboards.boards import BOARDS, LATENCY
from experiments.dashboards.bundle import prometheus_yaml, write_bundle
from experiments.dashboards.panels import CLOCKS, dashboard_json, filtered
from experiments.dashboards.ray_board import RAY
from experiments.dashboards.rules import ALERTS, ITL_SLO_S, RECORDINGS
from experiments.fleet.run import run_fleet
from experiments.hosting import open_laboratory
from experiments.planning import plan_workload
from experiments.planning.members import as_it_is
from experiments.progress import NoProgress
from experiments.run import run_arms
from experiments.ways import scenario_way
from tests.experiments.small_fleets import fleet
from tests.experiments.small_runs import scenario
from tests.prometheus import (
    Server,
    as_grafana_asks,
    promtool,
    running,
    until,
    with_prometheus,
)

UNITS = {"none", "ops", "s", "percent", "percentunit", "bytes", "pps"}
"""Grafana's names of those that are used."""
GAUGES = {"ray_node_mem_total"}
"""Not counters, whatever they are called."""
OURS = [board for board in BOARDS if board is not RAY]
EXPRESSIONS = [query.expr for board in OURS for panel in board.panels for query in panel.queries]


# --------------------------------------------------------------------------- without Prometheus


def test_panels_show_what_is_exported_and_all_of_it() -> None:
    shown = set()
    for expr in EXPRESSIONS:
        for name in re.findall(r"(?:\$\{clock\}|costeer_)([a-z0-9_]+)", expr):
            shown.add(re.sub(r"_(bucket|sum|count|total)$", "", name))
    assert shown == {family.name for family in FAMILIES}
    of_nodes = " ".join(query.expr for panel in RAY.panels for query in panel.queries)
    nodes = set(re.findall(r"costeer_([a-z0-9_]+)_total", of_nodes))
    assert nodes == {family.name for family in NODE_FAMILIES}


def lint(made: dict[str, Any]) -> Iterator[str]:
    """The rules of Grafana's dashboard-linter that a file can break."""
    variables = {each["name"]: each for each in made["templating"]["list"]}
    yield from lint_variables(variables)
    if made["editable"]:
        yield "uneditable-dashboard-rule"
    for panel in made["panels"]:
        yield from (f"{rule}: {panel['title']}" for rule in lint_panel(panel, variables))


def lint_variables(variables: dict[str, Any]) -> Iterator[str]:
    if variables["datasource"]["query"] != "prometheus":
        yield "template-datasource-rule"
    for name in ("job", "instance"):
        each = variables[name]
        if (each["type"], each["multi"], each["allValue"]) != ("query", True, ".+"):
            yield f"template-{name}-rule"
        if each["refresh"] != 2:
            yield "template-on-time-change-reload-rule"
        if not re.fullmatch(r"label_values\(\w+(\{job=~\"\$job\"\})?, \w+\)", each["definition"]):
            yield "template-label-promql-rule"


def lint_panel(panel: dict[str, Any], variables: dict[str, Any]) -> Iterator[str]:
    if panel["datasource"]["uid"] != "${datasource}":
        yield "panel-datasource-rule"
    if not (panel["title"] and panel["description"].endswith(".")):
        yield "panel-title-description-rule"
    if panel["fieldConfig"]["defaults"]["unit"] not in UNITS:
        yield "panel-units-rule"
    if not panel["targets"]:
        yield "panel-no-targets-rule"
    for target in panel["targets"]:
        yield from lint_target(target, variables)


def lint_target(target: dict[str, Any], variables: dict[str, Any]) -> Iterator[str]:
    expr = target["expr"]
    if not target["legendFormat"]:
        yield "target-legend-rule"
    if not set(re.findall(r"\$\{(\w+)\}", expr)) <= set(variables):
        yield "target-variables-rule"
    for name, matchers in re.findall(r"((?:\$\{clock\}|costeer_|ray_)\w+)(\{[^}]*\})?", expr):
        for label in ("job", "instance"):
            if f'{label}=~"${label}"' not in matchers:
                yield f"target-{label}-rule"
        if name.endswith(("_total", "_bucket", "_count", "_sum")) and name not in GAUGES:
            asked = re.search(rf"(rate|increase)\({re.escape(name)}(\{{[^}}]*\}})?\[", expr)
            if asked is None:
                yield "target-counter-agg-rule"
    for kind, window in re.findall(r"(rate|increase)\([^[]*\[([^]]+)\]", expr):
        if window != ("$__rate_interval" if kind == "rate" else "$__range"):
            yield "target-rate-interval-rule"


def test_dashboards_keep_the_rules_of_the_linter() -> None:
    for board in BOARDS:
        assert list(lint(dashboard_json(board, BOARDS))) == [], board.uid


def test_the_linter_finds_what_is_wrong() -> None:
    made = dashboard_json(LATENCY, BOARDS)
    made["editable"] = True
    panel = made["panels"][0]
    panel["fieldConfig"]["defaults"]["unit"] = ""
    panel["description"] = "no stop"
    panel["targets"][0]["expr"] = "sum(costeer_tokens_total) + rate(costeer_tokens_total[5m])"
    found = {rule.split(":")[0] for rule in lint(made)}
    assert {
        "uneditable-dashboard-rule",
        "panel-units-rule",
        "panel-title-description-rule",
        "target-job-rule",
        "target-instance-rule",
        "target-rate-interval-rule",
    } <= found
    panel["targets"][0]["expr"] = 'sum(costeer_tokens_total{job=~"$job", instance=~"$instance"})'
    assert "target-counter-agg-rule" in {rule.split(":")[0] for rule in lint(made)}


def test_boards_are_placed_and_linked() -> None:
    assert len({board.uid for board in BOARDS}) == len(BOARDS)
    for board in BOARDS:
        made = dashboard_json(board, BOARDS)
        assert made["title"]
        assert made["description"]
        assert len(made["links"]) == len(BOARDS) - 1
        places = {(panel["gridPos"]["x"], panel["gridPos"]["y"]) for panel in made["panels"]}
        assert len(places) == len(made["panels"])


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
            source = volume.split(":")[0]
            assert source == "/tmp/ray" or (tmp_path / source).exists()  # noqa: S108 - Ray's own
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
    waiting = "costeer_num_requests_waiting"
    late = "costeer_driver_lateness_seconds_bucket"
    restarts = 'costeer_host_restarts_total{role="edge"}'
    cases: dict[str, tuple[dict[str, str], dict[str, str]]] = {
        "CoSteerQueueGrowth": ({waiting: "0+3x20"}, {waiting: "7x20"}),
        "CoSteerDriverLate": (
            {f'{late}{{le="0.05"}}': "0+0x20", f'{late}{{le="+Inf"}}': "0+9x20"},
            {f'{late}{{le="0.0001"}}': "0+9x20", f'{late}{{le="+Inf"}}': "0+9x20"},
        ),
        "CoSteerHostsRestart": ({restarts: "0x12 1x8"}, {restarts: "3x20"}),
        "CoSteerRequestsFail": (
            {'costeer_requests_total{finished_reason="failed"}': "0+1x20"},
            {'costeer_requests_total{finished_reason="eos"}': "0+1x20"},
        ),
    }
    for clock, prefix in CLOCKS.items():
        busy, passed = f"{prefix}egress_busy_seconds_total", f"{prefix}clock_seconds_total"
        cases[f"CoSteer{clock.capitalize()}EgressSaturated"] = (
            {busy: "0+95x20", passed: "0+100x20"},
            {busy: "0+40x20", passed: "0+100x20"},
        )
        itl = f"{prefix}inter_token_latency_seconds"
        fast, all_of_them = (
            f'{itl}_bucket{{method="costeer",le="0.5"}}',
            f'{itl}_count{{method="costeer"}}',
        )
        cases[f"CoSteer{clock.capitalize()}InterTokenLatencyBurn"] = (
            {fast: "0+80x20", all_of_them: "0+100x20"},
            {fast: "0+99x20", all_of_them: "0+100x20"},
        )
    assert set(cases) == {alert.name for alert in ALERTS}
    tests = []
    for name, states in cases.items():
        for fires, series in zip((True, False), states, strict=True):
            (alert,) = (each for each in ALERTS if each.name == name)
            labels = {"severity": "warning"}
            summary = alert.summary
            for label, value in (("method", "costeer"), ("role", "edge")):
                if f"$labels.{label}" in summary:
                    labels[label] = value
                    summary = summary.replace(f"{{{{ $labels.{label} }}}}", value)
            annotations = {"summary": summary, "description": alert.description}
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
    arms = [each.model_dump(exclude_none=True) for each in scenario().arms]
    drafting = {"method": "costeer", "codec": "top8-bf16-naive", "speculation": {"drafts": 2}}
    given = scenario(way=way, cloud={"egress_mbps": 1}, arms=[*arms, drafting])
    with open_laboratory(given, "none") as laboratory:
        chosen = scenario_way(laboratory, given)
        work = plan_workload(given)
        run_arms(laboratory, chosen, given, work, out_dir, NoProgress(), metrics)


def _run_cells(metrics: Metrics, out_dir: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        # A few tokens are quicker than a compiler.
        patch.setattr("experiments.fleet.task.kept_compiler", lambda: as_it_is)
        run_fleet(fleet(4, 2), out_dir, "none", NoProgress(), metrics=metrics)


@pytest.fixture(scope="module")
def scraped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A Prometheus with the shipped rules that has scraped a simulated, a live and a large run."""
    home = tmp_path_factory.mktemp("prometheus")
    write_bundle(home)
    metrics = {
        way: Metrics(scenario="small", way=way, values="generated")
        for way in ("virtual", "live", "fleet")
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
        found = stack.enter_context(running(folder, home / "data"))
        # Rates need two scrapes with something in between.
        for number in range(2):
            for way, each in metrics.items():
                if way == "fleet":
                    _run_cells(each, home / f"{way}-{number}")
                else:
                    _run(each, way, home / f"{way}-{number}")
            found.wait_for_scrapes()
        yield found


@with_prometheus
def test_every_query_returns_data_of_a_real_run(scraped: Server) -> None:
    silent = []
    recorded, alerted = [each.expr for each in RECORDINGS], [each.expr for each in ALERTS]
    for expr in [*map(filtered, EXPRESSIONS), *recorded, *alerted]:
        prefixes = CLOCKS.values() if "${clock}" in expr else [""]
        for prefix in prefixes:
            asked = as_grafana_asks(expr, prefix)
            if not scraped.query(asked):
                silent.append(asked)
    assert not silent


@with_prometheus
def test_recordings_are_kept(scraped: Server) -> None:
    names = [each.record for each in RECORDINGS]
    until(lambda: all(scraped.query(name) for name in names), "recordings")


def test_the_clocks_are_those_of_the_registry() -> None:
    assert set(CLOCKS.values()) == {SIMULATED, WALL}
