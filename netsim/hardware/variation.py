"""How much forwards of one shape differ from each other in time.

A machine does not take equally long for the same work: caches, clocks and neighbours differ. What
was measured is kept as equally likely factors, in thousandths of what a cost model says; each
forward of a replica draws its own. Drawn independently: that two slow ones follow each other more
often than by chance is not said.
"""

from collections.abc import Sequence
from itertools import pairwise

from netsim.errors import NetsimError

FACTORS = 64
"""Of a variation that was measured."""
_WHOLE = 1000
_MOST = 1_000_000


def variation_of(ratios: Sequence[float]) -> tuple[int, ...]:
    """The variation of measured times over what a model says of them: their quantiles, ascending.

    Args:
        ratios: at least one, none negative.

    Raises NetsimError without a ratio, or for one that is negative.
    """
    ascending = sorted(ratios)
    if not ascending or ascending[0] < 0 or round(_WHOLE * ascending[-1]) >= _MOST:
        told = f"times {ascending[0]:.4g} to {ascending[-1]:.4g} of" if ascending else "none with"
        raise NetsimError(
            f"variation of forwards: {told} what their shape takes; measure again, with nothing"
            f" else on the machine (from 0 to below {_MOST // _WHOLE})"
        )
    last = len(ascending) - 1
    factors = []
    for index in range(FACTORS):
        at = (index + 0.5) / FACTORS * len(ascending) - 0.5
        below = min(last, max(0, int(at)))
        above = min(last, below + 1)
        share = min(1.0, max(0.0, at - below))
        factors.append(
            round(_WHOLE * (ascending[below] + share * (ascending[above] - ascending[below])))
        )
    return tuple(factors)


def check_variation(permille: Sequence[int]) -> None:
    """NetsimError for what is not ascending factors in thousandths."""
    unordered = any(low > high for low, high in pairwise(permille))
    if unordered or any(not 0 <= factor < _MOST for factor in permille):
        raise NetsimError(
            f"forward_variation = {list(permille)}: give ascending factors in thousandths, from 0"
            f" to {_MOST - 1}; none for forwards that take as long as each other"
        )


def varied_ns(duration_ns: int, permille: Sequence[int], uniform: float) -> int:
    """What one forward takes. Numbers only, for compiled code.

    Args:
        duration_ns: what a model says of its shape.
        permille: equally likely factors, in thousandths; at least one.
        uniform: this forward's draw, from [0, 1).
    """
    factor = int(permille[int(uniform * len(permille))])
    return (duration_ns * factor + _WHOLE // 2) // _WHOLE
