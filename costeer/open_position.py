"""What a drafting device keeps of a position from the arrival of its logits to its token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from costeer.machine import CloudTrace

if TYPE_CHECKING:
    from costeer.certificate import Choice
    from costeer.draft_messages import Row

NO_TRACE = CloudTrace(0, 0, 0, 0)


@dataclass(slots=True)
class OpenPosition:
    """A position whose logits came, until its token is accepted.

    Args:
        version: of the text that they belong to.
        arrived_ns: when round 0 came.
        downlink_ns: its transit.
        trace: its durations at the cloud.
        round: the newest that came or was asked for.
        asked: whether it was asked for and has not come.
        waiting: what came and was not decoded.
        decoded: whether everything that came was decoded, and not steered since.
        choice: from the newest round that was steered.
        decided: the choice, once it stands.
        decode_ns: of round 0.
        steer_from_ns: when steering of round 0 began.
        chosen_ns: when it ended.
    """

    version: int
    arrived_ns: int
    downlink_ns: int
    trace: CloudTrace
    round: int = 0
    asked: bool = False
    waiting: Row | None = None
    decoded: bool = False
    choice: Choice | None = None
    decided: Choice | None = None
    decode_ns: int = 0
    steer_from_ns: int = 0
    chosen_ns: int = 0

    def stages_ns(self, now_ns: int) -> tuple[int, ...]:
        """Return durations from the uplink of its DRAFT to now, in the order of ``STAGES``."""
        trace = self.trace
        return (
            trace.uplink_ns,
            trace.queue_ns,
            trace.compute_ns,
            trace.select_ns,
            self.downlink_ns,
            self.decode_ns,
            self.steer_from_ns - self.arrived_ns - self.decode_ns,
            self.chosen_ns - self.steer_from_ns,
            now_ns - self.chosen_ns,
        )
