"""Files that put the laboratory on machines: images, Kubernetes manifests, docker-compose."""

from cluster.deploy.deployment import Deployment, deployment_files

__all__ = ["Deployment", "deployment_files"]
