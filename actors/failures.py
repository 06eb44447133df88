"""What fails in the model while a run goes on, and what becomes of it.

These failures are a scenario's own, and change simulated time. A death in the laboratory, of a host
or a node, is none of them.
"""

from __future__ import annotations

from dataclasses import dataclass
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


@dataclass(slots=True)
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
