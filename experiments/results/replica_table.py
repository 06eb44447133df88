"""What each replica served, as a table; see ``replicas``."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.results.grid import Column, number, numbers
from experiments.results.labels import Row, arm_labels, arms_title

_MS = 1e3


def replica_columns(arms: Sequence[Row], rows: Sequence[Row]) -> list[Column]:
    """Return what each replica served, and how busy it was.

    Args:
        arms: rows of whole arms, for names.
        rows: of the summary's ``replicas``.
    """
    labels = {row["arm"]: label for row, label in zip(arms, arm_labels(arms), strict=True)}

    def share(key: str) -> tuple[str, ...]:
        return tuple(number(None if row[key] is None else 100 * row[key], 1) for row in rows)

    def count(key: str) -> tuple[str, ...]:
        return tuple(f"{row[key]:,}" for row in rows)

    def p50_ms(key: str) -> tuple[str, ...]:
        values = [row[key]["p50"] for row in rows]
        return numbers([None if each is None else _MS * each for each in values])

    return [
        Column(arms_title(arms), tuple(labels[row["arm"]] for row in rows), left=True),
        Column("replica", count("replica")),
        Column("devices", count("devices")),
        Column("requests", count("requests")),
        Column("tokens", count("tokens")),
        Column("TTFT p50", p50_ms("ttft_s"), "ms"),
        Column("ITL p50", p50_ms("itl_s"), "ms"),
        Column("rows", numbers([row["rows_per_forward_mean"] for row in rows]), "a forward"),
        Column("GPU", share("gpu_busy_share"), "% busy"),
        Column("egress", share("egress_busy_share"), "% busy"),
        Column("KV peak", share("kv_peak_share"), "%"),
        Column("waited", count("waited_sessions"), "for memory"),
    ]
