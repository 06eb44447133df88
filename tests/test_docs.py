"""The documentation is true: its commands run, its Python prints what stands below it.

Blocks of a page are carried out in order in a folder of the page's own. ``sh`` is run line by line
(`costeer` in this process, the rest by bash) unless a comment ``<!-- not run: REASON -->`` stands
above it: then its commands are only parsed. ``python`` is executed in one namespace per page; a
``text`` block right below holds what it prints. A first line ``# file NAME`` makes a file of it.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from experiments import cli
from experiments.dashboards.reference import reference_page

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").glob("*.md"))
RUN = [page for page in PAGES if "```sh" in page.read_text(encoding="utf-8")]
_FENCE = re.compile(
    r"(?:<!-- not run: (?P<why>[^>]+?) -->\n)?```(?P<kind>\w+)\n(?P<body>.*?)^```$",
    re.MULTILINE | re.DOTALL,
)
_BASH = "/bin/bash"
_KINDS = {"sh", "python", "text", "yaml"}


@dataclass(frozen=True)
class Block:
    kind: str
    body: str
    why_not: str
    line: int


def blocks_of(page: Path) -> list[Block]:
    text = page.read_text(encoding="utf-8")
    return [
        Block(
            found["kind"], found["body"], found["why"] or "", text.count("\n", 0, found.start()) + 1
        )
        for found in _FENCE.finditer(text)
    ]


def commands_of(block: Block) -> list[str]:
    lines = block.body.replace("\\\n", " ").splitlines()
    return [line.strip() for line in lines if line.split("#")[0].strip()]


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Work in a folder whose modules can be imported; forget them afterwards."""
    before, known = Path.cwd(), set(sys.modules)
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    try:
        yield
    finally:
        os.chdir(before)
        sys.path.remove(str(folder))
        for name in set(sys.modules) - known:
            file = getattr(sys.modules[name], "__file__", None)
            if file and Path(file).is_relative_to(folder):
                del sys.modules[name]


def lines_of(text: str) -> list[str]:
    return [line.rstrip() for line in text.strip().splitlines()]


Made = dict[tuple[str, ...], Path]
"""What a run was asked for, but for its directory -> where it lies."""


@pytest.fixture(scope="module")
def made() -> Made:
    return {}


def run_command(line: str, made: Made) -> str:
    """Run one line; return what it printed. A run that another page made is copied."""
    words = shlex.split(line, comments=True)
    while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
        words.pop(0)  # PYTHONPATH=.: `inside` has seen to it
    if words[0] == "costeer":
        asked, run_dir = _without_out(words)
        if words[1] == "run" and asked in made:
            shutil.copytree(made[asked], run_dir)
            return ""
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            assert cli.main(words[1:]) == 0, line
        if words[1] == "run":
            made[asked] = Path(run_dir).resolve()
        return out.getvalue()
    assert words[0] in {"ls", "for"}, f"{line}: what else should be run by a test?"
    done = subprocess.run([_BASH, "-euc", line], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _without_out(words: list[str]) -> tuple[tuple[str, ...], str]:
    if "--out" not in words:
        return tuple(words), ""
    at = words.index("--out")
    return (*words[:at], *words[at + 2 :]), words[at + 1]


# Several commands each, on a machine that may do other things as well.
@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path, made: Made) -> None:
    space: dict[str, Any] = {"__name__": "docs"}
    printed: str | None = None
    with inside(tmp_path):
        for block in blocks_of(page):
            where = f"{page.name}:{block.line}"
            named = re.match(r"# file (\S+)\n", block.body)
            if named and block.kind in {"python", "yaml"}:
                (tmp_path / named[1]).write_text(block.body.split("\n", 1)[1], encoding="utf-8")
            elif block.kind == "sh" and not block.why_not:
                for line in commands_of(block):
                    run_command(line, made)
            elif block.kind == "python":
                out = io.StringIO()
                with contextlib.redirect_stdout(out):
                    exec(compile(block.body, where, "exec"), space)  # noqa: S102 - our own pages
                printed = out.getvalue()
                continue
            elif block.kind == "text":
                assert printed is not None, f"{where}: output of nothing"
                assert lines_of(printed) == lines_of(block.body), where
            printed = None


def parse(words: list[str]) -> None:
    """Have the command line parsed, and nothing done."""
    parser = cli._parser()
    arguments = parser.parse_args(words)
    assert isinstance(arguments, argparse.Namespace)


def targets_of_make() -> set[str]:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    return set(re.findall(r"^([a-z-]+):", text, re.MULTILINE))


@pytest.mark.parametrize("page", [*PAGES, ROOT / "README.md"], ids=lambda page: page.stem)
def test_every_command_can_be_parsed(page: Path) -> None:
    for block in blocks_of(page):
        if block.kind != "sh":
            continue
        for line in commands_of(block):
            words = shlex.split(line, comments=True)
            while words and re.fullmatch(r"[A-Z_]+=\S*", words[0]):
                words.pop(0)
            if words[0] == "costeer":
                parse(words[1:])
            elif words[0] == "make":
                assert words[1] in targets_of_make(), line
            else:
                done = subprocess.run([_BASH, "-nc", line], capture_output=True, check=False)
                assert done.returncode == 0, line


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_blocks_and_links_are_whole(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    for block in blocks_of(page):
        assert block.kind in _KINDS, block
    assert text.count("\n```") == 2 * len(blocks_of(page)), "a fence that nothing reads"
    for target in re.findall(r"\]\(([^)#]+)\)", text):
        if not target.startswith("http"):
            assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_page_is_listed() -> None:
    index = (ROOT / "docs/README.md").read_text(encoding="utf-8")
    for page in PAGES:
        assert page.name == "README.md" or page.name in index


def test_the_reference_of_metrics_is_that_of_the_code() -> None:
    written = (ROOT / "docs/metrics.md").read_text(encoding="utf-8")
    assert written == reference_page(), (
        "python -m experiments.dashboards.reference > docs/metrics.md"
    )
