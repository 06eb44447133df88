"""The loops over events that cells run: one for each combination of what a cell needs.

What a cell never does is left out of its machine code, which is made once for each combination and
kept; see ``netsim.compiled.specialised``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from actors.fleet.engine import advance
from actors.fleet.layout import Books, Fleet
from actors.plan import ArmPlan
from costeer.overlap import OverlapConfig
from netsim.compiled import specialised


class Rules(NamedTuple):
    """What a cell does beside exchanges of its own devices with its cloud, one after the other.

    Args:
        drafting: its devices draft.
        sharing: they share something beside a way out of the cloud first in, first out.
        pausing: steering pauses where the cloud is sure.
        guessing: the cloud drafts for what it streams.
        guiding: it follows two prompts a session.
        overlapping: devices do not run their small model, and it alone, during an exchange.
    """

    drafting: bool = False
    sharing: bool = False
    pausing: bool = False
    guessing: bool = False
    guiding: bool = False
    overlapping: bool = False


def rules_of(plan: ArmPlan, *, sharing: bool) -> Rules:
    """Return what the cells of an arm do.

    Args:
        plan: the arm.
        sharing: see ``Rules``.
    """
    return Rules(
        drafting=plan.speculation is not None,
        sharing=sharing,
        pausing=plan.gate is not None,
        guessing=plan.cloud_drafts is not None,
        guiding=plan.arm.method.guided,
        overlapping=plan.arm.overlap not in {None, OverlapConfig()},
    )


def advance_of(rules: Rules) -> Callable[[Fleet, Books, int], bool]:
    """Return the loop over events without the rules that a cell has no need of."""
    # A cached function's own arguments are not checked by types.
    return _advance(rules)


@cache
def _advance(rules: Rules) -> Callable[[Fleet, Books, int], bool]:
    return specialised(
        advance,
        DRAFTING=rules.drafting,
        EXCHANGING=not rules.drafting,
        SHARING=rules.sharing,
        PAUSING=rules.pausing,
        GUESSING=rules.guessing,
        GUIDING=rules.guiding,
        OVERLAPPING=rules.overlapping,
    )
