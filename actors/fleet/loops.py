"""The loops over events that cells run: one for each combination of what a cell needs.

What a cell never does is left out of its machine code, which is made once for each combination and
kept; see ``netsim.compiled.specialised``.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache

from actors.fleet.engine import advance
from actors.fleet.layout import Books, Fleet
from netsim.compiled import specialised


def advance_of(
    drafting: bool, sharing: bool, *, pausing: bool = False, guessing: bool = False
) -> Callable[[Fleet, Books, int], bool]:
    """Return the loop over events without the rules that a cell has no need of."""
    # A cached function's own arguments are not checked by types.
    return _advance(drafting, sharing, pausing, guessing)


@cache
def _advance(
    drafting: bool, sharing: bool, pausing: bool, guessing: bool
) -> Callable[[Fleet, Books, int], bool]:
    return specialised(
        advance,
        DRAFTING=drafting,
        EXCHANGING=not drafting,
        SHARING=sharing,
        PAUSING=pausing,
        GUESSING=guessing,
    )
