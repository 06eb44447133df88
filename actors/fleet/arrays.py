"""The arrays in which a compiled cell runs: made once, and larger where they do not suffice.

What grows with the devices is 32- and 64-bit columns, about 250 B a device in all; what grows with
what happens (events, tokens that are being refined, rows of a select) begins small.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.histogram import NONE_YET
from actors.fleet.ladder_tables import learner_of
from actors.fleet.landing import most_in_air
from actors.fleet.layout import (
    AIR_FREE,
    AIR_LEFT,
    BATCHES,
    BIN_NS,
    COUNTS,
    EVENTS,
    EVICTED,
    FREE_TOKENS,
    HELD_FREE,
    HELD_HEAD,
    LINE_FREE,
    LINE_LEFT,
    REFINING,
    RUNNING,
    SPARE,
    WAITING,
    Books,
    Fleet,
)
from actors.fleet.names import HISTOGRAMS, SERIES
from actors.fleet.replicas.plan import lay_out_engines
from actors.fleet.texts import DUE, FRAME_FIGURES, FREE, FREE_HEAD, NEXT, block_of
from actors.fleet.trouble.plan import lay_out, with_slots
from actors.fleet.trouble.slots import opened_rows
from actors.fleet.watching import Watch

PIECE_EVENTS = 100_000
"""Events between two looks at whether to stop."""
_SPARE_EVENTS = 1024


def books_of(cell: CellPlan, fleet: Fleet, hubs: Array, watch: Watch) -> Books:
    """Return the books of a cell that has not begun.

    Args:
        cell: the devices and their users.
        fleet: its fixed figures.
        hubs: what its devices share.
        watch: what is wanted beside sums.
    """
    devices, classes = fleet.devices, len(cell.classes)

    def zeros(*shape: int) -> Array:
        return np.zeros(shape, np.int64)

    def narrow(*shape: int) -> Array:
        return np.zeros(shape, np.int32)

    engine = zeros(BATCHES + (PIECE_EVENTS if fleet.every else 0))
    engine[FREE_TOKENS] = fleet.kv_tokens
    engine[BIN_NS] = watch.bin_ns
    bursts = any(way.bursts for each in cell.classes for way in (each.link.down, each.link.up))
    of_device = narrow(devices, _narrow_figures(fleet))
    of_device[:, col.NUMBER] = cell.device_D
    of_device[:, col.KIND] = cell.class_D
    of_device[:, col.SESSION] = -1
    if fleet.shared:
        of_device[:, col.RADIO] = cell.radio_D
    opened: Array = np.zeros((0, 0), np.int32)
    trouble, of_session = zeros(1), zeros(devices, _wide_figures(fleet, bursts=bursts))
    air_figures = col.AIR_FIGURES
    if fleet.trouble.on:
        trouble, of_device, of_session = lay_out(fleet, of_device, of_session)
        air_figures = col.AIR_FIGURES_WITH_TROUBLE
        overtaking = any(not each.link.transport.ordered for each in cell.classes)
        opened = opened_rows(fleet, overtaking=overtaking)
    engines = lay_out_engines(fleet, cell, of_device)
    if fleet.trouble.replicas:
        air_figures = col.AIR_FIGURES_WITH_REPLICAS
    in_air = _SPARE_EVENTS if fleet.shared or fleet.trouble.on else 0
    by_class = zeros(classes, col.CLASS_COLUMNS)
    by_class[:, col.FIRST_ARRIVAL] = NONE_YET
    histograms = zeros(classes * len(HISTOGRAMS) + 1, col.HISTOGRAM_FIGURES)
    histograms[:, col.LEAST] = NONE_YET
    step_rows = np.asarray(fleet.select_ns).shape[1] // answers_per_row(fleet)
    held = zeros(step_rows if fleet.refines else 0, col.HELD_FIGURES)
    held[:, col.HELD_NEXT] = np.arange(1, len(held) + 1)
    engine[HELD_FREE] = len(held)
    line = zeros(min(_SPARE_EVENTS, fleet.most_admitted) if fleet.preempts else 0, col.LINE_FIGURES)
    _free_line(engine, line, 0)
    blocks = fleet.slots * fleet.longest
    rows = zeros(3 * blocks, col.ROW_FIGURES)
    rows[:, col.ROW_REQUEST] = -1
    return Books(
        engine=engine,
        heap=zeros(devices + _SPARE_EVENTS, 2),
        wide=of_session,
        narrow=of_device,
        step=narrow(step_rows, col.STEP_FIGURES),
        held=held,
        line=line,
        texts=zeros(len(of_device) * block_of(fleet.window)),
        under_way=_frames(devices + _SPARE_EVENTS) if fleet.window else zeros(1, FRAME_FIGURES),
        guesses=zeros(len(of_device) if fleet.guesses else 0, col.GUESS_FIGURES),
        gates=zeros(len(of_device) if fleet.pauses else 0, col.GATE_FIGURES),
        air=_more_air(engine, zeros(0, air_figures), in_air),
        hubs=hubs,
        by_class=by_class,
        histograms=histograms,
        series=zeros(watch.bins, len(SERIES)),
        words=np.zeros(2, np.uint64),
        rows=rows,
        requests=zeros(3 * fleet.slots + 2 * fleet.trouble.most, col.REQUEST_FIGURES),
        trouble=trouble,
        engines=engines,
        opened=opened,
        ladders=narrow(devices, fleet.ladders.slots + 2) if fleet.ladders.starts else narrow(1, 1),
        learner=learner_of(fleet),
    )


def roomier(fleet: Fleet, books: Books, costs_of: Callable[[int], Array]) -> tuple[Fleet, Books]:
    """Return the same with room in every array that an event may find full.

    Args:
        fleet: fixed figures.
        books: changing ones.
        costs_of: what a select costs, for rows below so many.
    """
    engine = books.engine
    running, rows = engine[RUNNING], len(books.step)
    if fleet.window:
        running = max(running, books.under_way[0, DUE])
        if running + SPARE > books.under_way[0, FREE]:
            books = books._replace(under_way=_more_frames(books.under_way, running + SPARE))
    if engine[EVENTS] + 2 * running + SPARE > len(books.heap):
        books = books._replace(heap=_longer(books.heap, 2 * running + len(books.heap) // 4 + SPARE))
    if fleet.shared or fleet.trouble.on:
        more = most_in_air(fleet, books)
        if more > engine[AIR_LEFT]:
            books = books._replace(air=_more_air(engine, books.air, 3 * more))
        if engine[EVENTS] + 2 * more > len(books.heap):
            books = books._replace(heap=_longer(books.heap, 6 * more + len(books.heap) // 4))
    if engine[COUNTS + REFINING] + fleet.max_batch >= rows:
        books = books._replace(step=_longer(books.step, rows))
        fleet = fleet._replace(select_ns=costs_of(2 * rows * answers_per_row(fleet)))
    books = with_slots(fleet, books)
    running = max(running, fleet.trouble.on)
    if fleet.refines and running > engine[HELD_FREE]:
        held, more = len(books.held), max(len(books.held), running)
        longer = _longer(books.held, more)
        longer[held:, col.HELD_NEXT] = np.arange(held + 1, held + more + 1)
        longer[held + more - 1, col.HELD_NEXT] = engine[HELD_HEAD]
        engine[HELD_HEAD] = held
        engine[HELD_FREE] += more
        books = books._replace(held=longer)
    waiting = engine[COUNTS + WAITING] + engine[COUNTS + EVICTED]
    if fleet.preempts and engine[LINE_LEFT] <= waiting and len(books.line) < fleet.most_admitted:
        rows = len(books.line)
        more = min(max(rows, waiting + 1), fleet.most_admitted - rows)
        line = _longer(books.line, more)
        _free_line(engine, line, rows)
        books = books._replace(line=line)
    return fleet, books


def _free_line(engine: Array, line: Array, first: int) -> None:
    """Chain the rows of a line from one on, which nobody has, before those that are free."""
    if len(line) > first:
        line[first:, col.LINE_NEXT] = np.arange(first + 2, len(line) + 2)
        line[-1, col.LINE_NEXT] = engine[LINE_FREE]
        engine[LINE_FREE] = first + 1
        engine[LINE_LEFT] += len(line) - first


def answers_per_row(fleet: Fleet) -> int:
    """Return how many positions a row of a step may bring a select."""
    return max(fleet.window, fleet.guesses + 1)


def bytes_per_device(fleet: Fleet, books: Books) -> float:
    """Return what all arrays take that grow with the devices or their sessions, per device."""
    fixed = (fleet.first_session, fleet.due_ns, fleet.session, fleet.own)
    changing = (
        *(books.heap, books.wide, books.narrow, books.held, books.line),
        *(books.texts, books.under_way, books.gates, books.guesses, books.air, books.hubs),
        books.opened,
        books.ladders,
    )
    arrays: tuple[Array, ...] = (*fixed, *changing)
    return float(sum(each.nbytes for each in arrays) / fleet.devices)


def _wide_figures(fleet: Fleet, *, bursts: bool) -> int:
    if fleet.trouble.on:
        return col.WIDE_FIGURES_WITH_TROUBLE
    if fleet.shared:
        return col.WIDE_FIGURES_WITH_AIR
    return col.WIDE_FIGURES_WITH_BURSTS if bursts else col.WIDE_FIGURES


def _narrow_figures(fleet: Fleet) -> int:
    if fleet.trouble.replicas:
        return col.NARROW_FIGURES_WITH_REPLICAS
    if fleet.trouble.on:
        return col.NARROW_FIGURES_WITH_TROUBLE
    if fleet.shared:
        return col.NARROW_FIGURES_WITH_AIR
    return col.NARROW_FIGURES_WITH_EVICTION if fleet.preempts else col.NARROW_FIGURES


def _more_air(engine: Array, air: Array, more: int) -> Array:
    """Return so many rows more, chained up before those that are free."""
    if more == 0:
        return air
    longer = _longer(air, more)
    first = len(air) + 1
    longer[len(air) :, col.AIR_BEHIND] = np.arange(first + 1, first + more + 1)
    longer[-1, col.AIR_BEHIND] = engine[AIR_FREE]
    engine[AIR_FREE] = first
    engine[AIR_LEFT] += more
    return longer


def _frames(rows: int) -> Array:
    """Return room for so many frames under way, all of it free."""
    frames = np.zeros((rows + 1, FRAME_FIGURES), np.int64)
    frames[1:-1, NEXT] = np.arange(2, rows + 1)
    frames[0, FREE_HEAD], frames[0, FREE] = 1, rows
    return frames


def _more_frames(frames: Array, wanted: int) -> Array:
    rows, more = len(frames), max(len(frames), wanted)
    longer = _longer(frames, more)
    longer[rows:-1, NEXT] = np.arange(rows + 1, rows + more)
    longer[-1, NEXT] = longer[0, FREE_HEAD]
    longer[0, FREE_HEAD] = rows
    longer[0, FREE] += more
    return longer


def _longer(array: Array, more: int) -> Array:
    return np.concatenate((array, np.zeros((more, *array.shape[1:]), array.dtype)))
