"""How long a host's operations take on this machine: points for ``netsim.hardware.calibrated``.

The operations are those that a run would ask for, on sessions of our own whose ids no run uses.
Every figure is the median of several executions, after one that is not counted; of a replica's
forwards it is told as well how far single ones lie from it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from statistics import median

from actors.values.port import CloudHost, EdgeHost
from costeer.certificate import Choice
from costeer.machine import (
    CloudForward,
    CloudOp,
    CloudRow,
    CloudSelect,
    EdgeChoose,
    EdgeDecode,
    EdgeForward,
    EdgeOp,
    EdgeSteer,
    EncodeItem,
    Release,
    Selected,
)

_FIRST_SESSION = 2**31
_TOKEN = 1


def settled_ns() -> int:
    """Return a monotone clock, read when accelerators have done what they were asked for.

    A GPU is asked and works on by itself; without waiting, the asking would be measured.
    """
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.monotonic_ns()


@dataclass(frozen=True, slots=True)
class Grid:
    """What is measured: all combinations.

    Args:
        rows: rows of a forward.
        new_tokens: new tokens of each.
        contexts: tokens held before by each.
        repeats: executions of each point.
    """

    rows: tuple[int, ...]
    new_tokens: tuple[int, ...]
    contexts: tuple[int, ...]
    repeats: int


@dataclass(frozen=True, slots=True)
class CloudPoints:
    """Measured on a cloud host.

    Args:
        forward: (rows, new tokens, context, ns).
        select: (rows, ranks, ns) of select and encode together, with the codec of the arm: few
            ranks for each row count, all ranks for one row.
        choose_ns: choosing one token.
        ratios: of each execution of a forward: what it took, over its point's.
    """

    forward: tuple[tuple[int, int, int, int], ...]
    select: tuple[tuple[int, int, int], ...]
    choose_ns: int
    ratios: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class EdgePoints:
    """Measured on an edge host; a row is one branch of a device.

    Args:
        forward: (rows, new tokens, context, ns).
        decode: (ranks, ns) of decoding one payload.
        steer_ns: steering, certifying and choosing one token.
    """

    forward: tuple[tuple[int, int, int, int], ...]
    decode: tuple[tuple[int, int], ...]
    steer_ns: int


def measure_cloud(
    host: CloudHost, grid: Grid, ranks: tuple[int, int], clock_ns: Callable[[], int]
) -> CloudPoints:
    """Measure a cloud host that has begun a steered arm.

    Args:
        host: the large model.
        grid: what to measure.
        ranks: of a usual LOGITS payload, and of a dense one.
        clock_ns: a monotone clock.
    """
    few, all_ranks = ranks
    forward, ratios = [], list[float]()
    select = []
    for rows in grid.rows:
        sessions = range(_FIRST_SESSION, _FIRST_SESSION + rows)
        for context in grid.contexts:
            for new in grid.new_tokens:
                _extend(host, sessions, 0, context)
                op = CloudForward(
                    tuple(CloudRow(one, (_TOKEN,) * new, context) for one in sessions)
                )
                taken = _taken_ns(partial(host.execute, [op]), grid.repeats, clock_ns)
                usual_ns = int(median(taken))
                forward.append((rows, new, context, usual_ns))
                ratios += [each / max(1, usual_ns) for each in taken]
        items = CloudSelect(tuple(EncodeItem(one, 0, 0, few) for one in sessions), ())
        select.append((rows, few, _time(host, items, grid.repeats, clock_ns)))
        if rows == grid.rows[0]:
            dense = CloudSelect((EncodeItem(_FIRST_SESSION, 0, 0, all_ranks),), ())
            select.append((1, all_ranks, _time(host, dense, grid.repeats, clock_ns)))
        choose = CloudSelect((), ((_FIRST_SESSION, 0),))
        choose_ns = _time(host, choose, grid.repeats, clock_ns)
        host.execute([Release(one) for one in sessions])
    return CloudPoints(tuple(forward), tuple(select), choose_ns, tuple(ratios))


def sample_payload(host: CloudHost, ranks: int) -> bytes:
    """Return one LOGITS payload of a cloud host, for ``measure_edge``."""
    _extend(host, range(_FIRST_SESSION, _FIRST_SESSION + 1), 0, 1)
    item = EncodeItem(_FIRST_SESSION, 0, 0, ranks)
    selected, _ = host.execute([CloudSelect((item,), ()), Release(_FIRST_SESSION)])
    if not isinstance(selected, Selected):
        raise TypeError(f"select returned {selected!r}")
    return selected.payloads[0]


def measure_edge(
    host: EdgeHost, grid: Grid, payloads: Mapping[int, bytes], clock_ns: Callable[[], int]
) -> EdgePoints:
    """Measure an edge host that has begun a steered arm: two branches a device.

    Args:
        host: the small model.
        grid: what to measure; odd row counts are rounded up to whole devices.
        payloads: what a cloud host encodes, by its ranks; the last is steered.
        clock_ns: a monotone clock.
    """
    forward = []
    for rows in grid.rows:
        sessions = range(_FIRST_SESSION, _FIRST_SESSION + (rows + 1) // 2)
        for context in grid.contexts:
            for new in grid.new_tokens:
                if context:
                    host.execute([_branches(one, 0, context) for one in sessions])
                ops = [_branches(one, context, new) for one in sessions]
                took_ns = _time_all(host, ops, grid.repeats, clock_ns)
                forward.append((2 * len(sessions), new, context, took_ns))
        decode = []
        for ranks, payload in payloads.items():
            op = EdgeDecode(_FIRST_SESSION, 0, 0, payload)
            decode.append((ranks, _time_all(host, [op], grid.repeats, clock_ns)))
        steer = EdgeSteer(_FIRST_SESSION, 0, 0)
        (choice,) = host.execute([steer])
        if not isinstance(choice, Choice):
            raise TypeError(f"steer returned {choice!r}")
        steer_ns = _time_all(host, [steer], grid.repeats, clock_ns)
        host.execute([Release(one) for one in sessions])
    return EdgePoints(tuple(forward), tuple(decode), steer_ns)


def measure_choice(host: EdgeHost, repeats: int, clock_ns: Callable[[], int]) -> int:
    """Return how long a choice takes an edge host that has begun a one-branch arm, in ns."""
    host.execute([EdgeForward(_FIRST_SESSION, ((_TOKEN,),), (0,))])
    choose = EdgeChoose(_FIRST_SESSION, 0)
    took_ns = _time_all(host, [choose], repeats, clock_ns)
    host.execute([Release(_FIRST_SESSION)])
    return took_ns


def _branches(session: int, start: int, new: int) -> EdgeForward:
    run = (_TOKEN,) * new
    return EdgeForward(session, (run, run), (start, start))


def _extend(host: CloudHost, sessions: Sequence[int], start: int, new: int) -> None:
    if new:
        rows = tuple(CloudRow(session, (_TOKEN,) * new, start) for session in sessions)
        host.execute([CloudForward(rows)])


def _time(host: CloudHost, op: CloudOp, repeats: int, clock_ns: Callable[[], int]) -> int:
    return int(median(_taken_ns(partial(host.execute, [op]), repeats, clock_ns)))


def _time_all(
    host: EdgeHost, ops: Sequence[EdgeOp], repeats: int, clock_ns: Callable[[], int]
) -> int:
    return int(median(_taken_ns(partial(host.execute, ops), repeats, clock_ns)))


def _taken_ns(
    execute: Callable[[], object], repeats: int, clock_ns: Callable[[], int]
) -> list[int]:
    execute()
    taken = []
    for _ in range(repeats):
        began_ns = clock_ns()
        execute()
        taken.append(clock_ns() - began_ns)
    return taken
