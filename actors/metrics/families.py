"""Which metrics a run exports: names, units, labels, buckets."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

_LATENCY_S = (
    *(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 0.75),
    *(1.0, 1.5, 2.5, 5.0, 10.0, 30.0, 60.0, 120.0, 300.0),
)
"""From a fast local step to a dense row over 3g: a second at 10 ms apart would tell nothing."""
_LATENESS_S = (0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0)
_ROWS = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0, 128.0, 256.0, 512.0, 1024.0)

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]


@dataclass(frozen=True, slots=True)
class Family:
    """One metric.

    Args:
        name: after the prefix, without a counter's ``_total``.
        kind: of Prometheus' types.
        help: what it counts.
        labels: names of its labels.
        bounds: upper ends of a histogram's buckets, the last one (+Inf) left out.
        timed: on the run's own clock, so its prefix says which one that is.
    """

    name: str
    kind: Kind
    help: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    timed: bool = False

    def full_name(self, prefix: str) -> str:
        """Return the name as it is scraped, a histogram's and summary's without suffix."""
        return f"{prefix}{self.name}" + ("_total" if self.kind == "counter" else "")


WALL = "costeer_"
SIMULATED = "costeer_sim_"
_LINK = ("direction", "codec", "link")

FAMILIES = (
    Family(
        "time_to_first_token_seconds",
        "histogram",
        "From a request's intended arrival to its first token at the device.",
        ("method",),
        _LATENCY_S,
        timed=True,
    ),
    Family(
        "inter_token_latency_seconds",
        "histogram",
        "From one token to the next at the device.",
        ("method",),
        _LATENCY_S,
        timed=True,
    ),
    Family(
        "e2e_request_latency_seconds",
        "histogram",
        "From a request's intended arrival to its last token at the device.",
        ("method",),
        _LATENCY_S,
        timed=True,
    ),
    Family(
        "stage_seconds",
        "summary",
        "Critical path of a token; the stages add up to its latency.",
        ("method", "stage"),
        timed=True,
    ),
    Family("clock_seconds", "counter", "The run's own time, all its arms together.", timed=True),
    Family(
        "egress_busy_seconds", "counter", "How long the cloud's egress was sending.", timed=True
    ),
    Family("tokens", "counter", "Generated tokens, at the device.", ("method",)),
    Family(
        "certified_tokens",
        "counter",
        "Tokens proved to be those of the whole vocabulary.",
        ("method",),
    ),
    Family("refinement_rounds", "counter", "MORE requests of tokens.", ("method",)),
    Family(
        "spec_decode_accepted_tokens",
        "counter",
        "Tokens that the cloud had been told as drafts before they were chosen.",
        ("method",),
    ),
    Family(
        "spec_decode_refutations",
        "counter",
        "Choices that refuted a draft; all drafts behind it go with it.",
        ("method",),
    ),
    Family(
        "spec_decode_refuted_tokens",
        "counter",
        "Drafts that were refuted after the cloud had been told them.",
        ("method",),
    ),
    Family(
        "spec_decode_unsent_tokens",
        "counter",
        "Drafts that were refuted before they went up.",
        ("method",),
    ),
    Family(
        "fallback_tokens",
        "counter",
        "Tokens that a device chose alone, after its cloud had not answered.",
        ("method",),
    ),
    Family(
        "repeated_frames",
        "counter",
        "Frames that devices sent again because no answer came; counted with the token after them.",
        ("method",),
    ),
    Family(
        "requests",
        "counter",
        "Requests that ended: eos, length (a large fleet calls both ended), stalled (no cloud"
        " answered, nothing to fall back on), failed, left (its device went), or censored by the"
        " end of the run.",
        ("method", "finished_reason"),
    ),
    Family("payload_bytes", "counter", "What codecs made, per direction.", _LINK),
    Family("frame_bytes", "counter", "Frames as encoded: OPEN, MORE and CLOSE included.", _LINK),
    Family("link_bytes", "counter", "Bytes on the wire, headers and acks included.", _LINK),
    Family("link_packets", "counter", "Packets on the wire.", _LINK),
    Family(
        "devices",
        "gauge",
        "Devices by state: waiting (for a request or its first token), decoding, done.",
        ("state",),
    ),
    Family("expected_tokens", "gauge", "The most tokens that the arm can generate."),
    Family(
        "cells",
        "gauge",
        "Replicas of a large fleet's arm by state: done (what they came to is counted) or left.",
        ("state",),
    ),
    Family("num_requests_running", "gauge", "Sessions that hold KV memory at the cloud."),
    Family("num_requests_waiting", "gauge", "Sessions that wait for KV memory."),
    Family("kv_cache_usage_ratio", "gauge", "Share of the KV memory that is reserved."),
    Family("batch_rows", "histogram", "Rows of one forward of the cloud's model.", (), _ROWS),
    Family("frames_dropped", "counter", "Late or repeated frames that the cloud dropped."),
    Family("sessions_refused", "counter", "Sessions that the cloud refused."),
    Family("sessions_timed_out", "counter", "Sessions that the cloud dropped after silence."),
    Family("num_preemptions", "counter", "Sessions that the cloud evicted for want of KV memory."),
    Family(
        "driver_lateness_seconds",
        "histogram",
        "How late the driver handed a frame over, against its instant; live runs alone.",
        (),
        _LATENESS_S,
    ),
    Family(
        "link_busy_seconds",
        "counter",
        "How long access links would have been sending at their nominal rates, all together.",
        ("direction", "link"),
        timed=True,
    ),
    Family("link_devices", "gauge", "Devices on each kind of access link.", ("link",)),
    Family(
        "host_restarts",
        "counter",
        "Hosts that died and were made again: deaths in the laboratory, none in the model.",
        ("role",),
    ),
    Family("run_info", "gauge", "Always 1; what runs.", ("scenario", "way", "values")),
)
"""Everything that a run exports."""

_ROLE = ("role",)

NODE_FAMILIES = (
    Family("host_calls", "counter", "Batches of operations given to a node's hosts.", _ROLE),
    Family(
        "host_busy_seconds",
        "counter",
        "How long a node's hosts were at their operations, on the wall.",
        _ROLE,
    ),
    Family(
        "host_operations",
        "counter",
        "Operations that a node's hosts carried out, by kind.",
        ("role", "operation"),
    ),
)
"""What the exporter of one node of a cluster tells."""
