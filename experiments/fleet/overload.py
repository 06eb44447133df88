"""Finds out that a cell can never keep up: more comes than is served, and it goes on coming.

Only where users ask at a rate, whether or not they were answered, can a backlog grow for ever. The
requests of a cell are planned, so every run ends; but where ever more of them wait, what is left of
it would only show how long it was made. Such a cell is stopped and its backlog told.

Rules
-----
* Looks are taken at eight equal parts of the time in which requests come.
* A cell is overloaded if, half of that time past, more than half of all that came has not ended,
  and more waited at each of the last four looks than at the one before. A peak that passes, however
  high, is not: it is over before, or served after.
* How fast it grows is told over those last looks, in whole requests an hour, so that cells add up.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from actors.fleet.cell import CellPlan

_LOOKS = 8
_GROWING = 4
_UNSERVED = 0.5
_NS_PER_HOUR = 3_600_000_000_000


class Overload:
    """Watches the backlog of one cell."""

    def __init__(self, cell: CellPlan) -> None:
        """Remember when requests come."""
        self._due_ns = np.sort(cell.due_ns_S) if cell.opened else np.zeros(0, np.int64)
        last_ns = int(self._due_ns[-1]) if len(self._due_ns) else 0
        self._every_ns = max(1, last_ns // _LOOKS)
        self._backlogs, self._looked_ns = [0], [0]
        self.found = False
        """Whether the cell can never keep up."""

    @property
    def growth_per_hour(self) -> int:
        """Requests by which the backlog grows in an hour; 0 where the cell keeps up."""
        if not self.found:
            return 0
        more = self._backlogs[-1] - self._backlogs[-_GROWING - 1]
        spent_ns = self._looked_ns[-1] - self._looked_ns[-_GROWING - 1]
        return more * _NS_PER_HOUR // spent_ns

    def look(self, now_ns: int, finished: int) -> None:
        """Look at a cell; what is asked too early is not looked at.

        Args:
            now_ns: the instant that it has come to.
            finished: requests that have ended.
        """
        if not len(self._due_ns) or now_ns < len(self._backlogs) * self._every_ns:
            return
        arrived = int(np.searchsorted(self._due_ns, now_ns, side="right"))
        self._backlogs.append(arrived - finished)
        self._looked_ns.append(now_ns)
        last = self._backlogs[-_GROWING - 1 :]
        growing = all(one < other for one, other in pairwise(last))
        half = now_ns >= _GROWING * self._every_ns and len(last) > _GROWING
        self.found = half and growing and last[-1] > _UNSERVED * arrived
