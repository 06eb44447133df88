"""What failed in the model while an arm ran: rows of the summary's ``events``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any

from actors.failures import Incident

_NS = 1e9
_NAMED = 20
"""Devices that leave at one instant and are told by name; of more, only how many there are."""


def incident_rows(
    arm: int, keys: Mapping[str, str], incidents: Sequence[Incident]
) -> list[dict[str, Any]]:
    """Return a row for each thing that happened in an arm, in order.

    Args:
        arm: its number.
        keys: what distinguishes it.
        incidents: what happened; many devices that leave at one instant are one row.
    """
    return [{"arm": arm, **keys, **row} for row in told_incidents(incidents)]


def told_incidents(incidents: Sequence[Incident]) -> list[dict[str, Any]]:
    """Return what happened, by names, in order."""
    rows = []
    for _, group in groupby(incidents, key=lambda each: (each.kind, each.at_ns)):
        alike = list(group)
        if alike[0].kind == "device_leaves" and len(alike) > _NAMED:
            rows.append({**_row(alike[0]), "device": None, "devices": len(alike)})
        else:
            rows += [_row(each) for each in alike]
    return rows


def _row(incident: Incident) -> dict[str, Any]:
    leaves = incident.kind == "device_leaves"
    return {
        "kind": incident.kind,
        "at_s": incident.at_ns / _NS,
        "replica": None if leaves else incident.subject,
        "device": incident.subject if leaves else None,
        "devices": 1 if leaves else None,
        "sessions_moved": incident.moved,
        "sessions_waited": incident.waited,
    }
