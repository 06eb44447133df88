"""What the cells of a large fleet add to a run's metrics, each when it has ended.

A cell keeps no rows, so what is counted comes from its sums and histograms: values of Prometheus'
buckets are those of the middles of the cell's (at most 0.8 % off), their sums are exact. What only
rows or an instant could tell is not there: states of devices, sessions that run or wait, how busy
access links are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.fleet.histogram import Histogram, middle_of
from actors.fleet.result import CellResult
from actors.metrics.series import Metrics
from actors.records import CENSORED
from costeer.token_record import STAGES

_NS = 1e-9

_LATENCIES = (
    ("time_to_first_token_seconds", "ttft"),
    ("inter_token_latency_seconds", "itl"),
    ("e2e_request_latency_seconds", "e2e"),
)
_FIGURES = (
    ("tokens", "tokens"),
    ("certified_tokens", "certified"),
    ("refinement_rounds", "rounds"),
)
_BYTES = (
    ("payload_bytes", "down", "payload_bytes_down"),
    ("frame_bytes", "down", "frame_bytes_down"),
    ("frame_bytes", "up", "frame_bytes_up"),
    ("link_bytes", "down", "wire_bytes_down"),
    ("link_bytes", "up", "wire_bytes_up"),
    ("link_packets", "down", "packets_down"),
    ("link_packets", "up", "packets_up"),
)
_CLOUD = (
    ("frames_dropped", "dropped_frames"),
    ("sessions_refused", "refused_sessions"),
    ("sessions_timed_out", "timed_out_sessions"),
)
ENDED = "ended"
"""Reason of requests of which a cell only counts that they ended as they should."""


class CellMetrics:
    """Counts the cells of one arm."""

    def __init__(
        self,
        metrics: Metrics,
        *,
        method: str,
        codec: str,
        links: Sequence[str],
        cells: int,
        expected_tokens: int,
    ) -> None:
        """Begin an arm.

        Args:
            metrics: the run's.
            method: its name.
            codec: its name; empty for methods without one.
            links: link class of each class of devices.
            cells: how many there will be.
            expected_tokens: about how many tokens.
        """
        self._metrics = metrics
        self._method = method
        self._codec = codec or "none"
        self._links = links
        self._cells = cells
        self._done = 0
        self._now_ns = 0
        with metrics.lock:
            metrics.set("expected_tokens", expected_tokens)
            metrics.set("cells", 0, "done")
            metrics.set("cells", cells, "left")

    def __call__(self, result: CellResult) -> None:
        """Count what a cell came to."""
        metrics, method = self._metrics, self._method
        with metrics.lock:
            self._done += 1
            metrics.set("cells", self._done, "done")
            metrics.set("cells", self._cells - self._done, "left")
            for family, name in _FIGURES:
                metrics.add(family, result.figure(name), method)
            self._requests(result)
            for family, name in _LATENCIES:
                metrics.observe_counts(family, *_values(result.histogram(name), _NS), method)
            for stage in STAGES:
                found = result.histogram(stage)
                metrics.spend("stage_seconds", found.total * _NS, found.count, method, stage)
            for of, link in enumerate(self._links):
                for family, direction, name in _BYTES:
                    metrics.add(family, result.figure(name, of), direction, self._codec, link)
            metrics.observe_counts("batch_rows", *_values(result.batches, 1.0))
            metrics.add("egress_busy_seconds", result.cloud("egress_busy_ns") * _NS)
            for family, name in _CLOUD:
                metrics.add(family, result.cloud(name))
            # All cells have one clock, and it has come as far as the one that came farthest.
            metrics.add("clock_seconds", max(0, result.end_ns - self._now_ns) * _NS)
            self._now_ns = max(self._now_ns, result.end_ns)

    def _requests(self, result: CellResult) -> None:
        failed, censored = result.figure("failed"), result.figure("censored")
        ended = result.figure("finished") - failed
        for count, reason in ((ended, ENDED), (failed, "failed"), (censored, CENSORED)):
            if count:
                self._metrics.add("requests", count, self._method, reason)


def _values(found: Histogram, unit: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Middles of a histogram's buckets, how many values each holds, and the sum of all."""
    filled = found.counts_B.nonzero()[0]
    middles = np.array([middle_of(int(bucket)) for bucket in filled], np.float64)
    return middles * unit, found.counts_B[filled], found.total * unit
