"""Names of what a cell counts, in the order in which it stands in the tables."""

from __future__ import annotations

from costeer.token_record import STAGES

HISTOGRAMS = ("latency", "itl", "ttft", "tpot", "e2e", "stall", *STAGES)
"""Of each class: a token's latency; that of every token after the first; then of each request that
ended, at the device: TTFT (of each that has a token), TPOT, E2E, and how long a reader stands
waiting; then a token's stages."""

CLASS_FIGURES = (
    "tokens",
    "delivered",
    "certified",
    "refined",
    "rounds",
    "payload_bytes_down",
    "frame_bytes_down",
    "wire_bytes_down",
    "packets_down",
    "frame_bytes_up",
    "wire_bytes_up",
    "packets_up",
    "busy_edge_ns",
    "edge_forward_ns",
    "edge_logits_ns",
    "arrived",
    "finished",
    "failed",
    "censored",
    "drafted",
    "corrected",
    "refuted_drafts",
    "unsent_drafts",
    "fallback_tokens",
    "fallback_requests",
    "stalled",
    "left",
    "repeated_frames",
    *(f"first_{stage}_ns" for stage in STAGES),
)
"""Sums of each class: tokens of the requests that count; those delivered in the measured time,
whatever request they belong to; of the first, those certified, those that were asked more for, and
how often; bytes as in ``actors.records.ByteMeter``; work of the small model that was hidden, all of
its forwards, and the device's work on logits; requests; tokens that the cloud had been told as
drafts, those that refuted a draft that it had been told, and how many were refuted, told and not;
tokens that devices chose alone and requests with such, requests given up and those whose devices
left, frames that were sent again for a token;
and the stages of first tokens."""

CLASS_EDGES = ("first_arrival_ns", "last_token_ns")
"""Of each class: the first intended arrival (``NONE_YET`` without one), the last one delivered."""

CLOUD_FIGURES = (
    "forwards",
    "rows",
    "forward_ns",
    "select_ns",
    "egress_busy_ns",
    "egress_bytes",
    "waited_sessions",
    "refused_sessions",
    "timed_out_sessions",
    "preempted_sessions",
    "recomputed_tokens",
    "dropped_frames",
    "drafts",
    "refuted_drafts",
    "wasted_tokens",
    "right_drafts",
    "wrong_drafts",
    "backlog",
)
"""Sums of the cloud, from its beginning to its end."""

CLOUD_PEAKS = ("kv_tokens", "waiting", "running")
"""The most of each at one time; over several cells the sum of each one's most."""

SERIES = (
    "forwards",
    "rows",
    "forward_ns",
    "waiting",
    "running",
    "kv_tokens",
    "egress_busy_ns",
    "egress_bytes",
    "tokens",
    "arrived",
    "finished",
)
"""Sums of each bin of simulated time: forwards that began, their rows and durations; sessions that
waited for memory, sessions that held some, and KV tokens held, summed over the steps that began (so
divided by ``forwards`` a mean); the cloud's way out; tokens chosen; requests that arrived and that
ended."""
