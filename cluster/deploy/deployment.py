"""What is deployed: one description that all files are made of."""

from __future__ import annotations

import math
from dataclasses import dataclass

from cluster.deploy.compose import compose_yaml
from cluster.deploy.images import APP, dockerfile
from cluster.deploy.kubernetes import cluster_yaml, job_yaml, volume_yaml
from costeer.errors import ConfigError

_CPUS_PER_NODE = 4


@dataclass(frozen=True, slots=True)
class Deployment:
    """A cluster, and the run that it is for.

    Args:
        scenario: a shipped scenario's name; empty for one of the user's own.
        shards: edge actors, one CPU each.
        replicas: copies of the large model.
        gpus: GPUs of each copy; 0 for models that run on CPUs.
        image: name of the container image, without its tag.
        version: of the project; the image's tag.
        ray_version: of Ray, the same everywhere.
        python: version of the interpreter, major and minor: Ray wants it to be the same everywhere.
        constraints: exact versions of what is installed, one requirement a line.
        namespace: in Kubernetes.
        scenario_file: name of the user's own scenario, a file beside these; goes into the images.

    Raises:
        ConfigError: a number that no cluster has.
    """

    scenario: str
    shards: int
    replicas: int
    gpus: int
    image: str
    version: str
    ray_version: str
    python: str
    constraints: str
    namespace: str = "default"
    scenario_file: str = ""

    def __post_init__(self) -> None:
        """Check the numbers."""
        for name, least in (("shards", 1), ("replicas", 1), ("gpus", 0)):
            if getattr(self, name) < least:
                raise ConfigError(f"deploy: {name} = {getattr(self, name)}; at least {least}")

    @property
    def asked(self) -> str:
        """What ``costeer run`` is given inside a container."""
        return f"{APP}/{self.scenario_file}" if self.scenario_file else self.scenario

    @property
    def shard_nodes(self) -> int:
        """Worker nodes that hold the shards, some on each."""
        return math.ceil(self.shards / self.shards_per_node)

    @property
    def shards_per_node(self) -> int:
        """Shards that share a node, a CPU each."""
        return min(self.shards, _CPUS_PER_NODE)

    def tag(self, kind: str) -> str:
        """Name and tag of an image: ``cpu`` or ``cuda``."""
        return f"{self.image}:{self.version}-{kind}"

    @property
    def cloud_image(self) -> str:
        """The image of the nodes that hold the large model."""
        return self.tag("cuda" if self.gpus else "cpu")


def deployment_files(deployment: Deployment) -> dict[str, str]:
    """Return every file of a deployment, by its name."""
    return {
        "Dockerfile.cpu": dockerfile(deployment, "cpu"),
        "Dockerfile.cuda": dockerfile(deployment, "cuda"),
        "constraints.txt": deployment.constraints,
        "kubernetes/results-volume.yaml": volume_yaml(deployment),
        "kubernetes/raycluster.yaml": cluster_yaml(deployment),
        "kubernetes/rayjob.yaml": job_yaml(deployment),
        "docker-compose.yml": compose_yaml(deployment),
    }
