"""Where a run's actors live on a cluster."""

from __future__ import annotations

from typing import Literal

from experiments.scenario.section import Section


class HostsConfig(Section):
    """Where a run's actors live on a cluster; no result depends on it."""

    placement: Literal["loose", "spread", "pack"] = "loose"
    """`loose` (Ray spreads them as it can), or with room reserved before the start: `spread` (over
    as many nodes as there are) or `pack` (each replica and its shards on one node)."""
