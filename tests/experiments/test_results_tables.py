from __future__ import annotations

from pathlib import Path

import pytest

from experiments.results import Run, load_parts
from experiments.results.grid import Column, number, numbers, significant, text_table
from experiments.results.labels import arm_labels, origins_line, whole_arms
from experiments.results.samples import pick_samples
from experiments.results.tables import (
    alone_note,
    live_table,
    methods_table,
    samples_table,
    stage_table,
)
from tests.experiments.fake_run import METHOD_NAMES, write_demo


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    path: Path = tmp_path_factory.mktemp("demo")
    write_demo(path, devices=6)
    return load_parts(path)


def test_numbers_keep_three_digits_of_the_smallest() -> None:
    assert numbers([9.1234, 183.4, None]) == ("9.1", "183.4", "–")
    assert numbers([36.0, 294.0, 0.0]) == ("36", "294", "0")
    assert numbers([303_904.0, 304.2]) == ("303,904", "304")
    assert numbers([]) == ()
    assert significant(0.01234) == "0.0123"
    assert significant(1234.5) == "1,234"
    assert number(float("nan"), 2) == "–"


def test_text_is_aligned_and_breaks_between_groups() -> None:
    columns = [
        Column("method", ("a", "bcd"), left=True),
        Column("x", ("1", "22"), "ms", "speed"),
        Column("y", ("3", "4"), "ms", "speed"),
        Column("z", ("5", "6"), "B", "bytes"),
    ]
    assert text_table(columns).splitlines() == [
        "         ╌ speed ╌   ╌ bytes ╌",
        "method      x    y           z",
        "           ms   ms           B",
        "──────   ────  ───   ─────────",
        "a           1    3           5",
        "bcd        22    4           6",
    ]
    narrow = text_table(columns, width=24)
    assert narrow.count("method") == 2
    assert max(map(len, narrow.splitlines())) <= 24


def test_methods_table_has_every_arm_and_its_origins(parts: dict[str, Run]) -> None:
    rows = parts["methods"].arms
    table = methods_table(rows)
    for name in METHOD_NAMES:
        assert sum(line.startswith(f"{name} ") for line in table.splitlines()) == 1
    for title in ("ROUGE-L", "ITL p95", "facts seen", "frame/token", "origins: quality measured"):
        assert title in table
    assert max(map(len, methods_table(rows, width=80).splitlines())) <= 80
    assert methods_table(rows, markdown=True).startswith("| method | text: ROUGE-L |")


def test_stage_table_sums_to_its_total(parts: dict[str, Run]) -> None:
    lines = stage_table(parts["full-vocabulary"].arms).splitlines()
    assert "dense fp16" in lines[0]
    body = [line.rsplit(None, 4) for line in lines[4:] if not line.startswith(("origins", " "))]
    figures = {row[0].strip(): [float(cell.replace(",", "")) for cell in row[1:]] for row in body}
    total = figures.pop("total")
    for i in (0, 2):
        assert sum(row[i] for row in figures.values()) == pytest.approx(total[i], abs=0.5)


def test_live_table_shows_the_ratio(parts: dict[str, Run]) -> None:
    table = live_table(parts["live"].arms, parts["virtual-prediction"].arms)
    line = next(line for line in table.splitlines() if line.startswith("ITL p50"))
    live, virtual, ratio = map(float, line.split()[-3:])
    assert live / virtual == pytest.approx(ratio, abs=0.01)
    assert "live origins: network declared; cloud compute measured" in table


def test_samples_fit_the_terminal(parts: dict[str, Run]) -> None:
    samples = pick_samples(parts["methods"].requests)
    assert [sample.prompt_id for sample in samples] == ["row-000", "row-001"]
    shown = samples_table(samples, width=72)
    assert max(map(len, shown.splitlines())) <= 72
    assert "without steering (llm_without)" in shown
    assert pick_samples(parts["live"].requests) == []


def test_labels_use_what_tells_arms_apart() -> None:
    rows = [
        {"arm": 0, "method": "costeer", "codec": "dense", "way": "virtual"},
        {"arm": 1, "method": "costeer", "codec": "top-64", "way": "virtual"},
    ]
    assert arm_labels(rows) == ["dense", "top-64"]
    rows.append({"arm": 2, "method": "llm_with", "codec": "", "way": "virtual"})
    assert arm_labels(rows) == ["costeer, dense", "costeer, top-64", "llm_with"]
    assert arm_labels([rows[0], rows[0] | {"arm": 5}]) == ["costeer #0", "costeer #5"]


def test_origins_that_differ_are_told_apart(parts: dict[str, Run]) -> None:
    both = whole_arms([*parts["live"].arms, *parts["virtual-prediction"].arms])
    assert "cloud compute measured (live), calibrated (virtual)" in origins_line(both)
    assert origins_line(both, ("bytes",)) == "origins: bytes measured"
    assert origins_line([{**row, "origins": {}} for row in both]) == ""


def test_requests_that_failed_are_told(parts: dict[str, Run]) -> None:
    rows = next(iter(parts.values())).summary["arms"]
    assert "failed" not in methods_table(rows)
    hurt = [{**row, "requests_failed": 2} for row in rows]
    told = " ".join(methods_table(hurt).split())
    assert f"{2 * len(whole_arms(rows))} requests failed" in told


def test_the_note_says_what_devices_did_without_their_cloud(parts: dict[str, Run]) -> None:
    rows = parts["methods"].arms
    assert alone_note(rows) == ""
    whole = whole_arms(rows)
    whole[0] = {**whole[0], "fallback_tokens": 1200, "fallback_requests": 30}
    assert alone_note(whole).startswith("In 30 requests devices chose 1,200 tokens alone")
    whole[1] = {**whole[1], "requests_stalled": 2}
    assert alone_note(whole).endswith("2 requests failed because the cloud did not answer.")
