"""The container images: the wheel of the project, and the versions that it was tested with."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cluster.deploy.deployment import Deployment

APP = "/app"
"""Folder of the images that holds what they were made of."""

_TEMPLATE = """\
# {title}
#
#   pip wheel --no-deps --wheel-dir wheels SOURCE_OF_THE_PROJECT
#   docker build -f Dockerfile.{kind} -t {tag} .
#
# TORCH_INDEX names a package index that has the build of torch you want; without it the build
# comes from the index that pip is set up with.
FROM python:{python}-slim

ARG TORCH_INDEX=""
ENV PYTHONUNBUFFERED=1 PIP_NO_CACHE_DIR=1{environment}

# KubeRay asks the node's own health page, by wget.
RUN apt-get update \\
    && apt-get install --yes --no-install-recommends wget \\
    && rm -rf /var/lib/apt/lists/*

WORKDIR {app}
COPY constraints.txt {scenario_file}./
COPY wheels/ ./wheels/

# torch first and alone: nothing resolved later may replace its build.
RUN pip install ${{TORCH_INDEX:+--index-url "$TORCH_INDEX"}} --constraint constraints.txt torch
RUN pip install --constraint constraints.txt "ray[default]" "$(echo wheels/*.whl)[eval]"

# Not root: results belong to whoever runs the container.
RUN useradd --create-home --uid 1000 lab && install -d -o lab /results
USER lab
WORKDIR /results
CMD ["costeer", "--help"]
"""

_TITLES = {
    "cpu": "Edge shards, and large models that run on CPUs.",
    "cuda": "The large model on a GPU: torch's wheels bring CUDA, the node brings the driver.",
}
_ENVIRONMENTS = {
    "cpu": " OMP_NUM_THREADS=1",
    "cuda": " NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility",
}


def dockerfile(deployment: Deployment, kind: str) -> str:
    """Return the Dockerfile of an image, ``cpu`` or ``cuda``."""
    return _TEMPLATE.format(
        title=_TITLES[kind],
        kind=kind,
        tag=deployment.tag(kind),
        python=deployment.python,
        app=APP,
        scenario_file=f"{deployment.scenario_file} " if deployment.scenario_file else "",
        environment=_ENVIRONMENTS[kind],
    )
