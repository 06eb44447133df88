"""Irrelevant lines in a private context: how robust is what is steered by it?

A context is what a personal prompt has beyond the public query; its lines (or, where it is one
line, its parts between commas) are its units. At rate r, r·n units of other users' contexts are
mixed into n of one's own, at random places: the user's own units stay, in their order. Draws are
a function of (seed, row, number), so a higher rate contains no other draws, only more of them.
"""

from __future__ import annotations

from collections.abc import Sequence

from costeer.errors import ConfigError
from experiments.datasets.row import PromptRow
from netsim.random import Stream, u64

_LEAST_ROWS = 2


def with_noise(rows: Sequence[PromptRow], rate: float, seed: int = 0) -> tuple[PromptRow, ...]:
    """Return the rows with other users' units mixed into their contexts.

    Args:
        rows: whose personal prompts end in the public query, as all readers make them.
        rate: foreign units per own unit; 0 changes nothing.
        seed: of the draws.

    Raises:
        ConfigError: one row alone has nobody else's context; or a prompt does not end in its query.
    """
    if rate == 0:
        return tuple(rows)
    if len(rows) < _LEAST_ROWS:
        raise ConfigError("workload.noise: irrelevant lines come from other rows; give two or more")
    contexts = [_context(row) for row in rows]
    separators = ["\n" if "\n" in context.strip() else ", " for context in contexts]
    units = [
        _split(context, separator) for context, separator in zip(contexts, separators, strict=True)
    ]
    return tuple(
        row.model_copy(
            update={
                "personalized_input": separators[index].join(_mixed(units, index, rate, seed))
                + _ending(contexts[index])
                + row.input
            }
        )
        if units[index]
        else row
        for index, row in enumerate(rows)
    )


def _context(row: PromptRow) -> str:
    if not row.personalized_input.endswith(row.input):
        raise ConfigError(
            f"workload.noise: row {row.id!r}: its personalized_input does not end in its input, so"
            " its context cannot be told apart; leave noise out"
        )
    return row.personalized_input.removesuffix(row.input)


def _split(context: str, separator: str) -> list[str]:
    return [unit for unit in context.rstrip(" .\n").split(separator) if unit.strip()]


def _ending(context: str) -> str:
    """What stands between the last unit and the query."""
    return context[len(context.rstrip(" .\n")) :]


def _mixed(units: Sequence[Sequence[str]], index: int, rate: float, seed: int) -> list[str]:
    own = units[index]
    foreign = [
        unit
        for other, theirs in enumerate(units)
        if other != index
        for unit in theirs
        if unit not in own
    ]
    mixed = list(own)
    for number in range(round(rate * len(own)) if foreign else 0):
        unit = foreign[u64(seed, Stream.PROMPT, index, 2 * number) % len(foreign)]
        place = u64(seed, Stream.PROMPT, index, 2 * number + 1) % (len(mixed) + 1)
        mixed.insert(place, unit)
    return mixed
