"""Which replica serves which device, while replicas fail and come back.

Rules
-----
* A device's own replica is the one that its plan names. When it fails, its devices turn one after
  the other, by their numbers, to the replica that then has the fewest devices for its weight: of
  the region where there is one, else of all. Ties go to the lowest number.
* Those who stand in for one that fails are no different from its own.
* When a replica is back, its own devices are at home there again, and so are those that had none. A
  session that is under way elsewhere stays until its end: its memory is there.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from actors.failures import Standing


class Homes:
    """The homes of a fleet's devices."""

    def __init__(self, own: Mapping[int, int], replicas: int, standing: Standing) -> None:
        """Take a fleet whose replicas are all there.

        Args:
            own: device -> number of its replica.
            replicas: how many there are.
            standing: who stands in for whom.
        """
        self._own = dict(sorted(own.items()))
        self._home: dict[int, int | None] = dict(self._own)
        self._up = [True] * replicas
        self._standing = standing
        self._count = [0] * replicas
        for replica in self._own.values():
            self._count[replica] += 1

    def of(self, device: int) -> int | None:
        """Return which replica a device is to be served by; None where none is left."""
        return self._home[device]

    def lose(self, replicas: Sequence[int]) -> None:
        """Let the devices of replicas that have failed turn to others."""
        for replica in replicas:
            self._up[replica] = False
        for device, home in self._home.items():
            if home in replicas:
                self._settle(device, self._stand_in(self._own[device]))

    def gain(self, replica: int) -> None:
        """Let a replica that is back have its own devices, and those without a home."""
        self._up[replica] = True
        for device, home in self._home.items():
            if self._own[device] == replica:
                self._settle(device, replica)
            elif home is None:
                self._settle(device, self._stand_in(self._own[device]))

    def leave(self, device: int) -> None:
        """Forget a device."""
        self._settle(device, None)
        del self._home[device]

    def _settle(self, device: int, home: int | None) -> None:
        before = self._home[device]
        if before is not None:
            self._count[before] -= 1
        if home is not None:
            self._count[home] += 1
        self._home[device] = home

    def _stand_in(self, own: int) -> int | None:
        left = [replica for replica, up in enumerate(self._up) if up]
        standing = self._standing
        near = [each for each in left if standing.region(each) == standing.region(own)]
        return min(
            near or left,
            key=lambda each: ((self._count[each] + 1) / standing.weight(each), each),
            default=None,
        )
