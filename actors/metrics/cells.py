"""What the cells of a large fleet add to a run's metrics, each when it has ended.

A cell keeps no rows, so what is counted comes from its sums and histograms: values of Prometheus'
buckets are those of the middles of the cell's (at most 0.8 % off), their sums are exact. Devices
wait until their cell has ended. What only an instant of the whole fleet could tell is not there
(devices that are decoding, sessions that run or wait for memory), nor what only rows could: how
busy access links are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from actors.fleet.histogram import Histogram, middle_of
from actors.fleet.result import CellResult
from actors.metrics.series import Metrics
from actors.plan import ArmPlan
from actors.records import CENSORED, LEFT
from costeer.patience import STALLED
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
    ("fallback_tokens", "fallback_tokens"),
    ("repeated_frames", "repeated_frames"),
)
_DRAFTS = (
    ("spec_decode_accepted_tokens", "drafted"),
    ("spec_decode_refutations", "corrected"),
    ("spec_decode_refuted_tokens", "refuted_drafts"),
    ("spec_decode_unsent_tokens", "unsent_drafts"),
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
    ("num_preemptions", "preempted_sessions"),
)
ENDED = "ended"
"""Reason of requests of which a cell only counts that they ended as they should."""


class CellMetrics:
    """Counts the cells of one arm."""

    def __init__(
        self,
        metrics: Metrics,
        plan: ArmPlan,
        *,
        codec: str,
        links: Sequence[str],
        devices: int,
        cells: int,
        expected_tokens: int,
    ) -> None:
        """Begin an arm.

        Args:
            metrics: the run's.
            plan: the arm; its own devices are not looked at.
            codec: its name; empty for methods without one.
            links: link class of each class of devices.
            devices: how many there are.
            cells: how many there will be.
            expected_tokens: about how many tokens.
        """
        self._metrics = metrics
        self._method = plan.arm.method.name
        self._codec = codec or "none"
        self._figures = _FIGURES + (_DRAFTS if plan.speculation is not None else ())
        self._waiting, self._asked = devices, 0
        self._links = links
        self._cells = cells
        self._done = 0
        self._now_ns = 0
        with metrics.lock:
            metrics.set("expected_tokens", expected_tokens)
            metrics.set("cells", 0, "done")
            metrics.set("cells", cells, "left")
            self._states()

    def __call__(self, result: CellResult) -> None:
        """Count what a cell came to."""
        metrics, method = self._metrics, self._method
        with metrics.lock:
            self._done += 1
            metrics.set("cells", self._done, "done")
            metrics.set("cells", self._cells - self._done, "left")
            self._waiting -= result.devices_done
            self._asked += result.devices_done
            self._states()
            for family, name in self._figures:
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

    def _states(self) -> None:
        for count, state in ((self._waiting, "waiting"), (0, "decoding"), (self._asked, "done")):
            self._metrics.set("devices", count, state)

    def _requests(self, result: CellResult) -> None:
        failed, stalled = result.figure("failed"), result.figure("stalled")
        censored, left = result.figure("censored"), result.figure("left")
        for count, reason in (
            (result.figure("finished") - failed, ENDED),
            (failed - stalled, "failed"),
            (stalled, STALLED),
            (censored - left, CENSORED),
            (left, LEFT),
        ):
            if count:
                self._metrics.add("requests", count, self._method, reason)


def _values(found: Histogram, unit: float) -> tuple[np.ndarray, np.ndarray, float]:
    """Middles of a histogram's buckets, how many values each holds, and the sum of all."""
    filled = found.counts_B.nonzero()[0]
    middles = np.array([middle_of(int(bucket)) for bucket in filled], np.float64)
    return middles * unit, found.counts_B[filled], found.total * unit
