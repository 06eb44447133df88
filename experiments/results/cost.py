"""What an arm costs: GPU time, money, bytes per response, and a device's energy and memory.

Rules
-----
* A GPU is *busy* while the replica computes a forward, selects, encodes or chooses; it is *paid*
  from the arm's first arrival to its last token, busy or not. Both stand in the row over all
  links; what a link class had of the GPU is not told apart.
  Where a warm-up is cut off, so is its part of the GPU's time.
* Egress is paid by the byte on the wire, TCP/IP, TLS and HTTP/2 included.
* A device's energy is its power at work times the time that its model, its decoder and its
  steering work; waiting and the radio are not counted. Every round of MORE is charged as the first.
* Memory is what the device's model needs at the end of the longest request of the arm: its
  weights, and keys and values of all branches.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from experiments.cost_facts import CostFacts

_TOKENS = 1e6
_GB = 1e9
_MB = 1e6
_HOUR_S = 3600.0


@dataclass(frozen=True, slots=True)
class Usage:
    """What one row of the summary used.

    Args:
        tokens: of the requests that count.
        delivered: within the makespan, of whatever requests.
        requests: asked.
        wire_bytes_down: on the wire, all requests.
        wire_bytes_up: likewise.
        makespan_s: of the arm: end of the warm-up, or first arrival, to last token.
        gpu_busy_s: of the arm; None for a row of one link class.
        edge_work_ns: by device class: decoding, steering and forwards of the small model.
        edge_rounds: by device class: MORE rounds.
    """

    tokens: int
    delivered: int
    requests: int
    wire_bytes_down: int
    wire_bytes_up: int
    makespan_s: float | None = None
    gpu_busy_s: float | None = None
    edge_work_ns: Mapping[str, int] = field(default_factory=dict)
    edge_rounds: Mapping[str, int] = field(default_factory=dict)


def cost_of(facts: CostFacts, usage: Usage) -> dict[str, Any]:
    """Return the ``cost`` of a summary row; None stands for what is not known."""
    tokens, delivered = usage.tokens or None, usage.delivered or None
    whole = usage.gpu_busy_s is not None and facts.gpus > 0
    busy_s = usage.gpu_busy_s if whole else None
    paid_s = usage.makespan_s * facts.gpus if whole and usage.makespan_s is not None else None
    per_s = None if facts.gpu_usd_per_hour is None else facts.gpu_usd_per_hour / _HOUR_S
    egress_gb = usage.wire_bytes_down / _GB if facts.gpus else 0.0
    money = {
        "gpu_paid": _per_million(_product(paid_s, per_s), delivered),
        "gpu_busy": _per_million(_product(busy_s, per_s), delivered),
        "egress": _per_million(_product(egress_gb, facts.egress_usd_per_gb), tokens),
    }
    known = money["gpu_paid"], money["egress"]
    total = None if None in known else sum(part for part in known if part is not None)
    return {
        "gpu_busy_s_per_token": _over(busy_s, delivered),
        "gpu_paid_s_per_token": _over(paid_s, delivered),
        "usd_per_million_tokens": {**money, "total": total},
        "egress_gb_per_million_tokens": _per_million(egress_gb, tokens),
        "mb_per_response": {
            "down": _over(usage.wire_bytes_down / _MB, usage.requests or None),
            "up": _over(usage.wire_bytes_up / _MB, usage.requests or None),
        },
        "device_j_per_token": _over(_energy_j(facts, usage), tokens),
        "device_memory_gb": _memory_gb(facts),
        "origins": {"prices": facts.prices, "power": "declared", "memory": "model's shape"},
    }


def _energy_j(facts: CostFacts, usage: Usage) -> float | None:
    if not facts.edges:
        return 0.0
    joules = 0.0
    for name, work_ns in usage.edge_work_ns.items():
        edge = facts.edges.get(name)
        if edge is None or edge.power_w is None:
            return None
        busy_ns = work_ns + usage.edge_rounds.get(name, 0) * edge.more_ns
        joules += edge.power_w * busy_ns / 1e9
    return joules


def _memory_gb(facts: CostFacts) -> dict[str, float]:
    largest = max(facts.edges.values(), key=lambda edge: edge.kv_bytes, default=None)
    if largest is None:
        return {"weights": 0.0, "kv": 0.0}
    return {"weights": largest.weight_bytes / _GB, "kv": largest.kv_bytes / _GB}


def _product(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else one * other


def _over(value: float | None, count: float | None) -> float | None:
    return None if value is None or count is None else value / count


def _per_million(value: float | None, tokens: int | None) -> float | None:
    each = _over(value, tokens)
    return None if each is None else each * _TOKENS
