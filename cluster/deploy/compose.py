"""docker-compose: a Ray cluster of containers on one machine, watched by Prometheus and Grafana."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from cluster.deploy.deployment import Deployment

METRICS_PORT = 9464
"""Where a run's metrics are; published on the machine's loopback, where Prometheus looks."""
_HEAD = "head:6379"


def compose_yaml(deployment: Deployment) -> str:
    """Return the services: head, cloud, shards, the run itself, and what watches it."""
    cloud: dict[str, Any] = _worker(deployment, deployment.cloud_image, 4)
    if deployment.gpus:
        cloud["deploy"] = {
            "resources": {
                "reservations": {
                    "devices": [
                        {"driver": "nvidia", "count": deployment.gpus, "capabilities": ["gpu"]}
                    ]
                }
            }
        }
    cloud["scale"] = deployment.replicas
    shards = _worker(deployment, deployment.tag("cpu"), deployment.shards_per_node)
    shards["scale"] = deployment.shard_nodes
    run = (
        f"costeer run {deployment.asked} --address auto"
        f" --metrics-port {METRICS_PORT} --metrics-host 0.0.0.0"
    )
    services = {
        "head": {
            **_container(deployment, deployment.tag("cpu")),
            "command": "ray start --head --port=6379 --num-cpus=0 --block",
        },
        "cloud": cloud,
        "shards": shards,
        "run": {
            **_container(deployment, deployment.tag("cpu")),
            "profiles": ["run"],
            "depends_on": ["head", "cloud", "shards"],
            # A driver has to be on a node of the cluster: this one brings no CPU of its own.
            "command": [
                "sh",
                "-c",
                f"ray start --address={_HEAD} --num-cpus=0 && exec {run}",
            ],
            "ports": [f"127.0.0.1:{METRICS_PORT}:{METRICS_PORT}"],
        },
    }
    text: str = yaml.safe_dump(
        {
            "name": "costeer",
            "include": ["monitoring/docker-compose.yml"],
            "services": services,
            "volumes": {"results": {}},
        },
        sort_keys=False,
        width=100,
    )
    return text


def _worker(deployment: Deployment, image: str, cpus: int) -> dict[str, Any]:
    return {
        **_container(deployment, image),
        "depends_on": ["head"],
        "command": f"ray start --address={_HEAD} --num-cpus={cpus} --block",
    }


def _container(deployment: Deployment, image: str) -> dict[str, Any]:
    return {
        "image": image,
        "build": {
            "context": ".",
            "dockerfile": "Dockerfile." + image.removeprefix(f"{deployment.image}:").split("-")[-1],
        },
        # Nodes of one cluster know one token; whoever has it may run anything there.
        "environment": {
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": "${RAY_AUTH_TOKEN:?make one, e.g. openssl rand -hex 32}",
        },
        "shm_size": "2gb",  # Ray keeps its objects there
        "volumes": ["results:/results"],
    }
