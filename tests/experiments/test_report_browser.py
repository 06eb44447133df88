"""The report in a real browser: nothing complains, nothing is blank, what can be clicked works."""

from __future__ import annotations

import csv
import io
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import pytest

from experiments.comparison import compare
from experiments.comparison.page import render
from experiments.report import write_report
from experiments.results.samples import MARKED
from tests.browser import Browser, needs_browser, opened_browser
from tests.experiments.fake_run import REFERENCE, write_demo

pytestmark = needs_browser


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "demo"
    write_demo(path, devices=6)
    words = REFERENCE.split(" ")
    tokens = ",".join(
        f'{{"text": " {word}", "steered": {str(n == 2).lower()},'
        f' "before": [[" the", 0.5], [" <b>", 0.25]], "after": [[" {word}", 0.9]]}}'
        for n, word in enumerate(words)
    )
    text = f'[{{"arm": 5, "method": "costeer", "prompt_id": "row-000", "tokens": [{tokens}]}}]'
    (path / "methods" / MARKED).write_text(text)
    write_report(path)
    (path / "compare.html").write_text(render(compare([path])))
    return path


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with opened_browser() as window:
        yield window


@pytest.mark.parametrize("name", ["report.html", "compare.html"])
def test_the_page_is_quiet_and_its_figures_are_seen(
    demo: Path, browser: Browser, name: str
) -> None:
    browser.open(demo / name)
    assert browser.console() == []
    figures = browser.run(
        "return [...document.querySelectorAll('figure > svg')].map(svg => {"
        " const box = svg.getBoundingClientRect();"
        " const drawn = [...svg.querySelectorAll('path, use')].filter(mark => {"
        "  const at = mark.getBoundingClientRect(); return at.width > 0 || at.height > 0; });"
        " const inks = new Set(drawn.map(mark => getComputedStyle(mark).fill));"
        " return [svg.getAttribute('aria-labelledby'), box.width, box.height, drawn.length,"
        "  inks.size]; })"
    )
    assert figures
    for title, width, height, marks, inks in figures:
        assert width > 300, title
        assert height > 100, title
        assert marks > 20, title
        assert inks > 1, title
    # Nothing is wider than the window, tables scroll on their own.
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")


@pytest.mark.parametrize("name", ["report.html", "compare.html"])
def test_links_lead_somewhere_and_downloads_are_whole(
    demo: Path, browser: Browser, name: str
) -> None:
    browser.open(demo / name)
    links = browser.run(
        "return Promise.all([...document.querySelectorAll('a')].map(async a => {"
        " const to = a.getAttribute('href');"
        " if (to.startsWith('#')) return [to, !!document.getElementById(to.slice(1)), ''];"
        " const bytes = atob(to.split(',')[1]);"
        " const text = new TextDecoder().decode(Uint8Array.from(bytes, c => c.charCodeAt(0)));"
        " return [a.download, to.startsWith('data:'), text]; }))"
    )
    assert any(to.startswith("#") for to, *_ in links)
    for to, found, text in links:
        assert found, to
        if to.endswith(".svg"):
            assert ET.fromstring(text).tag.endswith("svg")  # noqa: S314 - the project's own
        elif to.endswith(".csv"):
            rows = list(csv.reader(io.StringIO(text)))
            assert len(rows) > 1, to
            assert len({len(row) for row in rows}) == 1, to
    kinds = {to.rsplit(".", 1)[-1] for to, *_ in links if not to.startswith("#")}
    assert kinds == {"svg", "csv", "md", "tex"}


def test_a_figures_data_is_what_it_draws(demo: Path, browser: Browser) -> None:
    browser.open(demo / "report.html")
    names = browser.run(
        "return [...document.querySelectorAll('figure')]"
        ".filter(f => f.querySelector(':scope > svg')).map(f => [f.id,"
        " [...f.querySelectorAll('a[download]')].map(a => a.download)])"
    )
    for name, downloads in names:
        assert downloads == [f"{name}.svg", f"{name}.csv"]


def test_hovering_over_a_token_shows_what_was_likely(demo: Path, browser: Browser) -> None:
    browser.open(demo / "report.html")
    (steered,) = browser.run(
        "return [...document.querySelectorAll('.token.steered')].map(t => t.firstChild.textContent)"
    )
    assert steered == REFERENCE.split(" ")[2]
    browser.run("document.querySelector('.token.steered').scrollIntoView({block: 'center'})")
    shown = "return getComputedStyle(document.querySelector('.token.steered .tip')).display"
    assert browser.run(shown) == "none"
    browser.hover(".token.steered")
    assert browser.run(shown) == "flex"
    told = browser.run("return document.querySelector('.token.steered .tip').textContent")
    assert told.startswith("before the 50.0 % <b> 25.0 %after")
    assert browser.run("return document.documentElement.scrollWidth <= window.innerWidth")
