"""Tables of columns as files: Markdown, CSV and LaTeX (booktabs)."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence

from experiments.results.grid import ABSENT, Column, folded, grouped, markdown_table

TABLE_FORMATS = ("md", "csv", "tex")
"""Names of the formats, which are the suffixes of their files."""

_ESCAPES = {
    "\\": r"\textbackslash{}",
    "&": r"\&",
    "%": r"\%",
    "#": r"\#",
    "_": r"\_",
    "$": r"\$",
    "{": r"\{",
    "}": r"\}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "–": "--",
    "Δ": r"$\Delta$",
    "σ": r"$\sigma$",
    "µ": r"\textmu{}",
    "×": r"$\times$",
}


def table_as(suffix: str, columns: Sequence[Column], caption: str, label: str) -> str:
    """Return a table in one of the formats.

    Args:
        suffix: one of ``TABLE_FORMATS``.
        columns: the columns; those aligned left come first.
        caption: what LaTeX says over it, plain text.
        label: LaTeX's, after ``tab:``.
    """
    if suffix == "md":
        return markdown_table(columns) + "\n"
    return csv_table(columns) if suffix == "csv" else latex_table(columns, caption, label)


def csv_table(columns: Sequence[Column]) -> str:
    """Return the table as CSV: group and unit in each title, numbers without thousands' commas."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow([folded(column) for column in columns])
    for cells in zip(*(column.cells for column in columns), strict=True):
        pairs = zip(cells, columns, strict=True)
        writer.writerow([cell if column.left else _plain(cell) for cell, column in pairs])
    return out.getvalue()


def _plain(cell: str) -> str:
    return "" if cell == ABSENT else cell.replace(",", "") if _is_number(cell) else cell


def _is_number(cell: str) -> bool:
    try:
        float(cell.replace(",", ""))
    except ValueError:
        return False
    return True


def latex_table(columns: Sequence[Column], caption: str, label: str) -> str:
    """Return the table as LaTeX for booktabs; groups and units stand in header rows.

    Args:
        columns: the columns; those aligned left come first.
        caption: its caption, plain text.
        label: after ``tab:``.
    """
    groups = grouped(columns)
    head = []
    if any(column.group for column in columns):
        cells, rules, at = [], [], 1
        for group in groups:
            title = _escaped(group[0].group)
            cells.append(rf"\multicolumn{{{len(group)}}}{{c}}{{{title}}}" if title else "")
            if title:
                rules.append(rf"\cmidrule(lr){{{at}-{at + len(group) - 1}}}")
            at += len(group)
        head += [" & ".join(cells) + r" \\", "".join(rules)]
    head.append(_latex_row([column.title for column in columns]))
    if any(column.unit for column in columns):
        head.append(_latex_row([column.unit for column in columns]))
    body = [_latex_row(cells) for cells in zip(*(column.cells for column in columns), strict=True)]
    spec = "".join("l" if column.left else "r" for column in columns)
    lines = [
        r"% needs \usepackage{booktabs}",
        r"\begin{table}",
        r"\centering\small",
        rf"\caption{{{_escaped(caption)}}}",
        rf"\label{{tab:{label}}}",
        rf"\begin{{tabular}}{{{spec}}}",
        r"\toprule",
        *head,
        r"\midrule",
        *body,
        r"\bottomrule",
        r"\end{tabular}",
        r"\end{table}",
    ]
    return "\n".join(lines) + "\n"


def _latex_row(cells: Sequence[str]) -> str:
    return " & ".join(_escaped(cell) for cell in cells) + r" \\"


def _escaped(text: str) -> str:
    return "".join(_ESCAPES.get(letter, letter) for letter in text)
