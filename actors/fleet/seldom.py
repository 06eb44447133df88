"""What is fixed of cells that few are: something may fail, or a starting k is learnt."""

from __future__ import annotations

from typing import NamedTuple

from actors.fleet.array_types import Column, Reals, Table


class Trouble(NamedTuple):
    """What may fail in a cell; see ``actors.fleet.trouble``.

    Args:
        on: 1 where each step of a device is an event, since something may come between.
        stalls: of each while in which a replica does nothing: when it begins, when it ends, 1 if
            frames that come meanwhile are lost, and which one.
        happenings: what fails, in order: when, what, and who, see ``trouble.plan``.
        waits: how long a device waits for an answer, after its frame and after each repeat; empty
            where it waits for ever.
        jitter: a wait is longer or shorter by at most this share of it.
        branch: of the small model, that a device goes on with alone; -1 where it gives up.
        most: the most requests of one device.
        replicas: how many a cell has that may fail; 0 where there is one that does not.
        regions: where each of them is.
        weights: its part of the devices is to be its part of the sum.
    """

    on: int
    stalls: Table
    happenings: Table
    waits: Reals
    jitter: float
    branch: int
    most: int
    replicas: int
    regions: Column
    weights: Reals


class Ladders(NamedTuple):
    """How the starting k of a token's ranks is learnt; see ``actors.fleet.ladders``.

    Each outcome has a row for each starting k, one after the other.

    Args:
        starts: K, the starting values; 0 where k is fixed.
        slots: positions of a device whose ranks may be under way.
        shapes: H, and the first figures of ``Books.learner``.
        bins: N, and the next ones.
        prior: logarithm of each shape's weight, and so on, see ``LearnerTables``.
        chance: ...
        bracket: ...
        log: ...
        bytes: ...
        rounds: ...
        coarse: ...
        fine: ...
        span: which row of ``Fleet.select_ns`` each starting k's rounds are; the rest of
            ``Books.learner`` counts rows by it.
        carried: bytes that each device's link could carry in a round trip; one alone where all are
            the same.
    """

    starts: int
    slots: int
    shapes: int
    bins: int
    prior: Column
    chance: Table
    bracket: Table
    log: Table
    bytes: Table
    rounds: Table
    coarse: Column
    fine: Column
    span: Table
    carried: Column
