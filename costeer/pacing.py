"""How many drafts, and how far ahead: fixed, or learnt at the device as the session goes.

Theory
------
What an exchange takes (X, from DRAFT to its rows), what a draft takes (d) and how often a draft is
right (a) are all seen at the device. One exchange after the other takes (γ d + X) / E seconds a
token, E = (1 − a^(γ+1)) / (1 − a) being the tokens that it brings. Pipelined, a token takes d while
drafts are right, and a wrong one costs an exchange more: d + (1 − a) X', where X' is longer than X,
for the cloud may still be running what was in vain. The lesser of the two is chosen before every
exchange. X and X' are medians of those that began with a choice, the one while nothing else was
under way, the other pipelined; until X' was seen it is taken for an eighth more than X. A draft's
verdict counts less the older it is. Link, load of the cloud and text thus enter without anybody
saying so.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass
from statistics import median_low
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from costeer.speculation import SpeculationConfig

_MOST_DRAFTS = 16
_MOST_AHEAD = 48
_KEPT = 8
"""Exchanges and drafts whose durations are remembered."""
_MEMORY = 0.97
"""What a draft's verdict counts for after one more: some 30 verdicts are remembered."""
_PRIOR_RIGHT, _PRIOR_WRONG = 2.4, 0.6
_IN_VAIN = 9 / 8
"""What a pipelined exchange is taken for, in exchanges, before one was seen."""
_WORTH = 0.05
"""Drafts that are right with less probability than this are not worth their way."""


def most_drafts(config: SpeculationConfig) -> int:
    """Return the most drafts that a device ever has, whatever it learns."""
    if config.drafts == "adaptive":
        return _MOST_AHEAD
    return max(config.drafts, config.ahead)


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do until the next exchange.

    Args:
        drafts: tokens drafted for one DRAFT.
        ahead: drafts that may be under way; 0: each DRAFT waits for the verdict on the last.
    """

    drafts: int
    ahead: int


class Pacer:
    """What a session's drafts, exchanges and verdicts taught, and the plan that follows."""

    __slots__ = ("_draft_ns", "_exchange_ns", "_fixed", "_pipelined_ns", "_right", "_wrong")

    def __init__(self, config: SpeculationConfig) -> None:
        """Begin with nothing learnt."""
        drafts = config.drafts
        self._fixed = None if drafts == "adaptive" else Plan(drafts, config.ahead)
        self._exchange_ns: deque[int] = deque(maxlen=_KEPT)
        self._pipelined_ns: deque[int] = deque(maxlen=_KEPT)
        self._draft_ns: deque[int] = deque(maxlen=_KEPT)
        self._right, self._wrong = _PRIOR_RIGHT, _PRIOR_WRONG

    @property
    def acceptance(self) -> float:
        """How often a draft is right, by what was seen."""
        return self._right / (self._right + self._wrong)

    def judged(self, *, right: bool) -> None:
        """A choice was compared with the draft of its position."""
        self._right = _MEMORY * self._right + right
        self._wrong = _MEMORY * self._wrong + (not right)

    def drafted(self, duration_ns: int) -> None:
        """The small model ran a token."""
        self._draft_ns.append(duration_ns)

    def exchanged(self, duration_ns: int, *, pipelined: bool) -> None:
        """An exchange that began with a choice is over.

        Args:
            duration_ns: from the DRAFT to its rows.
            pipelined: whether rows of a refuted text were still to come when it began.
        """
        (self._pipelined_ns if pipelined else self._exchange_ns).append(duration_ns)

    def plan(self) -> Plan:
        """Return the plan of least expected time a token."""
        if self._fixed is not None:
            return self._fixed
        if not self._exchange_ns or not self._draft_ns:
            return Plan(4, 0)
        exchange_ns, draft_ns = median_low(self._exchange_ns), median_low(self._draft_ns)
        seen = self._pipelined_ns
        behind_ns = median_low(seen) if seen else _IN_VAIN * exchange_ns
        a = self.acceptance
        drafts, one_by_one_ns = _best_drafts(a, draft_ns, exchange_ns)
        if one_by_one_ns <= draft_ns + (1 - a) * behind_ns:
            return Plan(drafts, 0)
        # Twice as many as an exchange lasts: the next one is under way before the last is over.
        fills = 2 + math.ceil(2 * exchange_ns / draft_ns) if draft_ns else _MOST_AHEAD
        worth = math.ceil(math.log(_WORTH) / math.log(a))
        return Plan(1, max(2, min(fills, worth, _MOST_AHEAD)))


def _best_drafts(a: float, draft_ns: int, exchange_ns: int) -> tuple[int, float]:
    """Return γ of least time a token, one exchange after the other, and that time."""
    best, least_ns = 1, math.inf
    tokens, chance = 1.0, 1.0
    for drafts in range(1, _MOST_DRAFTS + 1):
        chance *= a
        tokens += chance
        token_ns = (drafts * draft_ns + exchange_ns) / tokens
        if token_ns < least_ns:
            best, least_ns = drafts, token_ns
    return best, least_ns
