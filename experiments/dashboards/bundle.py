"""Writes the dashboards, the rules, and what starts Prometheus and Grafana with them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from experiments.dashboards.boards import BOARDS
from experiments.dashboards.panels import dashboard_json
from experiments.dashboards.rules import ALERTS, RECORDINGS, rules_yaml

METRICS_PORT = 9464
"""Where the written Prometheus looks for a run."""
TARGETS = "targets/*.json"
"""Files of its service discovery, one per exporter."""
RAY_TARGETS = "/tmp/ray/prom_metrics_service_discovery.json"  # noqa: S108 - where Ray writes it
"""Ray's own service discovery, kept by the head of a cluster with a dashboard."""
_SCRAPE = "5s"


def prometheus_yaml() -> dict[str, Any]:
    """Return Prometheus' configuration; paths are beside it."""
    return {
        "global": {"scrape_interval": _SCRAPE, "evaluation_interval": _SCRAPE},
        "rule_files": ["rules.yml"],
        "scrape_configs": [
            {
                "job_name": "costeer",
                "file_sd_configs": [{"files": [TARGETS], "refresh_interval": _SCRAPE}],
            },
            {
                "job_name": "ray",
                "file_sd_configs": [{"files": [RAY_TARGETS], "refresh_interval": "30s"}],
            },
        ],
    }


def write_bundle(out_dir: Path) -> list[Path]:
    """Write all files; return them.

    Args:
        out_dir: made where it is not there; files of these names are replaced.
    """
    made: dict[str, str] = {
        f"grafana/dashboards/{board.uid}.json": json.dumps(dashboard_json(board, BOARDS), indent=2)
        for board in BOARDS
    }
    made["grafana/provisioning/dashboards/costeer.yml"] = _yaml(
        {
            "apiVersion": 1,
            "providers": [
                {
                    "name": "costeer",
                    "type": "file",
                    "options": {"path": "/var/lib/grafana/dashboards"},
                }
            ],
        }
    )
    made["grafana/provisioning/datasources/prometheus.yml"] = _yaml(
        {
            "apiVersion": 1,
            "datasources": [
                {
                    "name": "Prometheus",
                    "type": "prometheus",
                    "access": "proxy",
                    "url": "http://127.0.0.1:9090",
                    "isDefault": True,
                    "jsonData": {"timeInterval": _SCRAPE},
                }
            ],
        }
    )
    made["prometheus/prometheus.yml"] = _yaml(prometheus_yaml())
    made["prometheus/rules.yml"] = _yaml(rules_yaml(RECORDINGS, ALERTS))
    made["prometheus/targets/local.json"] = json.dumps(
        [{"targets": [f"127.0.0.1:{METRICS_PORT}"], "labels": {"node": "local"}}], indent=2
    )
    made["docker-compose.yml"] = _yaml(_compose())
    paths = []
    for name, text in made.items():
        path = out_dir / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.rstrip() + "\n", encoding="utf-8")
        paths.append(path)
    return paths


def _compose() -> dict[str, Any]:
    # The host's network: a run's exporter listens on loopback unless it is told otherwise.
    return {
        "services": {
            "prometheus": {
                "image": "prom/prometheus:v3.5.0",
                "network_mode": "host",
                "command": [
                    "--config.file=/etc/prometheus/prometheus.yml",
                    "--web.listen-address=127.0.0.1:9090",
                ],
                "volumes": ["./prometheus:/etc/prometheus:ro", "/tmp/ray:/tmp/ray:ro"],  # noqa: S108
            },
            "grafana": {
                "image": "grafana/grafana:12.1.0",
                "network_mode": "host",
                "environment": {
                    "GF_SERVER_HTTP_ADDR": "127.0.0.1",
                    "GF_AUTH_ANONYMOUS_ENABLED": "true",
                },
                "volumes": [
                    "./grafana/provisioning:/etc/grafana/provisioning:ro",
                    "./grafana/dashboards:/var/lib/grafana/dashboards:ro",
                ],
                "depends_on": ["prometheus"],
            },
        }
    }


def _yaml(data: dict[str, Any]) -> str:
    text: str = yaml.safe_dump(data, sort_keys=False, width=100)
    return text
