"""Prompt rows: valid ones are read, others are named with file and line; who asks for what."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from costeer.errors import ConfigError
from experiments.datasets.row import PromptRow
from experiments.workload import assign_rows, load_rows

ROW = {"id": "a", "input": "ask", "personalized_input": "me: ask", "output": "text"}


def written(folder: Path, *lines: str) -> str:
    path = folder / "rows.jsonl"
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


def row(number: int) -> PromptRow:
    return PromptRow(id=str(number), input="i", personalized_input="p", output="o")


def test_rows_are_read_in_order_and_blank_lines_skipped(tmp_path: Path) -> None:
    facts = {**ROW, "id": "b", "profile_facts": ["Ada"], "thing_facts": ["oak"]}
    path = written(tmp_path, json.dumps(ROW), "", json.dumps(facts))
    first, second = load_rows(path)
    assert (first.id, first.profile_facts) == ("a", ())
    assert (second.id, second.profile_facts, second.thing_facts) == ("b", ("Ada",), ("oak",))


def test_a_limit_takes_the_first_rows_and_reads_no_further(tmp_path: Path) -> None:
    path = written(tmp_path, json.dumps(ROW), "not a row")
    assert [each.id for each in load_rows(path, 1)] == ["a"]


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("{", "not JSON"),
        ("[1]", "is no JSON object; give one with id, input, personalized_input, output"),
        (json.dumps({**ROW, "id": "b", "inptu": "x"}), "inptu: unknown key; did you mean 'input'?"),
        (json.dumps({"id": "b", "input": "x", "output": "y"}), "personalized_input: is missing"),
        (json.dumps({**ROW, "id": 3}), "id: must be text, not 3"),
        (json.dumps({**ROW, "id": "b", "input": ""}), "input: must not be empty"),
        (json.dumps({**ROW, "id": "b", "thing_facts": "oak"}), "thing_facts: must be a list"),
        (json.dumps(ROW), "id 'a' is already used in line 1"),
    ],
)
def test_a_row_that_is_not_valid_is_named(tmp_path: Path, line: str, expected: str) -> None:
    path = written(tmp_path, json.dumps(ROW), line)
    with pytest.raises(ConfigError) as caught:
        load_rows(path)
    message = str(caught.value)
    assert message.startswith(f"{path}:2: ")
    assert expected in message
    assert "\n" not in message


def test_files_without_rows_are_errors(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        load_rows(str(tmp_path / "none.jsonl"))
    with pytest.raises(ConfigError, match="holds no rows"):
        load_rows(written(tmp_path, ""))
    (tmp_path / "bytes.jsonl").write_bytes(b"\xff\n")
    with pytest.raises(ConfigError, match="not UTF-8"):
        load_rows(str(tmp_path / "bytes.jsonl"))


def test_held_out_rows_are_for_looking_not_for_the_last_judgement() -> None:
    held_out = load_rows("held-out", 3)
    assert held_out == load_rows("dev", 3)
    assert not {each.id for each in held_out} & {each.id for each in load_rows("test", 3)}
    assert all(each.profile_facts and each.thing_facts for each in held_out)


@given(st.integers(1, 20), st.integers(1, 12), st.integers(1, 4))
def test_every_row_is_used_before_one_is_used_again(rows: int, devices: int, requests: int) -> None:
    assigned = assign_rows([row(number) for number in range(rows)], devices, requests)
    used = Counter(each.id for device in assigned for each in device)
    counts = [used[str(number)] for number in range(rows)]
    assert sum(counts) == devices * requests
    assert max(counts) - min(counts) <= 1
