"""Writes ``report.html``: one file, nothing fetched, figures inline and as ``plots/*.svg``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

import yaml
from markupsafe import Markup

from actors.sink import write_atomically
from experiments.report.pages import environment
from experiments.report.sections import FigureBlock, Section, sections_of
from experiments.report.sentences import summary_sentences
from experiments.results.grid import grouped
from experiments.results.labels import whole_arms
from experiments.results.run import Run, load_parts

_ID = re.compile(r"""(\bid="|\bxlink:href="\#|\burl\(\#)""")
_DECLARATION = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)


def write_report(run_dir: Path | str, parts: Mapping[str, Run] | None = None) -> Path:
    """Write ``report.html`` and ``plots/*.svg`` into a run directory; returns the report's path.

    Args:
        run_dir: a run directory, or one that holds several as its folders.
        parts: name -> run, to show others than those found there.

    Raises:
        ConfigError: nothing here is a run, or it cannot be written.
    """
    path = Path(run_dir)
    shown = load_parts(path) if parts is None else dict(parts)
    sections = sections_of(shown)
    plots = path / "plots"
    plots.mkdir(parents=True, exist_ok=True)
    for section in sections:
        for block in section.blocks:
            if isinstance(block, FigureBlock):
                write_atomically(plots / f"{block.name}.svg", block.svg)
    return write_atomically(path / "report.html", render(_title(path, shown), shown, sections))


def render(title: str, parts: Mapping[str, Run], sections: list[Section]) -> str:
    """Return the report's HTML.

    Args:
        title: its heading.
        parts: the runs that it tells of.
        sections: what it shows.
    """
    pages = environment("experiments.report")
    pages.filters["inline_svg"] = _inline
    pages.filters["kind"] = lambda block: type(block).__name__
    pages.filters["grouped"] = grouped
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


def _inline(figure: FigureBlock) -> Markup:
    """Return a figure for use inside HTML: its ids get its name before them, to stay unique."""
    svg = _METADATA.sub("", _DECLARATION.sub("", figure.svg))
    svg = _ID.sub(lambda match: f"{match[1]}{figure.name}-", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-labelledby="{figure.name}-caption" ', 1)
    return Markup(svg)  # noqa: S704 - made by this project's own figures, text as outlines
