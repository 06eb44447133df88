"""KubeRay manifests (``ray.io/v1``): a cluster to work on, a job that brings its own, a volume.

The head has neither GPU nor CPUs for actors; one group of workers holds the large model, one the
shards. Fields are those of KubeRay's API reference (1.6) and of Kubernetes' pods.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

import yaml

if TYPE_CHECKING:
    from cluster.deploy.deployment import Deployment

_CLAIM = "costeer-results"
_RESULTS = "/results"
_NAME = "costeer"
_SPARE = 2
"""The autoscaler may go to so many times the nodes that a run needs."""


def volume_yaml(deployment: Deployment) -> str:
    """Return the claim for the volume that all nodes write results to."""
    return _yaml(
        {
            "apiVersion": "v1",
            "kind": "PersistentVolumeClaim",
            "metadata": _metadata(deployment, _CLAIM),
            "spec": {
                "accessModes": ["ReadWriteMany"],
                "resources": {"requests": {"storage": "20Gi"}},
            },
        }
    )


def cluster_yaml(deployment: Deployment) -> str:
    """Return a cluster that stays until it is deleted."""
    return _yaml(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayCluster",
            "metadata": _metadata(deployment, _NAME),
            "spec": _cluster_spec(deployment),
        }
    )


def job_yaml(deployment: Deployment) -> str:
    """Return a job that starts a cluster, runs the scenario, and takes the cluster down."""
    name = PurePosixPath(deployment.asked).stem
    return _yaml(
        {
            "apiVersion": "ray.io/v1",
            "kind": "RayJob",
            "metadata": _metadata(deployment, f"{_NAME}-run"),
            "spec": {
                "entrypoint": (
                    f"costeer run {deployment.asked} --address auto --out {_RESULTS}/{name}"
                ),
                "shutdownAfterJobFinishes": True,
                "ttlSecondsAfterFinished": 600,
                "rayClusterSpec": _cluster_spec(deployment),
            },
        }
    )


def _cluster_spec(deployment: Deployment) -> dict[str, Any]:
    cpus = {"cpu": "4", "memory": "16Gi"}
    gpus = {"nvidia.com/gpu": str(deployment.gpus)} if deployment.gpus else {}
    shard_cpus = {"cpu": str(deployment.shards_per_node), "memory": "8Gi"}
    return {
        "rayVersion": deployment.ray_version,
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {"idleTimeoutSeconds": 120, "upscalingMode": "Default"},
        "headGroupSpec": {
            # No actor on the head: it holds the driver, which should not wait for them.
            "rayStartParams": {"num-cpus": "0", "dashboard-host": "0.0.0.0"},  # noqa: S104 - in a pod
            "template": _pod(deployment, "ray-head", deployment.tag("cpu"), cpus, head=True),
        },
        "workerGroupSpecs": [
            _group(
                "cloud",
                deployment.replicas,
                _pod(deployment, "ray-worker", deployment.cloud_image, cpus | gpus),
            ),
            _group(
                "shards",
                deployment.shard_nodes,
                _pod(deployment, "ray-worker", deployment.tag("cpu"), shard_cpus),
            ),
        ],
    }


def _group(name: str, nodes: int, template: dict[str, Any]) -> dict[str, Any]:
    return {
        "groupName": name,
        "replicas": nodes,
        "minReplicas": 0,
        "maxReplicas": _SPARE * nodes,
        "rayStartParams": {},
        "template": template,
    }


def _pod(
    deployment: Deployment,
    name: str,
    image: str,
    resources: dict[str, str],
    *,
    head: bool = False,
) -> dict[str, Any]:
    ports = [
        {"name": "gcs-server", "containerPort": 6379},
        {"name": "dashboard", "containerPort": 8265},
        {"name": "client", "containerPort": 10001},
        {"name": "metrics", "containerPort": 9464},
    ]
    container: dict[str, Any] = {
        "name": name,
        "image": image,
        "resources": {"limits": dict(resources), "requests": dict(resources)},
        "volumeMounts": [{"name": "results", "mountPath": _RESULTS}],
    }
    if head:
        container["ports"] = ports
    return {
        "metadata": {"labels": _labels(deployment)},
        "spec": {
            "securityContext": {"fsGroup": 1000},
            "containers": [container],
            "volumes": [{"name": "results", "persistentVolumeClaim": {"claimName": _CLAIM}}],
        },
    }


def _metadata(deployment: Deployment, name: str) -> dict[str, Any]:
    return {"name": name, "namespace": deployment.namespace, "labels": _labels(deployment)}


def _labels(deployment: Deployment) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "costeer-lab",
        "app.kubernetes.io/version": deployment.version,
    }


def _yaml(data: dict[str, Any]) -> str:
    text: str = yaml.dump(data, Dumper=_Plain, sort_keys=False, width=100)
    return text


class _Plain(yaml.SafeDumper):
    """Without anchors: people edit these files, and each place stands for itself."""

    def ignore_aliases(self, data: object) -> bool:
        """Write everything out."""
        del data
        return True
