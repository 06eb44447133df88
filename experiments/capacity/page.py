"""Writes ``capacity.html``: one file that opens offline, with figures, tables and their data."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from actors.sink import write_atomically
from experiments.capacity import figures
from experiments.capacity.tables import (
    capacity_columns,
    findings,
    relief_columns,
    sensitivity_columns,
)
from experiments.capacity.verdict import __doc__ as rules
from experiments.report.blocks import FigureBlock, TableBlock
from experiments.report.pages import environment
from experiments.results.formats import table_as


def write_page(path: Path, study: Mapping[str, Any]) -> Path:
    """Write the page, ``plots/*.svg`` and ``*.csv``, and ``tables/*.md``; return the page's path.

    Args:
        path: the study's directory.
        study: what it came to.
    """
    drawn = list(figures.blocks(study))
    tables = _tables(study)
    for folder in ("plots", "tables"):
        (path / folder).mkdir(exist_ok=True)
    for figure in drawn:
        write_atomically(path / "plots" / f"{figure.name}.svg", figure.svg)
        write_atomically(path / "plots" / f"{figure.name}.csv", figure.csv)
    for table in tables:
        for suffix in ("md", "csv"):
            text = table_as(suffix, table.columns, table.caption, table.name)
            write_atomically(path / "tables" / f"{table.name}.{suffix}", text)
    return write_atomically(path / "capacity.html", render(study, drawn, tables))


def render(study: Mapping[str, Any], drawn: list[FigureBlock], tables: list[TableBlock]) -> str:
    """Return the page's HTML."""
    pages = environment("experiments.capacity")
    asked = ", ".join(f"{name} ≤ {limit:g} s" for name, limit in study["slo"].items())
    return pages.get_template("capacity.html.j2").render(
        study=study,
        asked=asked,
        findings=findings(study),
        blocks=[tables[0], *drawn, *tables[1:]],
        rules=(rules or "").split("\n\n"),
    )


def _tables(study: Mapping[str, Any]) -> list[TableBlock]:
    tables = [
        TableBlock(
            "capacity",
            capacity_columns(study),
            "The largest fleet per replica that keeps the objectives: mean over seeds and 95 % "
            "interval (Student). The other figures are those of the largest fleet found with the "
            "first seed.",
            "",
        )
    ]
    if any(row["reliefs"] for row in study["results"]):
        tables.append(
            TableBlock(
                "reliefs",
                relief_columns(study),
                "What limits: by the rules below, and by searching again with each resource at "
                "half its cost.",
                "",
            )
        )
    if any(row["sensitivity"] for row in study["results"]):
        tables.append(
            TableBlock(
                "sensitivity",
                sensitivity_columns(study),
                "The same search with one cost 20 % lower and higher; whether the rules name the "
                "same limit.",
                "",
            )
        )
    return tables
