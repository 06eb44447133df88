"""Aligned tables of columns: as text for a terminal, as Markdown, and the numbers in them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

ABSENT = "–"
"""What stands where there is no number."""

_GAP = "  "
_GROUP_GAP = "   "


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a table.

    Args:
        title: its name.
        cells: its formatted values, top to bottom.
        unit: under the name; may be empty.
        group: over the name; neighbours with the same group share it.
        left: aligned left (text) and repeated where a table is broken into blocks.
    """

    title: str
    cells: tuple[str, ...]
    unit: str = ""
    group: str = ""
    left: bool = False

    @property
    def width(self) -> int:
        """Characters of its widest line; the group's title may be wider."""
        return max(len(line) for line in (self.title, self.unit, *self.cells))


def number(value: float | None, decimals: int) -> str:
    """Format a number with grouped thousands; zero as a bare 0, an absent one as a dash."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return f"{value:,.{decimals}f}" if value else "0"


def significant(value: float | None, digits: int = 3) -> str:
    """Format a number with so many significant digits, never with an exponent."""
    if value is None or not math.isfinite(value):
        return ABSENT
    return number(value, max(0, digits - 1 - _magnitude(value)))


def numbers(values: Sequence[float | None]) -> tuple[str, ...]:
    """Format a column with one number of decimals.

    Three significant digits for the smallest, but no more than four for the largest.
    """
    known = [abs(value) for value in values if value is not None and math.isfinite(value)]
    known = [value for value in known if value > 0]
    if all(value == round(value) for value in known):
        decimals = 0
    else:
        decimals = min(2 - _magnitude(min(known)), 3 - _magnitude(max(known)))
    return tuple(number(value, max(0, decimals)) for value in values)


def _magnitude(value: float) -> int:
    """Return the power of ten of the first digit."""
    return math.floor(math.log10(abs(value))) if value else 0


def text_table(columns: Sequence[Column], width: int | None = None) -> str:
    """Return the table as aligned text.

    Args:
        columns: the columns; those aligned left come first.
        width: break the table into blocks of whole groups no wider than this where possible.
    """
    return "\n\n".join(_block(block) for block in _blocks(columns, width))


def markdown_table(columns: Sequence[Column]) -> str:
    """Return the table as Markdown, group and unit folded into each title."""
    titles = [folded(column) for column in columns]
    marks = [":--" if column.left else "--:" for column in columns]
    body = zip(*(column.cells for column in columns), strict=True)
    return "\n".join("| " + " | ".join(line) + " |" for line in (titles, marks, *body))


def folded(column: Column) -> str:
    """Return a column's title with its group and unit, for tables of one header line."""
    title = f"{column.group}: {column.title}" if column.group else column.title
    return f"{title} ({column.unit})" if column.unit else title


def grouped(columns: Sequence[Column]) -> list[list[Column]]:
    """Return runs of neighbours that share a group's title; each column without one alone."""
    groups: list[list[Column]] = []
    for column in columns:
        if groups and column.group and groups[-1][0].group == column.group:
            groups[-1].append(column)
        else:
            groups.append([column])
    return groups


def _span(group: Sequence[Column]) -> int:
    inner = sum(column.width for column in group) + len(_GAP) * (len(group) - 1)
    title = group[0].group
    return max(inner, len(title) + len("╌  ╌") if title else 0)


def _blocks(columns: Sequence[Column], width: int | None) -> list[list[list[Column]]]:
    """Return groups of columns, in blocks no wider than asked; each block begins with the keys."""
    keys = [[column] for column in columns if column.left]
    groups = grouped([column for column in columns if not column.left])
    if width is None or not groups:
        return [[*keys, *groups]]
    start = sum(_span(key) + len(_GROUP_GAP) for key in keys)
    blocks: list[list[list[Column]]] = []
    used = width + 1
    for group in groups:
        if used + _span(group) > width:
            blocks.append([*keys])
            used = start
        blocks[-1].append(group)
        used += _span(group) + len(_GROUP_GAP)
    return blocks


def _block(groups: Sequence[Sequence[Column]]) -> str:
    widths: list[list[int]] = []
    for group in groups:
        natural = [column.width for column in group]
        spare = _span(group) - sum(natural) - len(_GAP) * (len(group) - 1)
        # A wide group title is shared out, so that its columns stay evenly spaced.
        share, rest = divmod(spare, len(group))
        widths.append([n + share + (i < rest) for i, n in enumerate(natural)])
    lines: list[str] = []
    if any(group[0].group for group in groups):
        lines.append(_GROUP_GAP.join(_centred(group[0].group, _span(group)) for group in groups))
    columns = [column for group in groups for column in group]
    lines.append(_line([column.title for column in columns], groups, widths))
    if any(column.unit for column in columns):
        lines.append(_line([column.unit for column in columns], groups, widths))
    lines.append(_line(["─" * n for group in widths for n in group], groups, widths))
    body = zip(*(column.cells for column in columns), strict=True)
    lines.extend(_line(cells, groups, widths) for cells in body)
    return "\n".join(line.rstrip() for line in lines)


def _centred(title: str, width: int) -> str:
    return f" {title} ".center(width, "╌") if title else " " * width


def _line(
    cells: Sequence[str], groups: Sequence[Sequence[Column]], widths: Sequence[Sequence[int]]
) -> str:
    rest = iter(cells)
    parts = []
    for group, spans in zip(groups, widths, strict=True):
        aligned = [
            next(rest).ljust(width) if column.left else next(rest).rjust(width)
            for column, width in zip(group, spans, strict=True)
        ]
        parts.append(_GAP.join(aligned))
    return _GROUP_GAP.join(parts)
