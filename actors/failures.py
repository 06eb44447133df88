"""What fails in the model while a run goes on, and what becomes of it.

These failures are a scenario's own, and change simulated time. A death in the laboratory, of a host
or a node, is none of them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Literal

IncidentKind = Literal["replica_fails", "replica_is_back", "device_leaves"]


@dataclass(frozen=True, slots=True)
class ReplicaFailure:
    """A replica that forgets all its sessions, and serves nobody until it is back.

    Args:
        replica: which one.
        at_ns: when.
        noticed_ns: when its devices turn to another one.
        back_ns: when it is back, with nothing in its memory; None for never.
    """

    replica: int
    at_ns: int
    noticed_ns: int
    back_ns: int | None = None


@dataclass(frozen=True, slots=True)
class Departure:
    """A device that leaves without a word, whatever it is at.

    Args:
        device: which one.
        at_ns: when.
    """

    device: int
    at_ns: int


@dataclass(frozen=True, slots=True)
class Incident:
    """What happened in a run, and to how many sessions.

    Args:
        kind: of it.
        at_ns: when.
        subject: which replica or device.
        moved: sessions under way that were opened again, at another replica or at this one.
        waited: sessions that had to wait for a replica, those that came meanwhile included.
    """

    kind: IncidentKind
    at_ns: int
    subject: int
    moved: int = 0
    waited: int = 0


class Incidents:
    """What has happened so far: each thing once, with all sessions that are told of it."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._found: dict[tuple[IncidentKind, int, int], Incident] = {}

    def add(self, *told: Incident) -> None:
        """Hear of what happened, or of more sessions that it happened to."""
        for each in told:
            key = (each.kind, each.at_ns, each.subject)
            known = self._found.get(key)
            if known is not None:
                moved, waited = known.moved + each.moved, known.waited + each.waited
                each = replace(known, moved=moved, waited=waited)  # noqa: PLW2901 - the sum of both
            self._found[key] = each

    def all(self) -> list[Incident]:
        """Return them in the order in which they were first told of."""
        return list(self._found.values())

    def by_time(self) -> list[Incident]:
        """Return them in the order of a simulated run's events."""
        return in_order(self._found.values())


def in_order(incidents: Iterable[Incident]) -> list[Incident]:
    """Return them in the order of a simulated run's events."""
    return sorted(incidents, key=lambda one: (one.at_ns, _ORDER[one.kind], one.subject))


_ORDER: dict[IncidentKind, int] = {"replica_is_back": 0, "replica_fails": 1, "device_leaves": 2}


@dataclass(frozen=True, slots=True)
class Standing:
    """Who stands in for a replica that fails.

    Args:
        regions: of each replica; those of its own region come first. Empty: all are in one.
        weights: of each replica: its part of the devices is to be its part of the sum. Empty: all
            weigh the same.
    """

    regions: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()

    def region(self, replica: int) -> int:
        """Return where a replica is."""
        return self.regions[replica] if self.regions else 0

    def weight(self, replica: int) -> float:
        """Return what a replica weighs."""
        return self.weights[replica] if self.weights else 1.0


ALIKE = Standing()
"""All in one region, all of one weight."""
