"""What the devices of an arm are doing, from the rows that they leave."""

from __future__ import annotations

from actors.plan import ArmPlan
from actors.records import LEFT, News


class DeviceStates:
    """Counts devices by state: waiting (for a request or its first token), decoding, done."""

    def __init__(self, plan: ArmPlan) -> None:
        """Begin with every device waiting that has anything to ask."""
        self._last_request = {each.device: len(each.requests) - 1 for each in plan.devices}
        idle = list(self._last_request.values()).count(-1)
        self.counts = {"waiting": len(plan.devices) - idle, "decoding": 0, "done": idle}
        """State -> devices."""
        self._left: set[int] = set()

    def take(self, news: News) -> None:
        """Count what the rows say: a first token begins a request, its row ends it.

        Who leaves is done; of who leaves while it has nothing to ask, no row tells.
        """
        counts = self.counts
        started = sum(row.record.position == 0 for row in news.tokens)
        counts["waiting"] -= started
        counts["decoding"] += started
        for row in news.requests:
            if row.tokens:
                counts["decoding"] -= 1
                counts["waiting"] += 1
            left = row.reason == LEFT
            if row.device in self._left:
                continue
            if left:
                self._left.add(row.device)
            if left or row.request == self._last_request[row.device]:
                counts["waiting"] -= 1
                counts["done"] += 1
