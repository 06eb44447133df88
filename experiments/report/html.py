"""Writes ``report.html``: one file, nothing fetched, figures inline and as ``plots/*.svg``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd
import yaml

from actors.sink import write_atomically
from experiments.report.blocks import FigureBlock, Section, TableBlock
from experiments.report.pages import environment
from experiments.report.sections import sections_of
from experiments.report.sentences import summary_sentences
from experiments.results.formats import table_as
from experiments.results.labels import whole_arms
from experiments.results.run import Run, load_parts


def write_report(
    run_dir: Path | str,
    parts: Mapping[str, Run] | None = None,
    more: Sequence[Section] = (),
) -> Path:
    """Write ``report.html`` and ``plots/*.svg`` into a run directory; returns the report's path.

    Args:
        run_dir: a run directory, or one that holds several as its folders.
        parts: name -> run, to show others than those found there.
        more: what else belongs on the page, after the parts: a sweep's curves, say.

    Raises:
        ConfigError: nothing here is a run, or it cannot be written.
    """
    path = Path(run_dir)
    shown = load_parts(path) if parts is None else dict(parts)
    sections = [*sections_of(shown), *more]
    plots = path / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, FigureBlock):
                write_atomically(plots / f"{block.name}.svg", block.svg)
    return write_atomically(path / "report.html", render(_title(path, shown), shown, sections))


def write_tables(run_dir: Path | str, suffix: str) -> list[Path]:
    """Write every table of the report as a file under ``tables/``; return the paths.

    ``csv`` adds ``summary.csv``: the rows of ``summary.json``, flattened and unrounded.

    Args:
        run_dir: a run directory, or one that holds several as its folders.
        suffix: one of ``TABLE_FORMATS``.

    Raises:
        ConfigError: nothing here is a run.
    """
    path = Path(run_dir)
    parts = load_parts(path)
    folder = path / "tables"
    folder.mkdir(exist_ok=True)
    written = [
        write_atomically(
            folder / f"{block.name}.{suffix}",
            table_as(suffix, block.columns, block.caption, block.name),
        )
        for section in sections_of(parts)
        for block in section.blocks
        if isinstance(block, TableBlock)
    ]
    if suffix == "csv":
        rows = [{"part": name, **row} for name, run in parts.items() for row in run.arms]
        flat = pd.json_normalize(rows, sep=".")
        written.append(write_atomically(folder / "summary.csv", flat.to_csv(index=False)))
    return written


def render(title: str, parts: Mapping[str, Run], sections: list[Section]) -> str:
    """Return the report's HTML.

    Args:
        title: its heading.
        parts: the runs that it tells of.
        sections: what it shows.
    """
    pages = environment("experiments.report")
    pages.filters["yaml"] = lambda value: yaml.safe_dump(value, sort_keys=False)
    # The part with the most arms tells most about the method.
    main = max(parts.values(), key=lambda run: len(whole_arms(run.arms)))
    return pages.get_template("report.html.j2").render(
        title=title,
        parts=parts,
        sections=sections,
        sentences=summary_sentences(main.arms),
        incomplete=[name or title for name, run in parts.items() if not run.complete],
    )


def _title(path: Path, parts: Mapping[str, Run]) -> str:
    named = parts[""].manifest.get("name") if "" in parts else None
    return str(named or path.resolve().name)
