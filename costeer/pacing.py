"""How many drafts, and how far ahead: fixed, or learnt at the device as the session goes.

Theory
------
What an exchange takes (X, from DRAFT to its rows), what a draft takes (d) and how often a draft is
right (a) are all seen at the device. One exchange after the other takes (γ d + X) / E seconds a
token, E = (1 − a^(γ+1)) / (1 − a) being the tokens that it brings. Pipelined, a right draft takes
d and a wrong one an exchange, a d + (1 − a) X', where X' is longer than X, for the cloud may still
be running what was in vain. The lesser of the two is chosen before every exchange, the latter if
they are much the same. X and X' are medians of those that began with a choice, the one while
nothing else was under way, the other pipelined; until X' was seen it is taken for a quarter more
than X. A draft's verdict counts less the older it is. Before the first exchange nothing is known,
and drafts go up pipelined: where that is wrong it costs the cloud a forward or two, and waiting
where it is right costs the device a round trip. Link, load of the cloud and text thus enter without
anybody saying so.

What was seen is a list of integers, or a slice of an array of them: numba compiles the functions as
they stand. Where a fixed plan was given, nothing is learnt.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from typing import TypeAlias

    from costeer.speculation import SpeculationConfig

    State: TypeAlias = MutableSequence[int]

_MOST_DRAFTS = 16
_MOST_AHEAD = 48
_KEPT = 8
"""Exchanges and drafts whose durations are remembered."""
_ONE, _MEMORY_PERCENT = 10**9, 97
"""What a draft's verdict counts for, and what is left of that after one more: some 30 verdicts are
remembered."""
_PRIOR_RIGHT, _PRIOR_WRONG = 2_400_000_000, 600_000_000
_IN_VAIN = 5 / 4
"""What a pipelined exchange is taken for, in exchanges, before one was seen."""
_AHEAD_BY = 13 / 12
"""What waiting for verdicts has to be better by: going to and fro between the two costs both."""
_WORTH = 0.02
"""Drafts that are right with less probability than this are not worth their way."""
FIRST_AHEAD = 24
"""Drafts under way until an exchange was seen, each of them told at once."""

RIGHT, WRONG, DRAFTED, EXCHANGED = 0, 1, 2, 3 + _KEPT
PIPELINED = EXCHANGED + 1 + _KEPT
SIZE = PIPELINED + 1 + _KEPT
"""Of what was seen: weights of right and of wrong verdicts; then of drafts, exchanges and pipelined
exchanges how many there were, and the newest durations."""


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

    __slots__ = ("_fixed", "_seen")

    def __init__(self, config: SpeculationConfig) -> None:
        """Begin with nothing learnt."""
        drafts = config.drafts
        self._fixed = None if drafts == "adaptive" else Plan(drafts, config.ahead)
        self._seen = [0] * SIZE
        lay_pace(self._seen)

    @property
    def acceptance(self) -> float:
        """How often a draft is right, by what was seen."""
        return acceptance_of(self._seen)

    def judged(self, *, right: bool) -> None:
        """A choice was compared with the draft of its position."""
        judge(self._seen, int(right))

    def drafted(self, duration_ns: int) -> None:
        """The small model ran a token."""
        remember(self._seen, DRAFTED, duration_ns)

    def exchanged(self, duration_ns: int, *, pipelined: bool) -> None:
        """An exchange that began with a choice is over.

        Args:
            duration_ns: from the DRAFT to its rows.
            pipelined: whether rows of a refuted text were still to come when it began.
        """
        remember(self._seen, PIPELINED if pipelined else EXCHANGED, duration_ns)

    def plan(self) -> Plan:
        """Return the plan of least expected time a token."""
        return self._fixed or Plan(*learnt(self._seen))


def lay_pace(seen: State) -> None:
    """Begin with nothing learnt."""
    for at in range(SIZE):
        seen[at] = 0
    seen[RIGHT] = _PRIOR_RIGHT
    seen[WRONG] = _PRIOR_WRONG


def judge(seen: State, right: int) -> None:
    """A choice was compared with the draft of its position; ``right`` is 1 if it was that."""
    seen[RIGHT] = seen[RIGHT] * _MEMORY_PERCENT // 100 + right * _ONE
    seen[WRONG] = seen[WRONG] * _MEMORY_PERCENT // 100 + (1 - right) * _ONE


def remember(seen: State, what: int, duration_ns: int) -> None:
    """Remember how long a draft or an exchange took."""
    seen[what + 1 + seen[what] % _KEPT] = duration_ns
    seen[what] += 1


def acceptance_of(seen: State) -> float:
    """Return how often a draft is right, by what was seen."""
    return seen[RIGHT] / (seen[RIGHT] + seen[WRONG])


def median_of(seen: State, what: int) -> int:
    """Return the median of the durations that are remembered, the lower one of two."""
    count = min(seen[what], _KEPT)
    middle, found = (count - 1) // 2, 0
    for at in range(what + 1, what + 1 + count):
        below = same = 0
        for other in range(what + 1, what + 1 + count):
            below += int(seen[other] < seen[at])
            same += int(seen[other] == seen[at])
        if below <= middle < below + same:
            found = seen[at]
    return found


def learnt(seen: State) -> tuple[int, int]:
    """Return the plan of least expected time a token: drafts and how far ahead; see ``Plan``."""
    if seen[EXCHANGED] == 0 or seen[DRAFTED] == 0:
        return 1, FIRST_AHEAD
    exchange_ns, draft_ns = median_of(seen, EXCHANGED), median_of(seen, DRAFTED)
    behind_ns = _IN_VAIN * exchange_ns
    if seen[PIPELINED]:
        behind_ns = 1.0 * median_of(seen, PIPELINED)
    a = acceptance_of(seen)
    drafts, one_by_one_ns = best_drafts(a, draft_ns, exchange_ns)
    if _AHEAD_BY * one_by_one_ns <= a * draft_ns + (1 - a) * behind_ns:
        return drafts, 0
    # Twice as many as an exchange lasts: the next one is under way before the last is over.
    fills = _MOST_AHEAD
    if draft_ns:
        fills = 2 - -2 * exchange_ns // draft_ns
    worth, chance = 0, 1.0
    while chance > _WORTH and worth < _MOST_AHEAD:
        chance *= a
        worth += 1
    return 1, max(2, min(fills, worth))


def best_drafts(a: float, draft_ns: int, exchange_ns: int) -> tuple[int, float]:
    """Return γ of least time a token, one exchange after the other, and that time."""
    best, least_ns = 1, (draft_ns + exchange_ns) / (1.0 + a)
    tokens, chance = 1.0, 1.0
    for drafts in range(1, _MOST_DRAFTS + 1):
        chance *= a
        tokens += chance
        token_ns = (drafts * draft_ns + exchange_ns) / tokens
        if token_ns < least_ns:
            best, least_ns = drafts, token_ns
    return best, least_ns
