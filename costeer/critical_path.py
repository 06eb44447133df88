"""Where a token's time went: stages cut to the latency that they explain."""

from __future__ import annotations

from typing import TYPE_CHECKING

from costeer.token_record import STAGES

if TYPE_CHECKING:
    from collections.abc import MutableSequence

_CLOUD_QUEUE = STAGES.index("cloud_queue")


def critical_path(latency_ns: int, stages_ns: tuple[int, ...]) -> tuple[int, ...]:
    """Return the part of each stage that a token's latency consists of.

    The stages are walked back from the token's instant until the latency is used up: where the way
    of a streamed token was shorter than its predecessor's, part of its making lies before. What the
    stages do not explain is ``overhead``, so the result always sums to ``latency_ns``.

    Args:
        latency_ns: since the previous token, at least 0.
        stages_ns: durations in the order of ``STAGES``, without ``overhead``; missing ones at the
            end are 0, and so is one that clocks of a live run made negative.
    """
    path = list(stages_ns) + [0] * (len(STAGES) - len(stages_ns))
    walk_back(latency_ns, path)
    return tuple(path)


def waited_for_cloud(path_ns: tuple[int, ...]) -> tuple[int, ...]:
    """Return a critical path whose unexplained part was spent waiting for the cloud's answer."""
    path = list(path_ns)
    path[_CLOUD_QUEUE] += path[-1]
    path[-1] = 0
    return tuple(path)


def walk_back(latency_ns: int, stages_ns: MutableSequence[int]) -> None:
    """Cut durations, in place, to the part that a latency consists of; see ``critical_path``.

    Integers only, so that compiled code can call it.

    Args:
        latency_ns: what they are to sum to.
        stages_ns: one figure per ``STAGES``; the last one is replaced by what they do not explain.
    """
    last = len(stages_ns) - 1
    for index in range(last - 1, -1, -1):
        part_ns = stages_ns[index]
        if part_ns < 0:  # no call of min or max: this is done for every stage of every token
            stages_ns[index] = 0
        elif part_ns > latency_ns:
            stages_ns[index] = latency_ns
            latency_ns = 0
        else:
            latency_ns -= part_ns
    stages_ns[last] = latency_ns
