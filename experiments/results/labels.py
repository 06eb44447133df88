"""Short names for arms, and where their numbers come from, in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from experiments.results.summary import ALL

Row = Mapping[str, Any]
"""One row of ``summary.json``."""

TEXT, BYTES, TIME = "quality", "bytes", "time"
"""The kinds of figures that an origin can be about."""

_PREFIXES = {"strength": "c=", "refine": "refine ", "overlap": "overlap ", "gate": "gate "}

KEYS = ("method", "speculation", "codec", "strength", "refine", "gate", "overlap", "values", "way")
"""What may tell arms apart, the most telling first."""


def whole_arms(rows: Sequence[Row]) -> list[Row]:
    """Return the rows over every link class, in the arms' order."""
    return [row for row in rows if row["link_class"] == ALL]


def arm_labels(rows: Sequence[Row]) -> list[str]:
    """Return a short name per arm that no other arm has: as few keys as tell them apart."""
    varying = [key for key in KEYS if len({row.get(key) for row in rows}) > 1] or ["method"]
    used = varying[:1]
    labels = [_label(row, used) for row in rows]
    for key in varying[1:]:
        if len(set(labels)) == len(labels):
            break
        used = [*used, key]
        labels = [
            _label(row, used) if labels.count(label) > 1 else label
            for row, label in zip(rows, labels, strict=True)
        ]
    if len(set(labels)) < len(labels):
        labels = [f"{label} #{row['arm']}" for row, label in zip(rows, labels, strict=True)]
    return labels


def _label(row: Row, keys: Sequence[str]) -> str:
    told = [(key, str(row[key])) for key in keys if row.get(key)]
    return ", ".join(_PREFIXES.get(key, "") + value for key, value in told)


def arms_title(rows: Sequence[Row]) -> str:
    """Return what the labels name: the key that tells the arms apart."""
    return next((key for key in KEYS if len({row.get(key) for row in rows}) > 1), "method")


def origins_line(rows: Sequence[Row], about: Sequence[str] = (TEXT, BYTES, TIME)) -> str:
    """Return where each group of figures comes from; arms that differ are told apart.

    Empty where the run says nothing of origins.

    Args:
        rows: one summary row per arm.
        about: which kinds of figures; what is neither ``quality`` nor ``bytes`` is about time.
    """
    by_group: dict[str, dict[str, list[str]]] = {}
    for row, label in zip(rows, arm_labels(rows), strict=True):
        for group, origin in row.get("origins", {}).items():
            if (group if group in {TEXT, BYTES} else TIME) in about:
                by_group.setdefault(group, {}).setdefault(origin, []).append(label)
    parts = []
    for group, origins in by_group.items():
        if len(origins) == 1:
            parts.append(f"{group} {next(iter(origins))}")
        else:
            told = ", ".join(f"{origin} ({', '.join(who)})" for origin, who in origins.items())
            parts.append(f"{group} {told}")
    return f"origins: {'; '.join(parts)}" if parts else ""
