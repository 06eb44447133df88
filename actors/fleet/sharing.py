"""What the devices of a cell share, as a compiled cell takes it; see ``air``."""

from __future__ import annotations

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.columns import DOWN, UP
from actors.fleet.events import MOST_DEVICES
from actors.plan import ArmPlan
from costeer.errors import ConfigError
from netsim.carriage import UNLIMITED
from netsim.sharing import Discipline


def fluid_egress(plan: ArmPlan) -> bool:
    """Whether all frames that leave the cloud do so at the same time."""
    return plan.egress_discipline is Discipline.PS and plan.egress_bps != UNLIMITED


def shares(cell: CellPlan, plan: ArmPlan) -> bool:
    """Whether devices share something beside a way out of the cloud first in, first out."""
    return fluid_egress(plan) or bool((np.asarray(cell.radio_D) >= 0).any())


def hubs_of(cell: CellPlan, plan: ArmPlan) -> Array:
    """Return what devices share: the cloud's way out, and both directions of each radio cell.

    Raises:
        ConfigError: what the compiled way cannot carry out.
    """
    if not shares(cell, plan):
        return np.zeros((1, col.HUB_FIGURES), np.int64)
    radio_D = np.asarray(cell.radio_D)
    cells, first = np.unique(radio_D[radio_D >= 0], return_index=True)
    members = np.flatnonzero(radio_D >= 0)[first]
    hubs = np.zeros((3 + 2 * int(cells.max(initial=-1)), col.HUB_FIGURES), np.int64)
    if len(hubs) > MOST_DEVICES:
        raise ConfigError(f"fleet: {len(hubs) // 2} radio cells in one cell are too many")
    if fluid_egress(plan):
        hubs[0, col.HUB_BPS] = plan.egress_bps
    for number, member in zip(cells.tolist(), members.tolist(), strict=True):
        kind = cell.classes[int(cell.class_D[member])]
        fifo = kind.discipline is Discipline.FIFO
        rates = cell.figures.down_bps_D[member], cell.figures.up_bps_D[member]
        for way, rate_bps in zip((DOWN, UP), rates, strict=True):
            hubs[1 + 2 * number + way, col.HUB_BPS] = rate_bps
            hubs[1 + 2 * number + way, col.HUB_FIFO] = int(fifo)
    return hubs
