"""Stages of the token that a device is about to choose: in scratch, or held while it is refined.

They lie in the engine's books from when the cloud's answer is taken until the token is told. A
token that is refined comes back to those of its first answer, so they are held meanwhile.
"""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.layout import HELD_FREE, HELD_HEAD, STAGE, Books, Fleet
from costeer.critical_path import walk_back
from costeer.token_record import STAGES

(QUEUED, UPLINK, QUEUE, COMPUTE, SELECT, DOWNLINK, DECODE, WAIT, STEER, REFINEMENT) = (
    STAGE + STAGES.index(name)
    for name in (
        "device_queue",
        "uplink",
        "cloud_queue",
        "cloud_compute",
        "select_encode",
        "downlink",
        "decode",
        "edge_wait",
        "steer",
        "refinement",
    )
)
"""Where each lies in the engine's books."""

_STAGES = len(STAGES)


def clear_stages(engine: Column) -> None:
    """Begin a token whose stages have taken no time yet."""
    for stage in range(_STAGES):
        engine[STAGE + stage] = 0


def cloud_stages(
    books: Books,
    device: int,
    position: int,
    now_ns: int,
    select_ns: int,
    ready_ns: int,
    compute_ns: int,
) -> None:
    """Lay down what a token's way took until the cloud sent its answer at ``now_ns``."""
    stages, wide = books.engine, books.wide
    clear_stages(stages)
    if position == 0:
        stages[QUEUED] = wide[device, col.SINCE] - wide[device, col.ARRIVAL]
    stages[QUEUE] = now_ns - ready_ns - compute_ns - select_ns
    stages[COMPUTE] = compute_ns
    stages[SELECT] = select_ns


def held_at(fleet: Fleet) -> int:
    """Return the column that says where a device's stages are held."""
    return col.HELD_APART if fleet.preempts else col.HELD


def hold(engine: Column, held: Table, narrow: Table, device: int, column: int) -> None:
    """Keep the stages of round 0 until the token is chosen."""
    at = engine[HELD_HEAD]
    engine[HELD_HEAD] = held[at, col.HELD_NEXT]
    engine[HELD_FREE] -= 1
    narrow[device, column] = at
    for stage in range(_STAGES):
        held[at, stage] = engine[STAGE + stage]


def take_held(engine: Column, held: Table, narrow: Table, device: int, column: int) -> None:
    """Lay the stages of round 0 down again, and forget them."""
    at = int(narrow[device, column])
    for stage in range(_STAGES):
        engine[STAGE + stage] = held[at, stage]
    held[at, col.HELD_NEXT] = engine[HELD_HEAD]
    engine[HELD_HEAD] = at
    engine[HELD_FREE] += 1


def cut_stages(engine: Column, latency_ns: int) -> None:
    """Cut the stages in the scratch to what a latency consists of."""
    walk_back(latency_ns, engine[STAGE : STAGE + _STAGES])


def lay_steering(
    fleet: Fleet,
    books: Books,
    device: int,
    decode_ns: int,
    wait_ns: int,
    steer_ns: int,
    done_ns: int,
    rounds: int,
) -> None:
    """Lay down what round 0 took at the device until ``done_ns``, and keep it if more is asked for.

    Args:
        fleet: fixed figures.
        books: changing ones.
        device: whose token it is.
        decode_ns: of the ranks.
        wait_ns: for the small model.
        steer_ns: of steering.
        done_ns: when it is steered.
        rounds: of refinement.
    """
    stages = books.engine
    stages[DECODE] = decode_ns
    stages[WAIT] = wait_ns
    stages[STEER] = steer_ns
    books.wide[device, col.STEERED] = done_ns
    if rounds:
        hold(books.engine, books.held, books.narrow, device, held_at(fleet))


def end_refinement(fleet: Fleet, books: Books, device: int, done_ns: int) -> None:
    """Lay the stages of round 0 down again, with all that came after it until ``done_ns``."""
    take_held(books.engine, books.held, books.narrow, device, held_at(fleet))
    books.engine[REFINEMENT] = done_ns - books.wide[device, col.STEERED]
