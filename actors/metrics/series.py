"""The numbers of one run, and how they are read: a collector of a registry of its own."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from threading import Lock
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from prometheus_client import CollectorRegistry
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
    SummaryMetricFamily,
)

from actors.metrics.families import FAMILIES, SIMULATED, WALL, Family

MOST_VALUES = 16
"""Different values of one label."""
OTHER = "other"

Key: TypeAlias = tuple[str, ...]


class _Histogram:
    """Counts per bucket, and the sum of what was observed."""

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: Sequence[float]) -> None:
        self.bounds = np.array(bounds)
        self.counts = np.zeros(len(bounds) + 1, np.int64)
        self.total = 0.0

    def add(
        self, values: NDArray[np.float64], counts: NDArray[np.int64] | None, total: float
    ) -> None:
        # side="left": a value on a bound belongs to the bucket below it (le).
        found = np.searchsorted(self.bounds, values, side="left")
        np.add.at(self.counts, found, 1 if counts is None else counts)
        self.total += total

    def buckets(self) -> list[tuple[str, float]]:
        names = [*(str(float(bound)) for bound in self.bounds), "+Inf"]
        return list(zip(names, (float(n) for n in self.counts.cumsum()), strict=True))


class Series:
    """Figures of some families; a collector of its registry. Count under its ``lock``."""

    def __init__(self, families: Sequence[Family], timed_prefix: str) -> None:
        """Begin with nothing counted.

        Args:
            families: what there is to count.
            timed_prefix: of families that are on the run's own clock.
        """
        self._families = tuple(families)
        self._by_name = {family.name: family for family in families}
        self._prefix = timed_prefix
        self.lock = Lock()
        self._numbers: dict[str, dict[Key, float]] = {family.name: {} for family in families}
        self._histograms: dict[str, dict[Key, _Histogram]] = {
            family.name: {} for family in families if family.kind == "histogram"
        }
        self._counts: dict[str, dict[Key, int]] = {
            family.name: {} for family in families if family.kind == "summary"
        }
        self._seen: dict[str, set[str]] = {}
        for family in families:
            if family.labels:
                continue
            if family.kind == "histogram":
                self._histograms[family.name][()] = _Histogram(family.bounds)
            elif family.kind != "summary":
                self._numbers[family.name][()] = 0.0
        self.registry = CollectorRegistry(auto_describe=False)
        self.registry.register(self)

    # ------------------------------------------------------------------ reading

    def describe(self) -> list[Metric]:
        """Name the families; nothing is collected at registration."""
        return [
            Metric(self._prefix_of(each) + each.name, each.help, each.kind)
            for each in self._families
        ]

    def collect(self) -> Iterator[Metric]:
        """Yield all families as they are now."""
        with self.lock:
            made = [self._made(family) for family in self._families]
        yield from made

    def _prefix_of(self, family: Family) -> str:
        return self._prefix if family.timed else WALL

    def _made(self, family: Family) -> Metric:
        name = self._prefix_of(family) + family.name
        if family.kind == "histogram":
            histogram = HistogramMetricFamily(name, family.help, labels=family.labels)
            for key, found in self._histograms[family.name].items():
                histogram.add_metric(key, found.buckets(), found.total)
            return histogram
        values = self._numbers[family.name]
        if family.kind == "summary":
            summary = SummaryMetricFamily(name, family.help, labels=family.labels)
            for key, value in values.items():
                summary.add_metric(key, self._counts[family.name][key], value)
            return summary
        make = CounterMetricFamily if family.kind == "counter" else GaugeMetricFamily
        plain: Any = make(name, family.help, labels=family.labels)
        for key, value in values.items():
            plain.add_metric(key, value)
        return plain  # type: ignore[no-any-return] # both are metrics

    # ------------------------------------------------------------------ counting, under the lock

    def _key(self, name: str, values: Sequence[str]) -> Key:
        return tuple(
            self._bounded(label, value)
            for label, value in zip(self._by_name[name].labels, values, strict=True)
        )

    def _bounded(self, label: str, value: str) -> str:
        seen = self._seen.setdefault(label, set())
        if value not in seen:
            if len(seen) == MOST_VALUES:
                return OTHER
            seen.add(value)
        return value

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        self._numbers[name][self._key(name, labels)] = float(value)

    def add(self, name: str, value: float, *labels: str) -> None:
        """Add to a counter."""
        key, numbers = self._key(name, labels), self._numbers[name]
        numbers[key] = numbers.get(key, 0.0) + float(value)

    def spend(self, name: str, value: float, times: int, *labels: str) -> None:
        """Add to a summary what came together, and how many they were."""
        key = self._key(name, labels)
        self.add(name, value, *labels)
        counts = self._counts[name]
        counts[key] = counts.get(key, 0) + times

    def observe(self, name: str, values: NDArray[np.float64], *labels: str) -> None:
        """Put values into a histogram."""
        if len(values):
            self._histogram(name, labels).add(values, None, float(values.sum()))

    def observe_counts(
        self,
        name: str,
        values: NDArray[np.float64],
        counts: NDArray[np.int64],
        total: float,
        *labels: str,
    ) -> None:
        """Put values into a histogram that came so many times each; their sum is said."""
        if len(values):
            self._histogram(name, labels).add(values, counts, total)

    def _histogram(self, name: str, labels: Sequence[str]) -> _Histogram:
        key, found = self._key(name, labels), self._histograms[name]
        if key not in found:
            found[key] = _Histogram(self._by_name[name].bounds)
        return found[key]


class Metrics(Series):
    """One run's figures."""

    def __init__(self, *, scenario: str, way: str, values: str) -> None:
        """Begin with nothing counted.

        Args:
            scenario: its name.
            way: ``virtual`` or another simulated one, ``live``, or what serves real computers.
            values: where logits come from.
        """
        super().__init__(FAMILIES, SIMULATED if way in {"virtual", "fleet"} else WALL)
        self.set("run_info", 1.0, scenario, way, values)
        # There before the first death, so that an increase is seen as one.
        for role in ("cloud", "edge"):
            self.add("host_restarts", 0, role)
