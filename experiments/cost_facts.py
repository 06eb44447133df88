"""What is known of an arm's costs before it runs; the rules are in ``experiments.results.cost``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class EdgeFacts:
    """What is known of a device class before anything runs.

    Args:
        power_w: while it computes; None where it is not known.
        more_ns: work of one further round of a token: decoding and steering again.
        weight_bytes: of its model.
        kv_bytes: at the end of the longest request, all branches.
    """

    power_w: float | None
    more_ns: int
    weight_bytes: int
    kv_bytes: int


@dataclass(frozen=True, slots=True)
class CostFacts:
    """What is known of an arm's costs before it runs.

    Args:
        gpus: that the replicas take; 0 for methods without a cloud.
        gpu_usd_per_hour: price; None where none is declared.
        egress_usd_per_gb: price; None where none is declared.
        edges: by device class; empty for methods without a small model.
        prices: where the prices are from, in words.
    """

    gpus: int = 0
    gpu_usd_per_hour: float | None = None
    egress_usd_per_gb: float | None = None
    edges: Mapping[str, EdgeFacts] = field(default_factory=dict)
    prices: str = "declared"
