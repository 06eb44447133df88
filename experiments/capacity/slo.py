"""Service-level objectives: what a fleet has to keep so that it counts as served."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from costeer.errors import ConfigError

METRICS = {"ttft": "ttft_s", "itl": "itl_s", "tpot": "tpot_s", "e2e": "e2e_s"}
"""What can be limited, and its key in a row of ``summary.json``."""

STATISTICS = ("p50", "p95", "p99", "mean")


@dataclass(frozen=True, slots=True)
class Slo:
    """A limit on one statistic of one latency.

    Args:
        metric: of ``METRICS``.
        statistic: of ``STATISTICS``.
        limit_s: the largest value that keeps it, seconds.
    """

    metric: str
    statistic: str
    limit_s: float

    @property
    def name(self) -> str:
        """As it is written: ``itl_p95``."""
        return f"{self.metric}_{self.statistic}"

    @property
    def title(self) -> str:
        """For people: ``ITL p95 ≤ 200 ms``."""
        return f"{self.metric.upper()} {self.statistic} ≤ {self.limit_s * 1e3:g} ms"

    def measured_s(self, row: Mapping[str, Any]) -> float | None:
        """Return the figure in a row of ``summary.json``; None where nothing was measured."""
        value: float | None = row[METRICS[self.metric]][self.statistic]
        return value


def parse_slos(given: Sequence[str]) -> tuple[Slo, ...]:
    """Read objectives as ``itl_p95=0.2``.

    Raises:
        ConfigError: an unknown name, no positive number of seconds, or one that comes twice.
    """
    found = tuple(_parse(text) for text in given)
    names = [slo.name for slo in found]
    twice = next((name for name in names if names.count(name) > 1), None)
    if twice:
        raise ConfigError(f"--slo {twice}: given twice; keep one")
    return found


def _parse(text: str) -> Slo:
    name, equals, number = text.partition("=")
    known = [f"{metric}_{statistic}" for metric in METRICS for statistic in STATISTICS]
    if name not in known:
        near = get_close_matches(name, known, n=1)
        way_out = f"did you mean {near[0]!r}?" if near else f"known are {', '.join(known)}"
        raise ConfigError(f"--slo {text}: no objective {name!r}; {way_out}")
    try:
        limit_s = float(number) if equals else 0.0
    except ValueError:
        limit_s = 0.0
    if not 0 < limit_s < float("inf"):
        raise ConfigError(f"--slo {text}: give a positive number of seconds, as in {name}=0.2")
    metric, statistic = name.split("_")
    return Slo(metric, statistic, limit_s)
