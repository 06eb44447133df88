"""What a device's machine says of each token: where its time went, and how it was chosen."""

from __future__ import annotations

from dataclasses import dataclass

STAGES = (
    "device_queue",
    "draft",
    "uplink",
    "cloud_queue",
    "cloud_compute",
    "select_encode",
    "downlink",
    "decode",
    "edge_wait",
    "steer",
    "refinement",
    "overhead",
)
"""Where a token's time can go, in the order in which it passes.

``device_queue`` is the wait of a request behind an earlier one of the same user (open loop), and
in a live run how long a session stood still because a host had died.
``draft`` is what the small model spent on drafts before the frame with them went up.
``cloud_queue`` holds the wait for a cloud that did not answer, too.
``edge_wait`` is the wait for the small model after the logits are there (for the ``slm_*``
methods: its whole forward). ``refinement`` holds everything after the first MORE.
``overhead`` is what a live run spends between these; it is 0 in simulated ways, by a test.
"""


@dataclass(frozen=True, slots=True)
class TokenRecord:
    """One generated token, at the device.

    Args:
        session: session id.
        position: 0 for the first generated token.
        token: id.
        latency_ns: since the previous token (since the intended arrival for the first).
        stages_ns: the critical path, one figure per ``STAGES``; sums to ``latency_ns``.
        busy_edge_ns: work of the small model hidden behind the exchange.
        rounds: 0 when the first LOGITS were enough.
        certified: proven to be the full-vocabulary token.
        margin: nats between the best and the second-best candidate.
        drafted: the cloud had been told this token, as a draft, before it was chosen.
        refuted: the drafts that this choice refuted and the cloud had been told.
        unsent: further drafts that it refuted, which had not gone up.
        fallback: the device's own model alone chose it: the cloud did not answer.
        repeats: frames that were sent again, because no answer came, since the token before.
        payload_bytes: sizes of the payloads that it was chosen from, round by round; empty where no
            logits of its position came down.
    """

    session: int
    position: int
    token: int
    latency_ns: int
    stages_ns: tuple[int, ...]
    busy_edge_ns: int = 0
    rounds: int = 0
    certified: bool = True
    margin: float = 0.0
    drafted: bool = False
    refuted: tuple[int, ...] = ()
    unsent: int = 0
    fallback: bool = False
    repeats: int = 0
    payload_bytes: tuple[int, ...] = ()
