"""What a compiled cell's cloud is given to learn a starting k: the learner's tables, as arrays."""

from __future__ import annotations

from typing import Any

import numpy as np

from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.layout import Fleet
from actors.fleet.seldom import Ladders
from actors.plan import ArmPlan, CodecTerms
from costeer.learning import LearnerTables, ladders_of
from costeer.refinement import Ladder
from netsim.profiles import carried_bytes

Spans = dict[tuple[int, int], int]
"""Ranks [first, last) that a payload may hold, and their row in a table of costs."""


def ladders_to_learn(plan: ArmPlan, terms: CodecTerms) -> tuple[Ladder, ...]:
    """Return the ladders that an arm's cloud chooses from; none where k is fixed."""
    if terms.learner is None or not plan.arm.method.steered:
        return ()
    return ladders_of(terms.learner)


def spans_of(ladders: tuple[Ladder, ...]) -> tuple[Spans, list[list[int]]]:
    """Return the ranks that ladders send, and which of them each round of each ladder is.

    A round that a ladder does not have is that of another, and never asked for.
    """
    spans: Spans = {}
    rows = []
    for ladder in ladders:
        rounds = range(ladder.config.max_rounds + 1)
        ranks = [ladder.ranks(each) for each in rounds if each == 0 or ladder.has(each)]
        row = [spans.setdefault(each, len(spans)) for each in ranks]
        rows.append(row + [0] * (len(rounds) - len(row)))
    return spans, rows


def learning_of(cell: CellPlan, plan: ArmPlan, terms: CodecTerms, slots: int) -> Ladders:
    """Return how the cloud of a cell learns its starting k.

    Args:
        cell: the devices and their users.
        plan: the arm.
        terms: its codec.
        slots: positions of a device whose ranks may be under way.
    """
    ladders = ladders_to_learn(plan, terms)
    if terms.learner is None or not ladders:
        return _FIXED
    tables: Any = LearnerTables.of(terms.learner)  # arrays, as of every other table
    span: Array = np.array(spans_of(ladders)[1], np.int64)
    return Ladders(
        starts=len(ladders),
        slots=slots,
        shapes=len(tables.prior_H),
        bins=tables.chance_HN.shape[1],
        prior=tables.prior_H,
        chance=tables.chance_HN,
        bracket=tables.bracket_KR,
        log=tables.log_BH,
        bytes=tables.bytes_KN,
        rounds=tables.rounds_KN,
        coarse=tables.coarse,
        fine=tables.fine,
        span=span,
        carried=_carried(cell),
    )


def learner_of(fleet: Fleet) -> Array:
    """Return what a cloud has learnt that has not begun, and scratch behind it."""
    ladders = fleet.ladders
    if not ladders.starts:
        return np.zeros(1, np.int64)
    spans = int(np.asarray(ladders.span).max()) + 1
    scratch = np.zeros(ladders.bins + spans, np.int64)
    return np.concatenate((np.asarray(ladders.prior), scratch))


def _carried(cell: CellPlan) -> Array:
    links = [each.link for each in cell.classes]
    added_ns = np.array([each.down.jitter_ns + each.up.jitter_ns for each in links], np.int64)
    class_D = np.asarray(cell.class_D, np.int64)
    down_D = np.asarray(cell.figures.down_bps_D, np.int64)
    trip_D = np.asarray(cell.figures.rtt_ns_D, np.int64) + added_ns[class_D]
    carried_D = np.array(
        [carried_bytes(*each) for each in zip(down_D.tolist(), trip_D.tolist(), strict=True)],
        np.int64,
    )
    same = len(carried_D) > 0 and bool((carried_D == carried_D[0]).all())
    return carried_D[:1].copy() if same else carried_D


_TABLE: Array = np.zeros((1, 1), np.int64)
_ROW: Array = _TABLE[0]
_FIXED = Ladders(
    starts=0,
    slots=1,
    shapes=0,
    bins=0,
    prior=_ROW,
    chance=_TABLE,
    bracket=_TABLE,
    log=_TABLE,
    bytes=_TABLE,
    rounds=_TABLE,
    coarse=_ROW,
    fine=_ROW,
    span=_TABLE,
    carried=_ROW,
)
"""Of a k that is fixed."""
