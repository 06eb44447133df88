"""What each arm costs, as a table."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Sequence

from experiments.results.grid import Column, markdown_table, numbers, text_table
from experiments.results.labels import Row, arm_labels, arms_title, whole_arms


def has_costs(rows: Sequence[Row]) -> bool:
    """Whether a run says what its arms cost: prices are declared for one of them."""
    costs = [row.get("cost") for row in whole_arms(rows)]
    return any(
        each is not None
        and any(value is not None for value in each["usd_per_million_tokens"].values())
        for each in costs
    )


def cost_columns(rows: Sequence[Row]) -> list[Column]:
    """Return the arms' costs: GPU time and money per token, bytes, energy and memory."""
    arms = [row for row in whole_arms(rows) if row.get("cost")]
    costs = [row["cost"] for row in arms]
    money = [each["usd_per_million_tokens"] for each in costs]
    million = "$/million tokens"
    busy_ms = [_scaled(each["gpu_busy_s_per_token"], 1e3) for each in costs]
    shares = [_scaled(row.get("gpu_busy_share"), 100) for row in arms]
    weights = [each["device_memory_gb"]["weights"] for each in costs]
    return [
        Column(arms_title(arms), tuple(arm_labels(arms)), left=True),
        Column("busy", numbers(busy_ms), "ms/token", "GPU"),
        Column("busy", numbers(shares), "%", "GPU"),
        Column("GPU", numbers([each["gpu_paid"] for each in money]), "paid", million),
        Column("GPU", numbers([each["gpu_busy"] for each in money]), "busy", million),
        Column("egress", numbers([each["egress"] for each in money]), "", million),
        Column("total", numbers([each["total"] for each in money]), "paid", million),
        Column(
            "egress",
            numbers([each["egress_gb_per_million_tokens"] for each in costs]),
            "GB/million",
            "wire",
        ),
        Column(
            "response",
            numbers([_sum(each["mb_per_response"].values()) for each in costs]),
            "MB",
            "wire",
        ),
        Column(
            "energy", numbers([each["device_j_per_token"] for each in costs]), "J/token", "device"
        ),
        Column("weights", numbers(weights), "GB", "device"),
        Column(
            "KV", numbers([each["device_memory_gb"]["kv"] * 1e3 for each in costs]), "MB", "device"
        ),
    ]


def cost_note(rows: Sequence[Row]) -> str:
    """Return what the figures of the table mean, and where they are from."""
    sources = [row["cost"]["origins"]["prices"] for row in whole_arms(rows) if row.get("cost")]
    return (
        "busy: while the replica computes, selects and encodes; paid: from the first arrival to "
        "the last token, idle or not. wire: as sent, with TCP/IP, TLS and HTTP/2. device: its own "
        "work at its power, without waiting and radio; memory at the end of the longest request. "
        f"Prices: {'; '.join(dict.fromkeys(sources))}. Power: declared, see netsim/hardware."
    )


def cost_table(rows: Sequence[Row], *, markdown: bool = False, width: int | None = None) -> str:
    """Return the table printed, with its note."""
    columns, note = cost_columns(rows), cost_note(rows)
    if markdown:
        return f"{markdown_table(columns)}\n\n{note}"
    return f"{text_table(columns, width)}\n{textwrap.fill(note, width or 110)}"


def _scaled(value: float | None, scale: float) -> float | None:
    return None if value is None else value * scale


def _sum(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if known else None
