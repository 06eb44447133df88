"""How a starting k is learnt, as integer functions: what ``costeer.learning`` does with arrays.

No objects, only integers and sequences of them, so that numba compiles them as they stand for a
driver over arrays; a test holds the two equal, sum by sum.

Legend: see ``costeer.learning``.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import MutableSequence
    from typing import Protocol

    class Row(Protocol):
        """One-dimensional array of integers, or a list."""

        def __len__(self) -> int: ...
        def __getitem__(self, at: int, /) -> int: ...

    class Table(Protocol):
        """Two-dimensional array of integers."""

        def __len__(self) -> int: ...
        def __getitem__(self, at: tuple[int, int]) -> int: ...


FORGET_BITS = 10
"""Each observation takes 2⁻¹⁰ of what is known: a memory of some thousand tokens."""
COARSE_BITS, FINE_BITS, FINE_STEPS = 28, 18, 1 << 10
"""Of a logarithm: a coarse step, 1/16 nat; a fine one, 2⁻¹⁴ nat; and how many make a coarse one."""
PROBABILITY_BITS, WEIGHT_BITS = 30, 24
"""What a probability and the heaviest shape's weight of 1 are written as: 2 to the power of these.
256 shapes' weights times a probability fit 63 bits."""
_UNWEIGHED = 2 * PROBABILITY_BITS - WEIGHT_BITS


INITIAL_WINDOW_BYTES = 10 * 1448
"""Of TCP (RFC 6928), packets of 1,448 bytes."""
UNKNOWN_ROWS = 8
"""Rows that weigh as much as the guess that a half of them is used."""


def worth(carried: int, used_rows: int, vain_rows: int) -> int:
    """Return what a round trip is worth to rows of which some are never used, which none refines.

    Args:
        carried: bytes that the link could carry in it.
        used_rows: rows that a token was chosen from.
        vain_rows: rows that were sent behind a draft that was refuted.
    """
    known = used_rows + vain_rows + UNKNOWN_ROWS
    return (carried * (2 * used_rows + UNKNOWN_ROWS) + known) // (2 * known)


def observe(log_weight_H: MutableSequence[int], log_BH: Table, bracket: int) -> None:
    """Learn from a step that was decided after so many MORE requests; see ``bracket_KR``."""
    for shape in range(len(log_weight_H)):
        known = log_weight_H[shape]
        log_weight_H[shape] = known - (known >> FORGET_BITS) + log_BH[bracket, shape]


def weigh(
    log_weight_H: Row,
    chance_HN: Table,
    coarse: Row,
    fine: Row,
    chance_N: MutableSequence[int],
) -> None:
    """Write down the probability of each bin, under the weighted mean of the shapes.

    Args:
        log_weight_H: what is known.
        chance_HN: as in ``LearnerTables``, and so the next two.
        coarse: ...
        fine: ...
        chance_N: takes the probabilities.
    """
    heaviest = log_weight_H[0]
    for shape in range(len(log_weight_H)):
        heaviest = max(heaviest, log_weight_H[shape])
    for at in range(len(chance_N)):
        chance_N[at] = 0
    total = 0
    for shape in range(len(log_weight_H)):
        behind = heaviest - log_weight_H[shape]
        step = behind >> COARSE_BITS
        if step >= len(coarse):
            continue
        weight = coarse[step] * fine[(behind >> FINE_BITS) % FINE_STEPS] >> _UNWEIGHED
        if weight == 0:
            continue
        total += weight
        for at in range(len(chance_N)):
            chance_N[at] += weight * chance_HN[shape, at]
    for at in range(len(chance_N)):
        chance_N[at] //= total


def best_start(
    chance_N: Row, bytes_KN: Table, rounds_KN: Table, price: int, free_bytes: int
) -> int:
    """Return which starting k has the least expected cost, the smallest of several.

    Args:
        chance_N: probability of each bin.
        bytes_KN: as in ``LearnerTables``, and so the next one.
        rounds_KN: ...
        price: bytes that a round trip is worth.
        free_bytes: of a step that cost no time.
    """
    best, least = 0, -1
    for start in range(len(bytes_KN)):
        cost = 0
        for at in range(len(chance_N)):
            dear = max(bytes_KN[start, at] - free_bytes, 0)
            cost += chance_N[at] * (dear + price * rounds_KN[start, at])
        if least < 0 or cost < least:
            best, least = start, cost
    return best
