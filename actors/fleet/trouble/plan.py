"""What may fail in a cell, as arrays: from an arm's plan; what cannot be told is refused."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from actors.fleet import columns as col
from actors.fleet.array_types import Array
from actors.fleet.cell import CellPlan
from actors.fleet.layout import NEVER, Books, Fleet
from actors.fleet.outcomes import Outcomes
from actors.fleet.replicas.failing import AT_NS, LEAVES, WHAT, WHO
from actors.fleet.replicas.plan import happenings_of, replicas_of
from actors.fleet.seldom import Trouble
from actors.fleet.texts import block_of
from actors.fleet.trouble.slots import FREE_SLOT, SLOTS_LEFT, TROUBLE_FIGURES
from actors.plan import ArmPlan
from costeer.errors import ConfigError
from costeer.methods import CloudRole, Prompt
from netsim.profiles import LinkProfile

_WAY_OUT = "choose way: virtual"


def is_troubled(plan: ArmPlan, links: Iterable[LinkProfile]) -> bool:
    """Whether steps of devices may not be worked out ahead, whoever is silent.

    Args:
        plan: the arm.
        links: of its devices.
    """
    alone = plan.arm.method.cloud is CloudRole.ABSENT
    fails = plan.stalls or plan.retry is not None or plan.failures
    return bool(plan.departures or (not alone and fails)) or _mixes_up(plan, links)


def trouble_of(cell: CellPlan, plan: ArmPlan, outcomes: Outcomes, *, silent: bool) -> Trouble:
    """Return what may fail in a cell.

    Args:
        cell: the devices and their users.
        plan: the arm.
        outcomes: what the sessions say.
        silent: whether a device is silent for longer than its cloud waits.

    Raises:
        ConfigError: what the compiled way cannot carry out.
    """
    alone = plan.arm.method.cloud is CloudRole.ABSENT
    retry = None if alone else plan.retry
    stalls = [
        (each.from_ns, each.until_ns, int(each.loses), index)
        for each in (() if alone else plan.stalls)
        for index, number in enumerate(cell.replicas)
        if each.concerns(number)
    ]
    happenings, replicas = happenings_of(cell, plan), replicas_of(cell, plan)
    branch = -1
    if retry is not None and retry.falls_back and Prompt.PERSONAL in plan.arm.method.edge_branches:
        branch = plan.arm.method.edge_branches.index(Prompt.PERSONAL)
    fails = bool(stalls or len(happenings) or retry is not None or replicas)
    on = silent or fails or _mixes_up(plan, (each.link for each in cell.classes))
    if on:
        _check(outcomes, branch)
    waits_ns = [] if retry is None else [retry.base_ns(each) for each in range(retry.tries)]
    return Trouble(
        on=int(on),
        stalls=_table(stalls, 4),
        happenings=happenings,
        waits=np.array(waits_ns, np.float64),
        jitter=0.0 if retry is None else retry.jitter,
        branch=branch,
        most=int(np.diff(cell.first_session_D1).max(initial=0)) if plan.departures else 0,
        replicas=replicas,
        regions=_column([plan.standing.region(each) for each in cell.replicas]),
        weights=np.array([plan.standing.weight(each) for each in cell.replicas], np.float64),
    )


def _mixes_up(plan: ArmPlan, links: Iterable[LinkProfile]) -> bool:
    """Whether frames of devices that draft may overtake each other; elsewhere they are a queue."""
    return plan.speculation is not None and any(not each.transport.ordered for each in links)


def _check(outcomes: Outcomes, branch: int) -> None:
    if branch >= 0 and (outcomes.drafts is None or outcomes.drafts.token_R is not None):
        raise ConfigError(
            "cloud.retry.fallback: these values do not say what small models say alone;"
            f" {_WAY_OUT}, or fallback: none"
        )


def _table(rows: object, figures: int) -> Array:
    return np.array(rows, np.int64).reshape(-1, figures)


def _column(values: object) -> Array:
    return np.array(values, np.int64)


def said_alone(outcome: Array, vocab_size: int) -> Array:
    """Return outcomes with what devices say alone behind them: the tokens, and their neighbours."""
    last = outcome[-1:]
    right = outcome[:-1].copy()
    right[:, col.CERTIFIED] = 0
    right[:, col.FIRST_PAYLOAD] = last[0, col.FIRST_PAYLOAD]
    wrong = right.copy()
    wrong[:, col.OUTCOME_TOKEN] = (wrong[:, col.OUTCOME_TOKEN] + 1) % vocab_size
    return np.concatenate((outcome[:-1], right, wrong, last))


def lay_out(fleet: Fleet, narrow: Array, wide: Array) -> tuple[Array, Array, Array]:
    """Return a cell's troubles, and the rows of its devices with those of sessions behind them."""
    happenings = np.asarray(fleet.trouble.happenings)
    trouble = np.zeros(TROUBLE_FIGURES + 2 * len(happenings), np.int64)
    devices = fleet.devices
    narrow[:, col.OWNER] = np.arange(devices)
    wide[:, [col.DUE, col.TIMER_AT, col.IDLE_AT, col.LEAVES]] = NEVER
    leaving = happenings[happenings[:, WHAT] == LEAVES]
    wide[leaving[:, WHO], col.LEAVES] = leaving[:, AT_NS]
    return (trouble, *more_slots(trouble, narrow, wide, devices + 8))


def with_slots(fleet: Fleet, books: Books) -> Books:
    """Return books with rows for more sessions, if none is left and something may fail."""
    if fleet.trouble.on == 0 or books.trouble[SLOTS_LEFT]:
        return books
    rows = len(books.narrow)
    narrow, wide = more_slots(books.trouble, books.narrow, books.wide, rows)
    guesses: Array = books.guesses
    gates: Array = books.gates
    more = len(narrow) - rows
    if fleet.guesses:
        guesses = np.pad(np.asarray(guesses), ((0, more), (0, 0)))
    if fleet.pauses:
        gates = np.pad(np.asarray(gates), ((0, more), (0, 0)))
    texts: Array = books.texts
    if fleet.window:
        texts = np.pad(np.asarray(texts), (0, more * block_of(fleet.window)))
    return books._replace(narrow=narrow, wide=wide, guesses=guesses, gates=gates, texts=texts)


def more_slots(trouble: Array, narrow: Array, wide: Array, more: int) -> tuple[Array, Array]:
    """Return the rows of devices and sessions with so many more that no session has."""
    first = len(narrow)
    longer = np.concatenate((narrow, np.zeros((more, narrow.shape[1]), narrow.dtype)))
    longer[first:, col.NEXT] = np.arange(first + 2, first + more + 2)
    longer[-1, col.NEXT] = trouble[FREE_SLOT]
    if narrow.shape[1] > col.SERVED:
        longer[first:, col.SERVED] = -1
    trouble[FREE_SLOT] = first + 1
    trouble[SLOTS_LEFT] += more
    return longer, np.concatenate((wide, np.zeros((more, wide.shape[1]), wide.dtype)))
