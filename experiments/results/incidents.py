"""What failed in the model while an arm ran: rows of the summary's ``events``."""

from __future__ import annotations

from typing import Any

from actors.failures import Incident
from experiments.results.frames import Arm

_NS = 1e9


def incident_rows(arm: Arm) -> list[dict[str, Any]]:
    """Return a row for each thing that happened in an arm, in order."""
    return [{"arm": arm.index, **arm.keys, **incident_row(each)} for each in arm.incidents]


def incident_row(incident: Incident) -> dict[str, Any]:
    """Return what happened, by names."""
    device = incident.kind == "device_leaves"
    return {
        "kind": incident.kind,
        "at_s": incident.at_ns / _NS,
        "replica": None if device else incident.subject,
        "device": incident.subject if device else None,
        "sessions_moved": incident.moved,
        "sessions_waited": incident.waited,
    }
