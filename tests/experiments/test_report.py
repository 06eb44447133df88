from __future__ import annotations

import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from pathlib import Path

import pytest

from costeer.methods import method_named
from experiments.report import write_report
from experiments.report.plots import bytes_figure
from experiments.report.style import METHOD_COLOURS, looks
from experiments.results import load, load_parts
from tests.experiments.fake_run import make_arm, write_demo, write_run

_VOID = {"meta", "link", "br"}


class Checker(HTMLParser):
    """Collects ids and links, and holds that tags close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in _VOID:
            self.open.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            if name in {"href", "src"} and value:
                self.links.append(value)

    # Of an empty element HTMLParser tells both the start and the end by default.
    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


_DEVICES = 9


@pytest.fixture(scope="module")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("runs") / "demo"
    write_demo(path, devices=_DEVICES)
    write_report(path)
    return path


def test_the_report_is_one_whole_offline_page(demo: Path) -> None:
    html = (demo / "report.html").read_text()
    page = Checker()
    page.feed(html)
    assert page.open == []
    assert len(page.ids) == len(set(page.ids))
    assert "<script" not in html
    assert not re.findall(r"""(?:src|href)=["']https?:|@import|url\(["']?https?:""", html)
    for link in page.links:
        if link.startswith("#"):
            assert link[1:] in page.ids
        elif not link.startswith("data:"):
            assert (demo / link).is_file()
    for inner in re.findall(r"url\(#([^)]*)\)", html):
        assert inner in page.ids


def test_every_part_is_shown(demo: Path) -> None:
    html = (demo / "report.html").read_text()
    for text in (
        "The methods side by side",
        "The same exchange at full vocabulary",
        "A live run beside its virtual prediction",
        "Sample texts",
        "Configuration and versions",
        "torch: 2.13.0",
    ):
        assert text in html
    summary = re.search(r'class="summary">(.*?)</div>', html, re.DOTALL)
    assert summary
    sentences = re.findall(r"<p>(.*?)</p>", summary[1])
    assert len(sentences) == 3
    assert sentences[0].startswith(f"Over {_DEVICES} requests costeer writes texts of ROUGE-L 0.")


def test_figures_are_drawings_and_never_change(demo: Path) -> None:
    figures = {figure.name: figure.read_text() for figure in (demo / "plots").glob("*.svg")}
    assert len(figures) == 13
    for figure in figures.values():
        drawn = ET.fromstring(figure)  # noqa: S314 - our own file
        assert len(list(drawn.iter("{http://www.w3.org/2000/svg}path"))) > 10
    again = bytes_figure(load(demo / "full-vocabulary").arms)
    assert again == figures["full-vocabulary-bytes.svg"]


def test_a_partial_run_says_so(tmp_path: Path) -> None:
    keys = {"method": "costeer", "codec": "top-64", "way": "virtual"}
    arm = make_arm(method_named("costeer"), devices=3, tokens=5, censored=1)
    write_run(tmp_path / "run", [(keys, arm)], complete=False, scored=False)
    html = write_report(tmp_path / "run").read_text()
    assert "Stopped before its end: run." in html
    assert "1 cut off by the end of the run" in html


def test_a_run_without_tokens_still_has_a_report(tmp_path: Path) -> None:
    keys = {"method": "costeer", "codec": "top-64", "way": "virtual"}
    arm = make_arm(method_named("costeer"), devices=1, tokens=3)
    arm.tokens = []
    write_run(tmp_path / "run", [(keys, arm)], scored=False)
    assert "No token was generated." in write_report(tmp_path / "run").read_text()


def test_texts_are_escaped(tmp_path: Path) -> None:
    keys = {"method": "<script>", "codec": "a&b", "way": "virtual"}
    arm = make_arm(method_named("costeer"), devices=3, tokens=5)
    write_run(tmp_path / "run", [(keys, arm)])
    html = write_report(tmp_path / "run", {"": load(tmp_path / "run")}).read_text()
    assert "<script>" not in html
    assert "&lt;script&gt;" in html


def test_methods_keep_their_colours_and_codecs_get_shades(demo: Path) -> None:
    parts = load_parts(demo)
    rows = [row for row in parts["methods"].arms if row["link_class"] == "all"]
    assert [look.colour for look in looks(rows)] == list(METHOD_COLOURS.values())
    codecs = [row for row in parts["full-vocabulary"].arms if row["link_class"] == "all"]
    first, second = looks(codecs)
    assert first.colour == METHOD_COLOURS["costeer"]
    assert second.colour != first.colour
