"""From the devices of a plan, objects, to the arrays of one cell; for fleets that have rows."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from actors.fleet.cell import CellClass, CellPlan, LinkFigures
from actors.plan import ArmPlan, DevicePlan
from costeer.errors import ConfigError
from costeer.varint import number_bytes
from netsim.link import Direction
from netsim.profiles import LinkProfile
from netsim.sharing import Discipline

Integers = npt.NDArray[np.int64]


def cell_of(plan: ArmPlan) -> CellPlan:
    """Return the one cell that a plan's devices make.

    Raises:
        ConfigError: devices in an open loop and others in a closed one.
    """
    devices = plan.devices
    if len({device.arrivals_ns is None for device in devices}) > 1:
        raise ConfigError(
            "way: fleet has open or closed arrivals, not both in one fleet; choose way: virtual"
        )
    kinds = [
        (_without_offset(each.link), each.device_class, each.cell and each.cell.discipline)
        for each in devices
    ]
    classes, class_D = _classes(kinds)
    requests = [request for device in devices for request in device.requests]
    radio = [-1 if each.cell is None else each.cell.number for each in devices]
    weights: dict[tuple[int, ...], int] = {}
    return CellPlan(
        cell=0,
        classes=tuple(
            CellClass(link, name, discipline or Discipline.FIFO)
            for link, name, discipline in classes
        ),
        replicas=tuple(range(plan.replicas)),
        replica_D=_column(each.replica for each in devices),
        device_D=_column(each.device for each in devices),
        class_D=class_D,
        figures=LinkFigures(
            down_bps_D=_column(each.link.down.rate_bps for each in devices),
            up_bps_D=_column(each.link.up.rate_bps for each in devices),
            rtt_ns_D=_column(each.link.rtt_ns for each in devices),
            loss_delay_ns_D=_column(each.link.down.loss_delay_ns for each in devices),
            offset_ns_D=_column(_offset_ns(each) for each in devices),
        ),
        radio_D=_column(radio),
        first_session_D1=np.cumsum([0, *(len(each.requests) for each in devices)], dtype=np.int64),
        due_ns_S=_column(
            due_ns
            for each in devices
            for due_ns in (each.think_ns if each.arrivals_ns is None else each.arrivals_ns)[
                : len(each.requests)
            ]
        ),
        opened=any(each.arrivals_ns is not None for each in devices),
        public_S=_column(len(each.public) for each in requests),
        personal_S=_column(len(each.personal) for each in requests),
        public_bytes_S=_column(_weigh(each.public, weights) for each in requests),
        personal_bytes_S=_column(_weigh(each.personal, weights) for each in requests),
        new_tokens_S=_column(plan.new_tokens(each) for each in requests),
        until_ns=plan.until_ns,
    )


def _weigh(ids: tuple[int, ...], known: dict[tuple[int, ...], int]) -> int:
    if ids not in known:
        known[ids] = sum(map(number_bytes, ids))
    return known[ids]


def _offset_ns(device: DevicePlan) -> int:
    """Where in its traces a device begins: in both at the same time of their recording."""
    traces = [way.trace for way in (device.link.down, device.link.up) if way.trace is not None]
    return max((trace.offset_ns for trace in traces), default=0)


def _without_offset(link: LinkProfile) -> LinkProfile:
    """Return a link whose traces begin at their beginning."""

    def begun(way: Direction) -> Direction:
        return way if way.trace is None else replace(way, trace=way.trace.starting_at(0))

    return replace(link, down=begun(link.down), up=begun(link.up))


def _classes(of_device: Sequence[Hashable]) -> tuple[list[Any], Integers]:
    """Return what there is, in the order in which it comes, and the index of each device's."""
    found: dict[Hashable, int] = {}
    index = _column(found.setdefault(one, len(found)) for one in of_device)
    return list(found), index


def _column(values: Iterable[int]) -> Integers:
    return np.array(list(values), np.int64)
