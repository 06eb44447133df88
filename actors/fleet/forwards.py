"""Forwards in a compiled cell: how long one takes, and those of the devices' small model."""

from __future__ import annotations

from actors.fleet import columns as col
from actors.fleet.array_types import Column, Table
from actors.fleet.layout import CLOUD, OVERLAPPING, REPLICA, Books, Fleet
from actors.fleet.names import CLASS_FIGURES, CLOUD_FIGURES
from actors.fleet.sessions import template_of
from actors.fleet.tally import counts
from netsim.hardware.calibrated import grid_ns
from netsim.hardware.roofline import ForwardTerms, batch_ns
from netsim.hardware.variation import varied_ns
from netsim.random import Stream, device_key, uniform_with

_FORWARD_NS, _LOGITS_NS = (
    CLASS_FIGURES.index(name) for name in ("edge_forward_ns", "edge_logits_ns")
)
_FORWARDS = CLOUD + CLOUD_FIGURES.index("forwards")
_FORWARD_TIME = int(Stream.FORWARD_TIME)


def extend_by_one(fleet: Fleet, books: Books, device: int, position: int, now_ns: int) -> None:
    """Give the small model the token of a position."""
    rows, template = fleet.branches, template_of(fleet, books, device)
    held = rows * position
    for branch in range(rows):
        held += fleet.template[template, col.EDGE_PROMPT + branch]
    extend(fleet, books, device, now_ns, rows, held, held + rows)


def extend(
    fleet: Fleet, books: Books, device: int, now_ns: int, new: int, held: int, pairs: int
) -> None:
    """Begin a forward of the small model; see ``batch_ns``."""
    kind = int(books.narrow[device, col.KIND])
    grid, terms = fleet.kind[kind, col.GRID], edge_terms(fleet.kind, kind)
    duration_ns = forward_ns(fleet.branches, new, held, pairs, terms, fleet.plain, grid)
    books.wide[device, col.FORWARD_DONE] = now_ns + duration_ns
    tell_work(fleet, books, device, now_ns, _FORWARD_NS, duration_ns)
    if OVERLAPPING and fleet.delta_at:
        delta_ns = fleet.kind[kind, fleet.delta_at]
        books.wide[device, col.FORWARD_DONE] += delta_ns
        tell_work(fleet, books, device, now_ns, _LOGITS_NS, delta_ns)


def cloud_forward_ns(
    fleet: Fleet, engine: Column, rows: int, new: int, held: int, pairs: int
) -> int:
    """Return how long the next forward of the present replica takes."""
    duration_ns = forward_ns(
        rows, new, held, pairs, fleet.cloud_terms, fleet.plain, fleet.cloud_grid
    )
    permille = fleet.cloud_variation
    if len(permille) == 0:
        return duration_ns
    key = device_key(fleet.word, _FORWARD_TIME, fleet.replica_number[engine[REPLICA]])
    drawn = uniform_with(key, engine[_FORWARDS])
    return varied_ns(duration_ns, permille[0 : len(permille)], drawn)


def forward_ns(
    rows: int, new: int, held: int, pairs: int, terms: ForwardTerms, plain: Column, grid: int
) -> int:
    """Return how long a forward takes: by its terms, or in the grid that begins at a place."""
    if grid:
        return grid_ns(rows, new, held, plain[0 : len(plain)], grid)
    return batch_ns(rows, new, held, pairs, terms)


def edge_terms(of: Table, kind: int) -> ForwardTerms:
    """Return what rules forwards on a class's devices."""
    at = col.TERMS
    return (
        of[kind, at],
        of[kind, at + 1],
        of[kind, at + 2],
        of[kind, at + 3],
        of[kind, at + 4],
        of[kind, at + 5],
        of[kind, at + 6],
        of[kind, at + 7],
    )


def tell_work(
    fleet: Fleet, books: Books, device: int, now_ns: int, figure: int, took_ns: int
) -> None:
    """Write down what a device worked."""
    if counts(fleet.ends, books.wide[device, col.ARRIVAL], now_ns):
        books.by_class[int(books.narrow[device, col.KIND]), figure] += took_ns
