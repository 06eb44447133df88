"""What one cell of a fleet is to do, as arrays: a cloud replica with its devices and their users.

Replicas that stand in for one another where one fails are one cell.

A cell is planned where it runs, from the scenario and its number alone, so that no process ever
holds the whole fleet. Nothing here is an object per device.

Legend: D devices of the cell in ascending order, S sessions (a device's follow one another), C
classes of the scenario.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from actors.plan import MOST_NAMED, session_id
from netsim.profiles import LinkProfile
from netsim.sharing import Discipline

Int64s = npt.NDArray[np.int64]
"""Numbers, one per device or session."""


@dataclass(frozen=True, slots=True)
class CellClass:
    """Devices that have the same link and the same hardware.

    Args:
        link: the link's profile, before a device's own figures are drawn.
        device_class: name of the hardware.
        discipline: how devices share their radio cell.
    """

    link: LinkProfile
    device_class: str
    discipline: Discipline


@dataclass(frozen=True, slots=True)
class LinkFigures:
    """What each device's link has of its own; see ``netsim.profiles.OwnFigures``. Shape (D,)."""

    down_bps_D: Int64s
    up_bps_D: Int64s
    rtt_ns_D: Int64s
    loss_delay_ns_D: Int64s
    offset_ns_D: Int64s


@dataclass(frozen=True, slots=True)
class CellPlan:
    """One cell.

    Args:
        cell: which one.
        classes: the scenario's.
        replicas: the numbers of its replicas, in ascending order.
        replica_D: index among them of each device's own.
        device_D: each device's number in the whole fleet, which all its draws are made with. Within
            the cell and in the order of events a device is its index here.
        class_D: index of its class.
        figures: of its link.
        radio_D: number of the radio cell that it shares with others, from 0; -1 for none.
        first_session_D1: where its sessions begin, and one more.
        due_ns_S: closed loop: the pause before a session; open loop: when it comes.
        opened: whether the loop is open.
        public_S: prompt tokens without the private context.
        personal_S: prompt tokens with it.
        public_bytes_S: bytes of the public prompt's ids in an OPEN frame.
        personal_bytes_S: the same of the whole prompt.
        new_tokens_S: the most that each answer has.
        until_ns: when everything stops; 0 to run to the end of every session.
        warmup_ns: requests that come earlier are served, and counted nowhere.
    """

    cell: int
    classes: tuple[CellClass, ...]
    replicas: tuple[int, ...]
    replica_D: Int64s
    device_D: Int64s
    class_D: Int64s
    figures: LinkFigures
    radio_D: Int64s
    first_session_D1: Int64s
    due_ns_S: Int64s
    opened: bool
    public_S: Int64s
    personal_S: Int64s
    public_bytes_S: Int64s
    personal_bytes_S: Int64s
    new_tokens_S: Int64s
    until_ns: int = 0
    warmup_ns: int = 0

    @property
    def numbered(self) -> bool:
        """Whether sessions are named by their devices' numbers in the whole fleet.

        As in every other way; in a fleet that has more devices than a frame's ids can tell apart
        they are named by the index at the replica, which is all that it has to know.
        """
        return self.devices == 0 or int(self.device_D[-1]) < MOST_NAMED

    def session(self, index: int, request: int) -> int:
        """Return the id of a device's session."""
        return session_id(int(self.device_D[index]) if self.numbered else index, request)

    @property
    def devices(self) -> int:
        """D."""
        return len(self.device_D)

    @property
    def sessions(self) -> int:
        """S."""
        return len(self.due_ns_S)

    @property
    def owner_S(self) -> Int64s:
        """Index of each session's device."""
        return np.repeat(np.arange(self.devices), np.diff(self.first_session_D1))

    @property
    def request_S(self) -> Int64s:
        """Which of its device's sessions each is, from 0."""
        first_D = self.first_session_D1[:-1]
        return np.arange(self.sessions) - np.repeat(first_D, np.diff(self.first_session_D1))
