"""What the devices of an arm are doing, from the rows that they leave."""

from __future__ import annotations

from actors.plan import ArmPlan
from actors.records import News


class DeviceStates:
    """Counts devices by state: waiting (for a request or its first token), decoding, done."""

    def __init__(self, plan: ArmPlan) -> None:
        """Begin with every device waiting."""
        self._last_request = {each.device: len(each.requests) - 1 for each in plan.devices}
        self.counts = {"waiting": len(plan.devices), "decoding": 0, "done": 0}
        """State -> devices."""

    def take(self, news: News) -> None:
        """Count what the rows say: a first token begins a request, its row ends it."""
        counts = self.counts
        started = sum(row.record.position == 0 for row in news.tokens)
        counts["waiting"] -= started
        counts["decoding"] += started
        for row in news.requests:
            if row.tokens:
                counts["decoding"] -= 1
                counts["waiting"] += 1
            if row.request == self._last_request[row.device]:
                counts["waiting"] -= 1
                counts["done"] += 1
