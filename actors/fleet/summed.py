"""What a compiled cell came to: from its books to sums that are merged with those of others."""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.histogram import BUCKETS, NONE_YET, Histogram, middle_of
from actors.fleet.layout import (
    CLOUD,
    COUNTS,
    DIGEST,
    EVICTED,
    FINISHED,
    OUTPUT,
    PEAKS,
    STAGE,
    TOKENS_TOLD,
    WAITING,
    Books,
    Fleet,
)
from actors.fleet.names import CLASS_FIGURES, CLOUD_FIGURES, HISTOGRAMS
from actors.fleet.result import CellResult, Sample, Series
from actors.fleet.settling import bins_of, sending_ns
from actors.fleet.unfinished import devices_done
from costeer.token_record import STAGES

_ARRIVED, _FINISHED, _CENSORED, _TOKENS, _LEFT = (
    CLASS_FIGURES.index(name) for name in ("arrived", "finished", "censored", "tokens", "left")
)
_LATENCY, _ITL, _TTFT = (HISTOGRAMS.index(name) for name in ("latency", "itl", "ttft"))
_STAGE = HISTOGRAMS.index(STAGES[0])


def result_of(
    cell: CellPlan,
    fleet: Fleet,
    books: Books,
    engines: Array,
    end_ns: int,
    sample: Sample,
    *,
    overloaded: bool,
) -> CellResult:
    """Return what a cell has come to.

    Args:
        cell: its plan.
        fleet: what did not change.
        books: what did.
        engines: the figures of each replica's engine.
        end_ns: its last instant.
        sample: the rows of the sampled devices.
        overloaded: whether it was stopped because its backlog would have grown for ever.
    """
    all_ended = int(books.engine[FINISHED]) == fleet.sessions
    table = np.array(books.by_class)
    behind = _behind(cell, fleet, books, end_ns)
    by_class = table[:, : col.FIRST_ARRIVAL]
    arrived = by_class[:, _ARRIVED] + behind
    by_class[:, _ARRIVED] = arrived
    by_class[:, _CENSORED] = arrived - by_class[:, _FINISHED]
    bin_ns, series = bins_of(books)
    cloud = engines[:, CLOUD:PEAKS].sum(axis=0)
    waiting = engines[:, [COUNTS + WAITING, COUNTS + EVICTED]].sum()
    cloud[CLOUD_FIGURES.index("egress_busy_ns")] += sending_ns(books)
    cloud[CLOUD_FIGURES.index("backlog")] = waiting + behind.sum()
    histograms, batches = _completed(books, by_class)
    filled = np.flatnonzero(series.any(axis=1))
    bins = int(filled[-1]) + 1 if len(filled) else 0
    return CellResult(
        cells=1,
        replicas=len(cell.replicas),
        end_ns=end_ns,
        complete=all_ended and not (by_class[:, _CENSORED] - by_class[:, _LEFT]).any(),
        overloaded=int(overloaded),
        tokens=int(books.engine[TOKENS_TOLD]),
        devices_done=int(devices_done(fleet, books, end_ns).sum()),
        by_class_CK=by_class,
        first_arrival_ns_C=table[:, col.FIRST_ARRIVAL],
        last_token_ns_C=table[:, col.LAST_TOKEN],
        counts_CHB=histograms[:, :, :BUCKETS],
        totals_CH=histograms[:, :, col.SUM],
        least_CH=histograms[:, :, col.LEAST],
        most_CH=histograms[:, :, col.MOST],
        cloud_K=cloud,
        peaks_K=engines[:, PEAKS:STAGE].sum(axis=0),
        batches=Histogram(batches, int(cloud[CLOUD_FIGURES.index("rows")]), *_ends(batches)),
        series=Series(bin_ns, series[:bins]),
        sample=sample,
        output_word=int(books.words[OUTPUT]),
        digest_word=int(books.words[DIGEST]),
    )


def _behind(cell: CellPlan, fleet: Fleet, books: Books, end_ns: int) -> Array:
    """Return, by class, the counted requests that waited at their devices at the end."""
    behind = np.zeros(len(cell.classes), np.int64)
    if not fleet.opened or int(books.engine[FINISHED]) == fleet.sessions:
        return behind
    first = np.asarray(cell.first_session_D1)
    due_ns = np.broadcast_to(np.asarray(fleet.due_ns), fleet.sessions)
    owner = np.repeat(np.arange(fleet.devices), np.diff(first))
    request = np.arange(fleet.sessions) - first[owner]
    narrow = np.asarray(books.narrow)
    waits = (request > narrow[owner, col.SESSION]) & (due_ns <= end_ns)
    waits &= due_ns >= fleet.ends[0]
    np.add.at(behind, narrow[owner[waits], col.KIND], 1)
    return behind


def _completed(books: Books, by_class: Array) -> tuple[Array, Array]:
    """Return all histograms, with those that were not counted one by one; and of batches' rows.

    A token's latency is an ITL or a TTFT, and stages that took no time were left out.
    """
    table = np.array(books.histograms)
    found = table[:-1].reshape(len(by_class), len(HISTOGRAMS), -1)
    ends = slice(0, col.LEAST)
    found[:, _LATENCY, ends] = found[:, _ITL, ends] + found[:, _TTFT, ends]
    least, most = found[:, :, col.LEAST], found[:, :, col.MOST]
    least[:, _LATENCY] = np.minimum(least[:, _ITL], least[:, _TTFT])
    most[:, _LATENCY] = np.maximum(most[:, _ITL], most[:, _TTFT])
    stages = slice(_STAGE, _STAGE + len(STAGES))
    nothing = by_class[:, _TOKENS, None] - found[:, stages, :BUCKETS].sum(axis=2)
    found[:, stages, 0] += nothing
    least[:, stages] = np.where(nothing > 0, 0, least[:, stages])
    return found, table[-1, :BUCKETS]


def _ends(counts_B: Array) -> tuple[int, int]:
    """Return the least and the most of what was counted, by the middle of their buckets."""
    filled = np.flatnonzero(counts_B)
    if len(filled) == 0:
        return NONE_YET, 0
    return middle_of(int(filled[0])), middle_of(int(filled[-1]))
