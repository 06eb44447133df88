"""What the hosts on one node do, for an exporter of that node.

A host that is metered adds up what it carried out and sends it on about once a second; whoever
serves a node's metrics adds up what the node's hosts send. Neither knows of a cluster: how a batch
gets from one to the other is a function that is passed in.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

from actors.host_news import Feed, HostNews
from actors.metrics.exporter import Exporter
from actors.metrics.families import NODE_FAMILIES, WALL
from actors.metrics.series import Series
from actors.values.port import ArmSpec
from actors.values.witness import Witnessed, Witnessing

_SEND_EVERY_NS = 1_000_000_000


class MeteredHost:
    """A host that tells what it does; it computes what it would without."""

    def __init__(
        self,
        make_host: Callable[[], Any],
        role: str,
        feed: Feed,
        clock_ns: Callable[[], int] = time.monotonic_ns,
    ) -> None:
        """Make the host.

        Args:
            make_host: makes it.
            role: ``cloud`` or ``edge``.
            feed: takes what it tells.
            clock_ns: the wall.
        """
        self._host = make_host()
        self._role = role
        self._feed = feed
        self._clock_ns = clock_ns
        self._told_ns = clock_ns()
        self._calls = 0
        self._busy_ns = 0
        self._operations: Counter[str] = Counter()

    def begin_arm(self, arm: ArmSpec) -> int:
        """Forget every session, take the arm's codec; return the vocabulary's size."""
        self._tell()
        size: int = self._host.begin_arm(arm)
        return size

    def execute(self, ops: Sequence[Any]) -> list[object]:
        """Values of the operations, in order."""
        begun_ns = self._clock_ns()
        values: list[object] = self._host.execute(ops)
        now_ns = self._clock_ns()
        self._calls += 1
        self._busy_ns += now_ns - begun_ns
        self._operations.update(type(op).__name__ for op in ops)
        if now_ns - self._told_ns >= _SEND_EVERY_NS:
            self._tell()
        return values

    def take_witnessed(self) -> list[Witnessed]:
        """Return what was kept of the arm's witnessed sessions, and forget it."""
        self._tell()
        return self._host.take_witnessed() if isinstance(self._host, Witnessing) else []

    def _tell(self) -> None:
        self._told_ns = self._clock_ns()
        if self._calls:
            self._feed(HostNews(self._role, self._calls, self._busy_ns, dict(self._operations)))
            self._calls = self._busy_ns = 0
            self._operations.clear()


class NodeExporter:
    """Serves what the hosts of one node tell."""

    def __init__(self, host: str, port: int = 0) -> None:
        """Listen.

        Args:
            host: address to listen at.
            port: 0 for any that is free.

        Raises:
            ConfigError: nothing can listen there.
        """
        self._series = Series(NODE_FAMILIES, WALL)
        self._exporter = Exporter(self._series, host, port)

    def port(self) -> int:
        """Where it listens."""
        return self._exporter.port

    def count(self, news: HostNews) -> None:
        """Add what a host tells."""
        series = self._series
        with series.lock:
            series.add("host_calls", news.calls, news.role)
            series.add("host_busy_seconds", news.busy_ns * 1e-9, news.role)
            for kind, count in news.operations.items():
                series.add("host_operations", count, news.role, kind)

    def close(self) -> None:
        """Stop listening."""
        self._exporter.close()
