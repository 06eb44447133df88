"""Going on with a run that was cut off, by Ctrl-C, an error or the death of its driver.

A simulated run begins again at time zero, on the values that are on disk for as long as they go
(``actors.recall``): its rows come once more, are compared with those that were written, and only
new ones are written, so that no row is lost or doubled and the digests are those of a run that
nobody stopped.

A live run goes on where its rows end: its clock too, each session from its tokens so far. How long
it then stood still is in the ``device_queue`` of its next token.
"""

from __future__ import annotations

import json
from pathlib import Path

from actors.run_tables import SCHEMA_VERSION
from costeer.errors import ConfigError
from experiments.scenario import Scenario, load_scenario


def interrupted_scenario(run_dir: Path) -> Scenario:
    """Return the scenario of a run that is not complete.

    Raises:
        ConfigError: there is no such run, or it is complete.
    """
    file = run_dir / "manifest.json"
    try:
        manifest = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigError(
            f"--resume {run_dir}: no run there ({file.name} cannot be read); give the directory"
            " of a run that was cut off"
        ) from error
    if manifest.get("complete"):
        raise ConfigError(
            f"--resume {run_dir}: that run is complete; look at it with `costeer report {run_dir}`"
        )
    if manifest.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError(
            f"--resume {run_dir}: written in schema version {manifest.get('schema_version')}, this"
            f" program writes {SCHEMA_VERSION}; run it anew"
        )
    return load_scenario(str(run_dir / "scenario.yaml"))
