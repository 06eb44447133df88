"""What a run says of itself: where it came from, what it ran on, with which versions."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Protocol

from experiments.scenario import Scenario

_PACKAGES = ("torch", "transformers", "tokenizers", "ray", "numpy", "zstandard", "pyarrow")


class Named(Protocol):
    """What computes the values of a run, by name."""

    @property
    def cloud_name(self) -> str:
        """What computes the large model's values."""
        ...

    @property
    def edge_name(self) -> str:
        """What computes the small model's values."""
        ...


def command_line() -> list[str]:
    """Return what was typed: the program by its name, wherever it is installed."""
    return [Path(sys.argv[0]).name, *sys.argv[1:]]


def manifest_of(scenario: Scenario, way: str, hosts: Named) -> dict[str, Any]:
    """Return what ``manifest.json`` says at the start of a run."""
    return {
        "name": scenario.name,
        "seed": scenario.seed,
        "way": way,
        "argv": command_line(),
        "started": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        "git_commit": _git_commit(),
        "versions": {"python": platform.python_version(), **_versions()},
        "hardware": {"machine": platform.machine(), "cpus": os.cpu_count()},
        "cloud_values": hosts.cloud_name,
        "edge_values": hosts.edge_name,
    }


def _versions() -> dict[str, str]:
    found = {}
    for name in ("costeer-lab", *_PACKAGES):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _git_commit() -> str | None:
    """Commit of the code that runs, if it runs from a checkout."""
    try:
        done = subprocess.run(
            ["git", "rev-parse", "HEAD"],  # noqa: S607 - whichever git the user has
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=False,
            timeout=5,
        )
    except OSError:
        return None
    return done.stdout.strip() or None
