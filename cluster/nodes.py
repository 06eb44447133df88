"""Whether a cluster's nodes can carry a run: the code is there, in the driver's versions.

What a host computes depends on the versions of what computes it, so a run that is spread over
different ones would depend on where its hosts happen to live.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import Any, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from costeer.errors import ConfigError

_PACKAGES = ("costeer-lab", "torch", "transformers", "tokenizers", "numpy", "zstandard")
_TIMEOUT_S = 120.0
_RETRIES = 3


def installed_versions() -> dict[str, str]:
    """Return the versions of what computes, here; those that are not installed are left out."""
    found = {}
    for name in _PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def check_nodes() -> None:
    """Compare every node that has room for hosts with this process.

    Raises:
        ConfigError: a node lacks the code, or has another version of what computes.
    """
    # A worker that dies before it answers says nothing of its node: Ray asks another one.
    task = cast("Any", ray.remote)(num_cpus=0, max_retries=_RETRIES)(installed_versions)
    asked = {
        node["NodeManagerAddress"]: task.options(
            scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
        ).remote()
        for node in cast("Any", ray.nodes)()
        if node["Alive"] and node["Resources"].get("CPU", 0) > 0
    }
    ours = installed_versions()
    for address, ref in asked.items():
        try:
            theirs = ray.get(ref, timeout=_TIMEOUT_S)
        except RayError as error:
            reason = str(error).strip().rpartition("\n")[2]
            raise ConfigError(
                f"address: node {address} cannot run this program ({reason}); install it there, or"
                " send it along with `costeer submit`"
            ) from error
        check_versions(address, ours, theirs)


def check_versions(node: str, ours: dict[str, str], theirs: dict[str, str]) -> None:
    """Compare a node's versions with the driver's.

    Raises:
        ConfigError: they differ.
    """
    # Code that was sent along is not installed: it has no version, and is the driver's own.
    for name, wanted in ours.items():
        found = theirs.get(name, wanted if name == _PACKAGES[0] else "none")
        if found != wanted:
            raise ConfigError(
                f"address: node {node} has {name} {found}, the driver {wanted}: values would depend"
                " on where they are computed; install the same versions (requirements.lock)"
            )
