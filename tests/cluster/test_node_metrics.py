"""On a cluster: an exporter per node says what its hosts did, and the Ray board has its data."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families as parsed

from experiments.dashboards.bundle import prometheus_yaml, write_bundle
from experiments.dashboards.panels import filtered
from experiments.dashboards.ray_board import RAY
from tests.experiments.small_runs import run, scenario
from tests.prometheus import as_grafana_asks, running, until, with_prometheus

pytestmark = pytest.mark.ray
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What a cluster of two nodes exported; in a process of its own, as Ray is once per process."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.cluster.node_metrics", str(tmp_path_factory.mktemp("run"))],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "ignore"},
        capture_output=True,
        text=True,
        check=False,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return told


def summed(texts: list[str], name: str, **labels: str) -> float:
    return sum(
        sample.value
        for text in texts
        for family in parsed(text)
        for sample in family.samples
        if sample.name == name and labels.items() <= sample.labels.items()
    )


def test_every_node_tells_what_its_hosts_did(found: dict[str, Any], tmp_path: Path) -> None:
    assert len(found["targets"]) == 2
    nodes = found["nodes"]
    for role in ("cloud", "edge"):
        assert summed(nodes, "costeer_host_calls_total", role=role) > 0
        assert summed(nodes, "costeer_host_busy_seconds_total", role=role) > 0
    here = run(scenario(), tmp_path / "here")
    steered = sum(
        arm["tokens"]
        for arm in here.summary["arms"]
        if arm["link_class"] == "all" and arm["method"] == "costeer"
    )
    # Every steered token was decided at least once.
    assert summed(nodes, "costeer_host_operations_total", operation="EdgeSteer") >= steered
    assert found["output_digest"] == here.summary["output_digest"]
    assert found["gone"] == [True, True]


class _Page(BaseHTTPRequestHandler):
    text = ""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/plain; version=0.0.4")
        self.end_headers()
        self.wfile.write(self.text.encode())

    def log_message(self, *_: object) -> None: ...


@contextmanager
def served(text: str) -> Iterator[str]:
    handler = type("Page", (_Page,), {"text": text})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@with_prometheus
def test_every_query_of_the_ray_board_has_data(found: dict[str, Any], tmp_path: Path) -> None:
    write_bundle(tmp_path)
    folder = tmp_path / "prometheus"
    with ExitStack() as stack:
        groups = [
            {"targets": [stack.enter_context(served(text))], "labels": {"node": node}}
            for text, (_, _, node) in zip(found["nodes"], found["targets"], strict=True)
        ]
        (folder / "targets/local.json").write_text(json.dumps(groups))
        ray_file = tmp_path / "ray.json"
        ray_file.write_text(json.dumps([{"targets": [stack.enter_context(served(found["ray"]))]}]))
        config = prometheus_yaml()
        config["global"] = {"scrape_interval": "250ms", "evaluation_interval": "250ms"}
        config["scrape_configs"][1]["file_sd_configs"][0]["files"] = [str(ray_file)]
        (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
        server = stack.enter_context(running(folder, tmp_path / "data"))
        expressions = [query.expr for panel in RAY.panels for query in panel.queries]
        until(lambda: min(server.query("count_over_time(up[5m])"), default=0) >= 3, "scrapes")
        # What is replayed stands still: a ratio of two rates is there, and not a number.
        silent = [
            expr for expr in expressions if not server.answer(as_grafana_asks(filtered(expr)))
        ]
        assert not silent
