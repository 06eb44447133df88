"""What the rows of one arm add to a run's metrics."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np

from actors.metrics.series import Metrics
from actors.metrics.states import DeviceStates
from actors.plan import ArmPlan
from actors.records import UNANSWERED, ByteMeter, News, RequestRow, TokenRow
from costeer.patience import STALLED
from costeer.token_record import STAGES
from netsim.carriage import UNLIMITED

_NS = 1e-9

_BYTES = tuple(
    (family, direction, f"{kind}_{direction}")
    for family, kind in (
        ("payload_bytes", "payload_bytes"),
        ("frame_bytes", "frame_bytes"),
        ("link_bytes", "wire_bytes"),
        ("link_packets", "packets"),
    )
    for direction in ("down", "up")
    if (kind, direction) != ("payload_bytes", "up")
)
"""(family, direction, the meter's field)."""


class ArmMetrics:
    """Counts what one arm's recorder and driver tell."""

    def __init__(self, metrics: Metrics, plan: ArmPlan, codec: str) -> None:
        """Begin an arm.

        Args:
            metrics: the run's.
            plan: the arm.
            codec: its name; empty for methods without one.
        """
        self._metrics = metrics
        self._method = plan.arm.method.name
        self._codec = codec or "none"
        self._drafting = plan.speculation is not None
        self._link_of = {device.device: device.link_class for device in plan.devices}
        self._states = DeviceStates(plan)
        self._cloud = (0, 0, 0, 0, 0)
        self._now_ns = 0
        self._seconds_per_byte = {
            (direction, device.device): 0.0 if rate == UNLIMITED else 8 / rate
            for device in plan.devices
            for direction, rate in (
                ("down", device.link.down.rate_bps),
                ("up", device.link.up.rate_bps),
            )
        }
        links = Counter(self._link_of.values())
        with metrics.lock:
            metrics.set("expected_tokens", plan.expected_tokens)
            for link, devices in links.items():
                metrics.set("link_devices", devices, link)

    def __call__(self, news: News) -> None:
        """Count rows and what the driver saw; called between two events of a driver."""
        with self._metrics.lock:
            if news.tokens:
                self._tokens(news.tokens)
            for request in news.requests:
                self._request(request)
            self._bytes(news)
            self._look(news)

    def _tokens(self, rows: Sequence[TokenRow]) -> None:
        metrics, method = self._metrics, self._method
        records = [row.record for row in rows]
        latency_s = np.array([record.latency_ns for record in records]) * _NS
        first = np.array([record.position == 0 for record in records])
        metrics.observe("time_to_first_token_seconds", latency_s[first], method)
        metrics.observe("inter_token_latency_seconds", latency_s[~first], method)
        stages_ns = np.array([record.stages_ns for record in records]).sum(axis=0)
        for stage, spent_ns in zip(STAGES, stages_ns.tolist(), strict=True):
            metrics.spend("stage_seconds", spent_ns * _NS, len(rows), method, stage)
        metrics.add("tokens", len(rows), method)
        metrics.add("certified_tokens", sum(record.certified for record in records), method)
        metrics.add("refinement_rounds", sum(record.rounds for record in records), method)
        metrics.add("fallback_tokens", sum(record.fallback for record in records), method)
        metrics.add("repeated_frames", sum(record.repeats for record in records), method)
        if self._drafting:
            for name, count in (
                ("accepted_tokens", sum(record.drafted for record in records)),
                ("refutations", sum(bool(record.refuted) for record in records)),
                ("refuted_tokens", sum(len(record.refuted) for record in records)),
                ("unsent_tokens", sum(record.unsent for record in records)),
            ):
                metrics.add(f"spec_decode_{name}", count, method)

    def _request(self, row: RequestRow) -> None:
        metrics = self._metrics
        stalled = row.reason.startswith(STALLED)
        reason = STALLED if stalled else "failed" if row.failed else row.reason
        metrics.add("requests", 1, self._method, reason)
        if row.reason not in UNANSWERED:
            spent_s = np.array([(row.finished_ns - row.arrival_ns) * _NS])
            metrics.observe("e2e_request_latency_seconds", spent_s, self._method)

    def _bytes(self, news: News) -> None:
        moved: dict[str, ByteMeter] = {}
        busy_s: dict[tuple[str, str], float] = {}
        per_byte = self._seconds_per_byte
        for device, meter in news.moved():
            link = self._link_of[device]
            moved.setdefault(link, ByteMeter()).add(meter)
            for direction, size in (("down", meter.wire_bytes_down), ("up", meter.wire_bytes_up)):
                spent_s = size * per_byte[direction, device]
                busy_s[direction, link] = busy_s.get((direction, link), 0.0) + spent_s
        for (direction, link), spent_s in busy_s.items():
            self._metrics.add("link_busy_seconds", spent_s, direction, link)
        for link, meter in moved.items():
            for family, direction, field in _BYTES:
                value = getattr(meter, field)
                self._metrics.add(family, value, direction, self._codec, link)

    def _look(self, news: News) -> None:
        metrics = self._metrics
        self._states.take(news)
        for state, devices in self._states.counts.items():
            metrics.set("devices", devices, state)
        sight = news.sight
        metrics.observe("driver_lateness_seconds", np.array(sight.lateness_ns) * _NS)
        # A sight from before the first event of an arm has no time of its own.
        metrics.add("clock_seconds", max(0, sight.now_ns - self._now_ns) * _NS)
        self._now_ns = max(self._now_ns, sight.now_ns)
        look = sight.cloud
        if look is None:
            return
        metrics.set("num_requests_running", look.running)
        metrics.set("num_requests_waiting", look.waiting)
        metrics.set("kv_cache_usage_ratio", look.kv_tokens / look.kv_capacity)
        metrics.observe("batch_rows", np.array(look.batches, np.float64))
        now = (
            look.egress_busy_ns,
            look.dropped_frames,
            look.refused_sessions,
            look.timed_out_sessions,
            look.preempted_sessions,
        )
        more = [new - old for new, old in zip(now, self._cloud, strict=True)]
        self._cloud = now
        metrics.add("egress_busy_seconds", more[0] * _NS)
        metrics.add("frames_dropped", more[1])
        metrics.add("sessions_refused", more[2])
        metrics.add("sessions_timed_out", more[3])
        metrics.add("num_preemptions", more[4])
