"""What failed in the model while arms ran, as a table; see ``incidents``."""

from __future__ import annotations

from collections.abc import Sequence

from experiments.results.grid import Column, number
from experiments.results.labels import Row, arm_labels, arms_title

_TOLD = {
    "replica_fails": "replica {} fails",
    "replica_is_back": "replica {} is back",
    "device_leaves": "device {} leaves",
}


def told(row: Row) -> str:
    """Return what happened in words."""
    if row["kind"] == "device_leaves" and row["device"] is None:
        return f"{row['devices']:,} devices leave"
    subject = row["device"] if row["replica"] is None else row["replica"]
    return _TOLD[row["kind"]].format(subject)


def incident_columns(arms: Sequence[Row], rows: Sequence[Row]) -> list[Column]:
    """Return what happened, and to how many sessions.

    Args:
        arms: rows of whole arms, for names.
        rows: of the summary's ``events``.
    """
    labels = {row["arm"]: label for row, label in zip(arms, arm_labels(arms), strict=True)}
    return [
        Column(arms_title(arms), tuple(labels[row["arm"]] for row in rows), left=True),
        Column("at", tuple(number(row["at_s"], 3) for row in rows), "s"),
        Column("event", tuple(told(row) for row in rows), left=True),
        Column("opened again", tuple(str(row["sessions_moved"]) for row in rows), "sessions"),
        Column("waited", tuple(str(row["sessions_waited"]) for row in rows), "sessions"),
    ]
