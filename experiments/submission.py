"""A scenario as a job of a cluster: the folder that is sent, and the one that comes back."""

from __future__ import annotations

import io
import shutil
import tarfile
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import yaml

import actors
import cluster
import costeer
import experiments
import netsim
from costeer.errors import ConfigError
from experiments.scenario import Scenario, dump_scenario

if TYPE_CHECKING:
    from cluster.jobs import JobServer

_SCENARIO = "scenario.yaml"
_RUN = "run"
_TITLES = frozenset({"name"})
"""Keys whose text is never a file's name."""


def submit(server: JobServer, job: str, scenario: Scenario, *, ship: bool) -> None:
    """Submit a scenario; its files, and with ``ship`` this code, go along.

    Models in local folders do not: every node needs them at the same path.

    Raises:
        ConfigError: the run directory's name is taken by a file of the scenario.
    """
    with TemporaryDirectory(prefix="costeer-job-") as name:
        folder = Path(name)
        pack(scenario, folder)
        if ship:
            _pack_code(folder)
        command = [
            "python", "-m", "cluster.submitted", "--job", job, "--leave", _RUN,
            *(() if ship else ("--version", version("costeer-lab"))),
            "--", "python", "-m", "experiments.cli",
            "run", _SCENARIO, "--address", "auto", "--out", _RUN,
        ]  # fmt: skip
        server.submit(job, command, folder, {"PYTHONUNBUFFERED": "1"})


def pack(scenario: Scenario, folder: Path) -> None:
    """Write a scenario into a folder, with copies of the files that it names."""

    def taken_along(path: Path) -> str:
        place = Path("files") / f"{len(list((folder / 'files').glob('*')))}-{path.name}"
        (folder / place).parent.mkdir(exist_ok=True)
        shutil.copy(path, folder / place)
        return str(place)

    written = _with_files(yaml.safe_load(dump_scenario(scenario)), taken_along)
    text = yaml.safe_dump(written, sort_keys=False, allow_unicode=True)
    (folder / _SCENARIO).write_text(text, encoding="utf-8")


def unpack(archive: bytes, out_dir: Path) -> None:
    """Write what a job left into a new folder.

    Raises:
        ConfigError: the folder holds something already, or cannot be written.
    """
    if out_dir.exists() and any(out_dir.iterdir()):
        raise ConfigError(f"{out_dir}: is not empty; choose another --out")
    try:
        out_dir.mkdir(parents=True, exist_ok=True)
        with tarfile.open(fileobj=io.BytesIO(archive)) as files:
            files.extractall(out_dir, filter="data")
    except (OSError, tarfile.TarError) as error:
        raise ConfigError(f"{out_dir}: the run directory cannot be written: {error}") from error


def _with_files(given: Any, take: Callable[[Path], str], key: str = "") -> Any:  # noqa: ANN401 - YAML
    if isinstance(given, dict):
        return {name: _with_files(each, take, name) for name, each in given.items()}
    if isinstance(given, list):
        return [_with_files(each, take, key) for each in given]
    if isinstance(given, str) and key not in _TITLES and Path(given).suffix:
        path = Path(given)
        return take(path) if path.is_file() else given
    return given


def _pack_code(folder: Path) -> None:
    for package in (actors, cluster, costeer, experiments, netsim):
        place = Path(str(package.__file__)).parent
        shutil.copytree(
            place, folder / place.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc")
        )
