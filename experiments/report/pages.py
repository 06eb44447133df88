"""How pages are made: templates of a package, everything escaped, a missing name an error.

Every page is one file that opens offline: figures are inside it, and what can be downloaded is a
``data:`` address.
"""

from __future__ import annotations

import base64
import re

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from experiments.report.blocks import FigureBlock, TableBlock
from experiments.results.formats import table_as
from experiments.results.grid import grouped

_ID = re.compile(r"""(\bid="|\bxlink:href="\#|\burl\(\#)""")
_DECLARATION = re.compile(r"^.*?(?=<svg)", re.DOTALL)
_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_TYPES = {"svg": "image/svg+xml", "csv": "text/csv", "md": "text/markdown", "tex": "text/x-tex"}
_TITLES = {"svg": "SVG", "csv": "CSV", "md": "Markdown", "tex": "LaTeX"}


def environment(package: str) -> Environment:
    """Return what renders the templates beside a package's code, and those that all pages share."""
    shared = "experiments.report"
    packages = dict.fromkeys((package, shared))
    pages = Environment(
        loader=ChoiceLoader([PackageLoader(each, "templates") for each in packages]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["files"] = block_files
    pages.filters["grouped"] = grouped
    pages.filters["inline_svg"] = lambda block: inline_svg(block.name, block.svg)
    pages.filters["kind"] = lambda block: type(block).__name__
    return pages


def inline_svg(name: str, svg: str) -> Markup:
    """Return a figure for use inside HTML: its ids get its name before them, to stay unique."""
    svg = _METADATA.sub("", _DECLARATION.sub("", svg))
    svg = _ID.sub(lambda match: f"{match[1]}{name}-", svg)
    svg = svg.replace("<svg ", f'<svg role="img" aria-labelledby="{name}-caption" ', 1)
    return Markup(svg)  # noqa: S704 - made by this project's own figures, text as outlines


def block_files(block: FigureBlock | TableBlock) -> list[tuple[str, str, str]]:
    """Return (suffix, title, address) of what can be downloaded of a block."""
    if isinstance(block, FigureBlock):
        made = {"svg": block.svg, "csv": block.csv}
    else:
        made = {
            suffix: table_as(suffix, block.columns, block.caption, block.name)
            for suffix in ("csv", "md", "tex")
        }
    return [(suffix, _TITLES[suffix], data_uri(suffix, text)) for suffix, text in made.items()]


def data_uri(suffix: str, text: str) -> str:
    """Return a text file as an address that needs no server."""
    packed = base64.b64encode(text.encode()).decode()
    return f"data:{_TYPES[suffix]};charset=utf-8;base64,{packed}"
