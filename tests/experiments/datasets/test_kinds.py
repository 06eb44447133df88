"""Files of other projects become rows: what each holds, and what is said of faulty ones."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest

from costeer.errors import ConfigError
from experiments.datasets.kinds import Reading
from experiments.datasets.row import PromptRow
from experiments.workload import load_rows

SAMPLES = Path(__file__).parents[4] / "shared" / "data" / "datasets"
needs_samples = pytest.mark.skipif(not SAMPLES.is_dir(), reason="the sample datasets lie elsewhere")

HISTORIES: dict[str, tuple[str, dict[str, str], str]] = {
    "abstract": (
        "The following are five titles with their abstracts.",
        {"title": "T", "abstract": "A"},
        "Title[1]: T\nAbstract[1]: A",
    ),
    "review": (
        "The following are product descriptions with their user reviews.",
        {"description": "D", "reviewText": "R", "overall": "5.0"},
        "Product[1]: D\nReview[1]: R",
    ),
    "writing": (
        "The following are reddit post summaries with their content.",
        {"summary": "S", "content": "C"},
        "Summary[1]: S\nContent[1]: C",
    ),
}
CONCISE = Reading(preference="concise")


def written(path: Path, *records: dict[str, Any]) -> str:
    lines = [json.dumps(record) for record in records]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return str(path)


@pytest.mark.parametrize("task", sorted(HISTORIES))
def test_longlamp_as_the_authors_release_it(task: str, tmp_path: Path) -> None:
    heading, record, shown = HISTORIES[task]
    path = written(
        tmp_path / f"{task}.jsonl",
        {"id": 3, "input": "Write it.", "top_5": [record] * 7, "output": "It.", "name": "someone"},
    )
    (row,) = load_rows(path)
    assert (row.id, row.input, row.output) == ("3", "Write it.", "It.")
    assert row.personalized_input.startswith(f"{heading}\n{shown}\n")
    assert row.personalized_input.endswith("\nNow it's your turn\n\nWrite it.")
    assert row.personalized_input.count("[5]") == 2
    assert "[6]" not in row.personalized_input


def test_cogenesis_as_the_authors_release_it(tmp_path: Path) -> None:
    record = {"id": "15_1", "input": "Ask", "personalized_input": "I am Ada. Ask", "output": "Yes"}
    path = written(tmp_path / "rows.jsonl", record | {"output_without_context": "Maybe"})
    assert load_rows(path) == (PromptRow.model_validate(record),)


def test_questions_need_a_preference_and_get_its_suffix(tmp_path: Path) -> None:
    path = written(tmp_path / "helpsteer.jsonl", {"id": 4, "input": "Explain gravity."})
    (row,) = load_rows(path, reading=CONCISE)
    assert (row.id, row.input, row.output) == ("4", "Explain gravity.", "")
    assert row.personalized_input == (
        "Explain gravity.\nYour answer should be as concise as possible"
    )
    with pytest.raises(ConfigError, match=r"without a private context; .*preference=concise"):
        load_rows(path)


def test_originals_with_a_history_get_its_best_records(tmp_path: Path) -> None:
    subjects = ["rivers", "owls at night", "bread", "owls", "trains", "glass"]
    profile = [
        {"id": str(number), "title": f"On {subject}", "abstract": f"About {subject}."}
        for number, subject in enumerate(subjects)
    ]
    record = {"name": "x", "input": "Write an abstract on owls", "output": "o", "profile": profile}
    path = written(tmp_path / "longlamp.jsonl", record)
    (row,) = load_rows(path, reading=Reading(history=2))
    assert row.id == "0"
    assert "Title[1]: On owls\n" in row.personalized_input
    assert "Title[2]: On owls at night\n" in row.personalized_input
    assert "[3]" not in row.personalized_input


def test_cogenesis_originals_have_a_profile_too(tmp_path: Path) -> None:
    talk = [{"from": "user", "value": "Invite them."}, {"from": "assistant", "value": "Come!"}]
    record = {
        "tid": "15_10_6",
        "conversations": talk,
        "profile": [{"title": "Old task", "text": "Old text", "id": "0"}],
        "additional_profile": "Name: Ada\nCity: Turin",
    }
    path = tmp_path / "test.json"
    path.write_text(json.dumps([record]))
    (row,) = load_rows(str(path))
    assert (row.id, row.input, row.output) == ("15_10_6", "Invite them.", "Come!")
    assert row.personalized_input.startswith("## User Profile\nName: Ada\nCity: Turin\n")
    assert "Task[1]: Old task\nContent[1]: Old text" in row.personalized_input
    assert row.personalized_input.endswith("Invite them.")


def test_cogenesis_pairs_are_joined_whichever_is_named(tmp_path: Path) -> None:
    def said(user: str) -> list[dict[str, str]]:
        return [{"from": "user", "value": user}, {"from": "assistant", "value": "Text"}]

    plain, personal = tmp_path / "ctx_test_wo.json", tmp_path / "ctx_test.json"
    plain.write_text(json.dumps([{"tid": "1", "conversations": said("Ask")}]))
    with pytest.raises(ConfigError, match=r"there is no .*ctx_test\.json"):
        load_rows(str(plain))
    personal.write_text(json.dumps([{"tid": "1", "conversations": said("I am Ada. Ask")}]))
    for path in (plain, personal):
        (row,) = load_rows(str(path))
        assert (row.input, row.personalized_input, row.output) == ("Ask", "I am Ada. Ask", "Text")


def test_truthfulqa_is_read_from_its_csv(tmp_path: Path) -> None:
    path = tmp_path / "TruthfulQA.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["Type", "Category", "Question", "Best Answer", "Correct Answers"])
        rows.writerow(["Adversarial", "Law", 'Is "a, b"\nlegal?', "Yes, it is", "Yes"])
    (row,) = load_rows(str(path), reading=CONCISE)
    assert row.input == 'Is "a, b"\nlegal?'
    assert row.output == "Yes, it is"


@pytest.mark.parametrize(
    ("record", "message"),
    [
        ({"id": 1, "input": "q", "top_5": "none"}, "its history is no list of objects"),
        ({"id": 1, "input": "q", "top_5": []}, "records of its history have nothing"),
        ({"id": 1, "input": "q", "top_5": [{"a": "b"}]}, "have a; they need one of title and"),
        ({"id": 1, "input": " ", "top_5": [{"title": "t", "abstract": "a"}]}, "has no text in"),
        (
            {"tid": 1, "conversations": [], "profile": [{"title": "t", "text": "a"}]},
            "a turn of user",
        ),
        ({"id": 1, "output_without_context": "x", "input": "q"}, "personalized_input is missing"),
    ],
)
def test_faulty_records_are_named(record: dict[str, Any], message: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", record)
    with pytest.raises(ConfigError, match=message) as caught:
        load_rows(path, reading=CONCISE)
    assert str(caught.value).startswith(f"{path}:1: ")


def test_ids_that_come_twice_are_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "rows.jsonl", {"id": 1, "input": "a"}, {"id": 1, "input": "b"})
    with pytest.raises(ConfigError, match="id '1' is already used"):
        load_rows(path, reading=CONCISE)


def test_a_file_of_no_known_kind_says_what_is_known(tmp_path: Path) -> None:
    path = tmp_path / "other.json"
    path.write_text('[{"foo": 1}]')
    with pytest.raises(ConfigError, match=r"of no kind that is known here; give objects with"):
        load_rows(str(path))


@needs_samples
@pytest.mark.parametrize(
    ("name", "count", "referenced"),
    [
        ("amulet_prompts/HelpSteer_train.json", 1236, False),
        ("amulet_prompts/UltraFeedback_truthful_qa.json", 811, False),
        ("amulet_prompts/UltraFeedback_ultrachat.json", 3845, False),
        ("amulet_prompts/personal_preference_eval_preference_data.json", 548, False),
        ("truthfulqa/TruthfulQA.csv", 817, True),
        ("ultrachat/ultra_eval.json", 385, False),
    ],
)
def test_the_samples_are_read_whole(name: str, count: int, referenced: bool) -> None:
    rows = load_rows(str(SAMPLES / name), reading=CONCISE)
    assert len(rows) == count
    assert all(bool(row.output) is referenced for row in rows)
    assert len(load_rows(str(SAMPLES / name), 7, CONCISE)) == 7
