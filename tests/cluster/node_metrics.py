"""Starts two local Ray nodes, runs a fleet on both, scrapes every exporter; prints it as JSON."""

from __future__ import annotations

import json
import socket
import threading
import urllib.request
from typing import Any, cast

import ray
from ray.cluster_utils import Cluster

from cluster.ray_port import RayPort
from experiments.hosting import start_hosts
from experiments.planning import plan_workload
from experiments.progress import NoProgress
from experiments.run import run_in
from tests.experiments.small_runs import scenario

_LOOKS, _LOOK_S = 120, 0.25
_RAY_READY = ("ray_actors{", "ray_node_cpu_utilization{", "ray_object_store_used_memory{")


def scrape(host: str, port: int) -> str:
    with urllib.request.urlopen(f"http://{host}:{port}/metrics", timeout=5) as answer:
        text: str = answer.read().decode()
    return text


def scrape_ray(host: str, port: int) -> str:
    """Ray's agents begin to export some seconds after the start."""
    for _ in range(_LOOKS):
        try:
            text = scrape(host, port)
        except OSError:
            text = ""
        if all(name in text for name in _RAY_READY):
            return text
        threading.Event().wait(_LOOK_S)
    raise TimeoutError(f"Ray's metrics at {host}:{port} did not come")


def main() -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        ray_port = free.getsockname()[1]
    make: Any = Cluster  # not annotated there
    head = {"num_cpus": 2, "include_dashboard": False, "metrics_export_port": ray_port}
    nodes = make(initialize_head=True, head_node_args=head)
    try:
        nodes.add_node(num_cpus=2)
        nodes.wait_for_nodes()
        given = scenario(fleet={**scenario().fleet.model_dump(), "shards": 2})
        port = RayPort(nodes.address, min_cpus=3)
        targets = port.serve_metrics("127.0.0.1")
        laboratory = start_hosts(given, port)
        outcome = run_in(laboratory, given, plan_workload(given), _out_dir(), NoProgress())
        laboratory.take_witnessed()  # hosts tell what is left
        laboratory.begin_arm(_any_arm(given))
        found = {
            "targets": [list(target) for target in targets],
            "nodes": [scrape(host, number) for host, number, _ in targets],
            "output_digest": outcome.summary["output_digest"],
            "ray": scrape_ray(cast("Any", ray.nodes)()[0]["NodeManagerAddress"], ray_port),
        }
        port.close()
        found["gone"] = [not _answers(host, number) for host, number, _ in targets]
    finally:
        nodes.shutdown()
    print(json.dumps(found))  # noqa: T201 - read by the test that starts this


def _out_dir() -> Any:
    import sys
    from pathlib import Path

    return Path(sys.argv[1]) / "run"


def _any_arm(given: Any) -> Any:
    from experiments.planning import plan_arm

    return plan_arm(given, plan_workload(given), given.arms[0]).arm


def _answers(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False


if __name__ == "__main__":
    main()
