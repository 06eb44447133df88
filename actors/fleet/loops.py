"""The loops over events that cells run: few, since each is made into machine code by itself.

What a cell never does is left out of its loop; see ``netsim.compiled.specialised``. Most cells do
none of what ``Rules`` names, and theirs is the smallest and fastest loop. All that is seldom asked
for is in one other loop together: it takes half as long again to make and up to a tenth longer a
token, where a loop for each combination would have to be made for nearly every arm. Devices that
draft have loops of their own, and so have cells in which something may fail and clouds that learn
how many ranks to send first.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import NamedTuple

from actors.fleet.engine import advance
from actors.fleet.layout import Books, Fleet
from actors.plan import ArmPlan, learns_k
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
        troubled: something may fail.
        several: among it a replica, whose devices turn to others.
        learning: the starting k of a token's ranks is learnt.
    """

    drafting: bool = False
    sharing: bool = False
    pausing: bool = False
    guessing: bool = False
    guiding: bool = False
    overlapping: bool = False
    troubled: bool = False
    several: bool = False
    learning: bool = False


def rules_of(
    plan: ArmPlan, *, sharing: bool, troubled: bool = False, several: bool = False
) -> Rules:
    """Return what the cells of an arm do.

    Args:
        plan: the arm.
        sharing: see ``Rules``.
        troubled: likewise.
        several: likewise.
    """
    return Rules(
        drafting=plan.speculation is not None,
        sharing=sharing,
        pausing=plan.gate is not None,
        guessing=plan.cloud_drafts is not None,
        guiding=plan.arm.method.guided,
        overlapping=plan.arm.overlap not in {None, OverlapConfig()},
        troubled=troubled,
        several=several,
        learning=learns_k(plan),
    )


def advance_of(rules: Rules) -> Callable[[Fleet, Books, int], bool]:
    """Return a loop over events that has all rules that a cell needs."""
    drafting, troubled = rules.drafting, rules.troubled
    learning = rules.learning and not troubled and not rules.several
    seldom = any(rules._replace(drafting=False, troubled=False, several=False))
    if drafting:
        # Nothing else goes with drafts.
        shares = seldom or troubled
        made = Rules(drafting=True, sharing=shares, overlapping=seldom, troubled=troubled)
        return _advance(made._replace(learning=learning))
    # A cached function's own arguments are not checked by types.
    made = Rules(*[seldom] * len(rules))._replace(drafting=False, several=rules.several)
    made = made._replace(troubled=troubled or rules.several, learning=learning)
    return _advance(made)


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
        TROUBLED=rules.troubled,
        CALM=not rules.troubled,
        SEVERAL=rules.several,
        SINGLE=not rules.several,
        LEARNING=rules.learning,
    )
