"""Serves a run's metrics over HTTP."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Thread
from types import TracebackType
from typing import Any, Self

from prometheus_client import start_http_server

from actors.metrics.series import Series
from costeer.errors import ConfigError


class Exporter:
    """Serves a run's metrics over HTTP until it is closed."""

    def __init__(self, metrics: Series, host: str, port: int) -> None:
        """Listen.

        Args:
            metrics: what is served, under ``/metrics``.
            host: address to listen at.
            port: 0 for any that is free; ``port`` says which.

        Raises:
            ConfigError: nothing can listen there.
        """
        try:
            server, thread = start_http_server(port, host, metrics.registry)
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            raise ConfigError(
                f"metrics: cannot listen at {host}:{port} ({reason}); choose another"
                " --metrics-port (0 for any that is free) or --metrics-host"
            ) from error
        self._server = server
        self._thread: Thread = thread
        self.host = host
        self.port = int(server.server_address[1])

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop listening."""
        self.close()

    def close(self) -> None:
        """Stop listening."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def discovery(self, labels: Mapping[str, str]) -> list[dict[str, Any]]:
        """Return what Prometheus' file-based service discovery reads."""
        return [{"targets": [f"{self.host}:{self.port}"], "labels": dict(labels)}]
