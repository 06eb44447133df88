"""The real Prometheus and promtool, where they are installed."""

from __future__ import annotations

import json
import math
import shutil
import socket
import subprocess
import threading
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

PROMETHEUS, PROMTOOL = shutil.which("prometheus"), shutil.which("promtool")
with_prometheus = pytest.mark.skipif(
    not (PROMETHEUS and PROMTOOL), reason="prometheus and promtool (Debian: prometheus) are absent"
)
_LOOKS = 150
_LOOK_S = 0.1


def promtool(*arguments: object) -> str:
    done = subprocess.run(
        [str(PROMTOOL), *map(str, arguments)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def until(found: Callable[[], bool], what: str) -> None:
    """Wait for another process, a bounded number of looks."""
    for _ in range(_LOOKS):
        if found():
            return
        threading.Event().wait(_LOOK_S)
    pytest.fail(f"Prometheus: {what} did not come")


def as_grafana_asks(expr: str, clock: str = "") -> str:
    """Fill in a query's variables as Grafana does at first: everything chosen."""
    filled = {
        "${clock}": clock,
        "$__rate_interval": "1m",
        "$__range": "15m",
        "$job": ".+",
        "$instance": ".+",
    }
    for name, value in filled.items():
        expr = expr.replace(name, value)
    return expr


class Server:
    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"

    def query(self, expr: str) -> list[float]:
        """Return the values that are numbers."""
        return [value for value in self.answer(expr) if not math.isnan(value)]

    def answer(self, expr: str) -> list[float]:
        """Return the value of every series."""
        given = urllib.parse.urlencode({"query": expr})
        try:
            with urllib.request.urlopen(f"{self.url}/api/v1/query?{given}") as answer:  # noqa: S310 - loopback
                rows = json.load(answer)["data"]["result"]
        except OSError:
            return []
        return [float(row["value"][1]) for row in rows]

    def wait_for_scrapes(self) -> None:
        """Wait until both exporters were scraped twice more."""
        expr = "min(count_over_time(up[10m]))"
        before = max(self.query(expr), default=0.0)
        until(lambda: max(self.query(expr), default=0.0) >= before + 2, "scrape")


@contextmanager
def running(folder: Path, data: Path) -> Iterator[Server]:
    """Start Prometheus with the configuration in a folder; end it.

    Args:
        folder: holds prometheus.yml.
        data: where it may keep what it scrapes.
    """
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    command = [
        str(PROMETHEUS),
        f"--config.file={folder / 'prometheus.yml'}",
        f"--storage.tsdb.path={data}",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, stdout=quiet, stderr=quiet) as process:
        try:
            yield Server(port)
        finally:
            process.kill()
