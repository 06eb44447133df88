"""The order in which a device host carries out operations: forwards of many sessions together.

Operations of one session stay in order. A session's forward opens its next wave; what follows
belongs to that wave. All forwards of a wave are one batch, so a queue that holds each session's
forward, decode and steer runs one forward and then the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from costeer.machine import EdgeForward, EdgeOp, Release


@dataclass(slots=True)
class Wave:
    """Forwards that are one batch, and what comes after them.

    Args:
        forwards: at most one per session, with their places in the queue.
        others: the other operations, in the queue's order, with their places.
    """

    forwards: list[tuple[int, EdgeForward]] = field(default_factory=list)
    others: list[tuple[int, EdgeOp | Release]] = field(default_factory=list)


def waves_of(ops: Sequence[EdgeOp | Release]) -> list[Wave]:
    """Return a queue's waves; wave 0 holds what needs no forward of this queue first."""
    waves = [Wave()]
    wave_of: dict[int, int] = {}
    for place, op in enumerate(ops):
        if isinstance(op, EdgeForward):
            index = wave_of.get(op.session, 0) + 1
            wave_of[op.session] = index
            if index == len(waves):
                waves.append(Wave())
            waves[index].forwards.append((place, op))
        else:
            waves[wave_of.get(op.session, 0)].others.append((place, op))
    return waves
