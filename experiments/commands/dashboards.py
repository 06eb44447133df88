"""`costeer dashboards`: Grafana dashboards, Prometheus rules and a docker-compose file."""

from __future__ import annotations

import argparse
from pathlib import Path

from experiments.commands.options import AddCommand


def register(add: AddCommand) -> None:
    """Add the command."""
    parser = add("dashboards", "write Grafana dashboards and Prometheus rules for runs' metrics")
    parser.add_argument("dir", metavar="DIR", type=Path, help="where to write them")
    parser.set_defaults(execute=execute)


def execute(arguments: argparse.Namespace) -> int:
    """Write them; say how they are started."""
    from costeer.errors import ConfigError
    from experiments.dashboards.bundle import METRICS_PORT, write_bundle

    try:
        paths = write_bundle(arguments.dir)
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"{arguments.dir}: cannot be written ({reason}); choose another"
        ) from error
    for path in paths:
        print(path)
    print(
        f"\nstart both:  docker compose -f {arguments.dir}/docker-compose.yml up"
        f"\nthen:        costeer run SCENARIO --metrics-port {METRICS_PORT}"
        "\nlook at:     http://127.0.0.1:3000/d/costeer-fleet"
    )
    return 0
