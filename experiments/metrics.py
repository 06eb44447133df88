"""Where a run's metrics are served, and how Prometheus finds them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from actors.metrics import Exporter, Metrics
from actors.port import Port, Recovery
from actors.records import News
from actors.sink import write_atomically
from costeer.errors import ConfigError
from experiments.ways import ArmHosts


@dataclass(frozen=True, slots=True)
class MetricsAt:
    """Where metrics are served.

    Args:
        host: address to listen at, here and on every node of a cluster.
        port: here; 0 for any that is free. Nodes take any that is free.
        targets: a file of Prometheus' file-based service discovery, kept for as long as the run;
            None for none.
    """

    host: str
    port: int
    targets: Path | None = None


@contextmanager
def serve_metrics(
    metrics: Metrics, at: MetricsAt | None, tell: Callable[[str], None]
) -> Iterator[Callable[[Port], None]]:
    """Serve a run's metrics; yield what has a port's nodes serve theirs.

    Args:
        metrics: the run's.
        at: where; None for nowhere.
        tell: told where each is.

    Raises:
        ConfigError: nothing can listen there, or the file cannot be written.
    """
    if at is None:
        yield lambda _: None
        return
    with Exporter(metrics, at.host, at.port) as exporter:
        tell(f"metrics: http://{exporter.host}:{exporter.port}/metrics")
        groups = exporter.discovery({"node": "driver"})
        _write_targets(at.targets, groups)

        def serve_nodes(port: Port) -> None:
            for host, number, node in port.serve_metrics(at.host):
                tell(f"metrics of node {node}: http://{host}:{number}/metrics")
                groups.append({"targets": [f"{host}:{number}"], "labels": {"node": node}})
            _write_targets(at.targets, groups)

        try:
            yield serve_nodes
        finally:
            # Prometheus would go on asking where nobody answers.
            if at.targets is not None:
                at.targets.unlink(missing_ok=True)


def _write_targets(path: Path | None, groups: Sequence[object]) -> None:
    if path is None:
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, json.dumps(groups, indent=2) + "\n")
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise ConfigError(
            f"--metrics-targets {path}: cannot be written ({reason}); choose another"
        ) from error


class RestartCount:
    """Counts hosts that died and were made again, as rows come."""

    def __init__(self, metrics: Metrics, hosts: ArmHosts) -> None:
        """Count from the run's beginning; several arms may each have one."""
        self._metrics = metrics
        self._hosts = hosts
        self._counted = len(hosts.recoveries)

    def __call__(self, news: News) -> None:  # noqa: ARG002 - the recorder's signature
        """Look whether there are more."""
        recoveries = self._hosts.recoveries
        if len(recoveries) > self._counted:
            with self._metrics.lock:
                for each in recoveries[self._counted :]:
                    self._metrics.add("host_restarts", 1, role_of(each))
            self._counted = len(recoveries)


def role_of(recovery: Recovery) -> str:
    """Return what kind of host died; its number is no label."""
    return "cloud" if recovery.host.lower().startswith("cloud") else "edge"
