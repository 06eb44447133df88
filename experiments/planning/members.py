"""Which devices a cell has, and of what kind each is: as arrays, for a cell alone.

Every rule is a pure function of the scenario and of the device's number; where devices are dealt
out in turn, the ones before it count as well. With one replica the cell is the whole fleet, and
``devices`` makes the other ways' objects of the same arrays.

Legend: D devices of the cell, N devices of the fleet.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from actors.fleet.cell import CellClass, Int64s, LinkFigures
from actors.fleet.placement import deal
from experiments.links import class_links
from experiments.scenario import Scenario, Sticky, Weighted
from netsim.profiles import own_figures
from netsim.random import Stream, uniforms

Compiler = Callable[[Any], Any]
"""Makes machine code of a rule, or leaves it as it is."""


def as_it_is(rule: Any) -> Any:  # noqa: ANN401 - whatever it is
    """Leave a rule to the interpreter: quicker for a few thousand devices than to compile it."""
    return rule


@dataclass(frozen=True, slots=True)
class Members:
    """The devices of one cell; see ``CellPlan``."""

    classes: tuple[CellClass, ...]
    device_D: Int64s
    class_D: Int64s
    figures: LinkFigures
    radio_D: Int64s


def plan_members(scenario: Scenario, cell: int = 0, compiler: Compiler = as_it_is) -> Members:
    """Return the devices of a cell.

    Args:
        scenario: how many devices of which kinds, and how they are placed.
        cell: which replica.
        compiler: of the rule that deals devices out.

    Raises:
        ConfigError: a trace cannot be read.
    """
    fleet = scenario.fleet
    links = class_links(fleet, scenario.seed)
    classes = tuple(
        CellClass(link, each.device_class, each.sharing)
        for link, each in zip(links, fleet.classes, strict=True)
    )
    device_D = _placed(scenario, cell, compiler)
    shares = [each.share for each in fleet.classes]
    class_D = dealt(shares, fleet.devices, compiler)[device_D].astype(np.int64)
    figures = _figures(scenario.seed, classes, device_D, class_D)
    shared_by = [each.shared_by for each in fleet.classes]
    return Members(classes, device_D, class_D, figures, _radio(shared_by, class_D))


def plan_together(
    scenario: Scenario, replicas: Sequence[int], compiler: Compiler = as_it_is
) -> tuple[Members, Int64s]:
    """Return the devices of several replicas, and the index of each one's replica.

    Args:
        scenario: see ``plan_members``, as the others.
        replicas: their numbers.
        compiler: ...
    """
    parts = [plan_members(scenario, each, compiler) for each in replicas]
    if len(parts) == 1:
        return parts[0], np.zeros(len(parts[0].device_D), np.int64)
    index = np.repeat(np.arange(len(parts)), [len(each.device_D) for each in parts])
    device_D = np.concatenate([each.device_D for each in parts])
    order = np.argsort(device_D)
    radios = np.cumsum([0] + [int(each.radio_D.max(initial=-1)) + 1 for each in parts])
    radio_D = np.concatenate([each.radio_D for each in parts])
    radio_D = np.where(radio_D >= 0, radio_D + radios[index], -1)
    figures = [
        np.concatenate([getattr(each.figures, name) for each in parts])[order]
        for name in LinkFigures.__slots__
    ]
    together = Members(
        parts[0].classes,
        device_D[order],
        np.concatenate([each.class_D for each in parts])[order],
        LinkFigures(*figures),
        radio_D[order],
    )
    return together, index[order]


def most_devices(scenario: Scenario) -> int:
    """Return about how many devices the replica with the most has, without placing any."""
    replicas, devices = scenario.cloud.replicas, scenario.fleet.devices
    placement = scenario.fleet.placement
    if replicas == 1 or not isinstance(placement, Weighted | Sticky):
        return -(-devices // replicas)
    if isinstance(placement, Weighted):
        return round(devices * max(placement.weights) / sum(placement.weights)) + 1
    return round(devices * max(each.share / each.replicas for each in placement.regions)) + 1


def dealt(shares: Sequence[float], devices: int, compiler: Compiler = as_it_is) -> Any:  # noqa: ANN401 - an array of small integers
    """Return which share each device gets: every run of devices holds them in proportion.

    Args:
        shares: of each kind, together 1.
        devices: N.
        compiler: of the rule.
    """
    chosen_N = np.zeros(devices, np.int32)
    if len(shares) > 1:
        # A list is quicker than an array for the interpreter, and the other way round.
        counts = np.zeros(len(shares), np.int64)
        if compiler is as_it_is:
            chosen = [0] * devices
            deal(list(shares), counts.tolist(), chosen)
            return np.array(chosen, np.int32)
        compiler(deal)(np.array(shares, np.float64), counts, chosen_N)
    return chosen_N


def _placed(scenario: Scenario, cell: int, compiler: Compiler) -> Int64s:
    """Return the numbers of the devices that a replica serves, in ascending order."""
    replicas, devices = scenario.cloud.replicas, scenario.fleet.devices
    placement = scenario.fleet.placement
    if replicas == 1:
        return np.arange(devices, dtype=np.int64)
    if isinstance(placement, Weighted):
        total = sum(placement.weights)
        shares = [each / total for each in placement.weights]
        return np.flatnonzero(dealt(shares, devices, compiler) == cell)
    if isinstance(placement, Sticky):
        return _living_near(scenario, placement, cell)
    return np.arange(cell, devices, replicas, dtype=np.int64)


def _living_near(scenario: Scenario, placement: Sticky, cell: int) -> Int64s:
    """Return the devices of a replica's region that are its own: those of a region, in turn."""
    low, first = 0.0, 0
    for region in placement.regions:
        if cell < first + region.replicas:
            break
        low += region.share
        first += region.replicas
    last = first + region.replicas == scenario.cloud.replicas
    high = 1.0 if last else low + region.share
    drawn_N = uniforms(scenario.seed, Stream.REGION, np.arange(scenario.fleet.devices), 0)
    living = np.flatnonzero((low <= drawn_N) & (drawn_N < high))
    return living[cell - first :: region.replicas]


def _figures(
    seed: int, classes: Sequence[CellClass], device_D: Int64s, class_D: Int64s
) -> LinkFigures:
    table = np.zeros((5, len(device_D)), np.int64)
    for index, each in enumerate(classes):
        mine = np.flatnonzero(class_D == index)
        own = own_figures(each.link, seed, device_D[mine])
        for row, values in enumerate(
            (own.down_bps, own.up_bps, own.rtt_ns, own.loss_delay_ns, own.offset_ns)
        ):
            table[row, mine] = values
    return LinkFigures(*table)


def _radio(shared_by: Sequence[int], class_D: Int64s) -> Int64s:
    """Return the radio cell of each device, -1 for a link of its own.

    So many members of a class, in the order of the devices, share one; radio cells are numbered by
    their first devices.
    """
    radio_D = np.full(len(class_D), -1, np.int64)
    groups = np.full(len(class_D), -1, np.int64)
    first = 0
    for index, members in enumerate(shared_by):
        mine = np.flatnonzero(class_D == index)
        if members > 1 and len(mine):
            groups[mine] = first + np.arange(len(mine)) // members
            first = int(groups[mine[-1]]) + 1
    shared = groups >= 0
    _, begins, inverse = np.unique(groups[shared], return_index=True, return_inverse=True)
    radio_D[shared] = np.argsort(np.argsort(begins))[inverse]
    return radio_D
