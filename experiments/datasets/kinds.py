"""The kinds of files that are read, each told by the fields of its first record.

| kind | fields | what becomes of it |
|---|---|---|
| rows of this project | `personalized_input` | taken as they are |
| LongLaMP as the paper's authors release it | `top_5` | five earlier texts before the query |
| originals of LongLaMP and CoGenesis | `profile` | the best of them by BM25 before the query |
| CoGenesis's paired files | `conversations` | `X.json` with its context, `X_wo.json` without |
| TruthfulQA | `Question` | a question, a preference, the best answer as reference |
| lists of prompts | `input`, `question`, `prompt` or `data` | a question and a preference |

The wording around a history and of a preference is that of the paper's released prompts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from costeer.errors import ConfigError
from experiments.datasets.files import Record, read_records
from experiments.datasets.history import Rank, retrieve
from experiments.datasets.row import PromptRow

QUESTION_KEYS = ("input", "question", "prompt", "Question", "data")
_ID_KEYS = ("id", "tid", "index")
_REFERENCES = ("output", "Best Answer")


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reader is to do beyond reading.

    Args:
        preference: "as … as possible" behind questions that come without a context.
        history: earlier texts before a query.
        rerank: orders them again after BM25.
    """

    preference: str | None = None
    history: int = 5
    rerank: Rank | None = None


@dataclass(frozen=True, slots=True)
class _History:
    """How one task words its history: a heading, and the two fields of a record."""

    heading: str
    title: tuple[str, str]
    text: tuple[str, str]


_HISTORIES = (
    _History(
        "The following are five titles with their abstracts.",
        ("Title", "title"),
        ("Abstract", "abstract"),
    ),
    _History(
        "The following are product descriptions with their user reviews.",
        ("Product", "description"),
        ("Review", "reviewText"),
    ),
    _History(
        "The following are reddit post summaries with their content.",
        ("Summary", "summary"),
        ("Content", "content"),
    ),
    # CoGenesis's context-aware files.
    _History("## User Writing History", ("Task", "title"), ("Content", "text")),
)


def is_own(record: Record) -> bool:
    """Whether a record is a row of this project, or close enough to be checked as one."""
    return _kind_of(record.data) is None


def to_rows(path: Path, records: Sequence[Record], reading: Reading) -> tuple[PromptRow, ...]:
    """Make rows of another project's records.

    Args:
        path: their file, for what lies beside it.
        records: of one kind.
        reading: what is to be done.

    Raises:
        ConfigError: a record lacks a field, or the reading something that the kind needs; an id
            comes twice.
    """
    kind = _kind_of(records[0].data)
    if kind is None:
        raise ConfigError(f"{records[0].where}: is of no kind that is known here; {_known()}")
    rows = kind(path, records, reading)
    seen: dict[str, str] = {}
    for record, row in zip(records, rows, strict=True):
        if row.id in seen:
            raise ConfigError(
                f"{record.where}: id {row.id!r} is already used at {seen[row.id]}; give each one"
            )
        seen[row.id] = record.where
    return tuple(rows)


_Kind = Callable[[Path, Sequence[Record], Reading], list[PromptRow]]


def _kind_of(data: Mapping[str, Any]) -> _Kind | None:
    if "top_5" in data or "profile" in data:
        return _with_history
    if "conversations" in data:
        return _paired
    if "output_without_context" in data:
        return _plain
    if "personalized_input" in data or "output" in data:
        return None
    return _questions if any(key in data for key in QUESTION_KEYS) else None


def _known() -> str:
    return (
        "give objects with input and personalized_input, with top_5 or profile, with conversations,"
        f" or with one of {', '.join(QUESTION_KEYS)}"
    )


def _with_history(_: Path, records: Sequence[Record], reading: Reading) -> list[PromptRow]:
    rows = []
    for number, record in enumerate(records):
        query = _query(record)
        items = record.data.get("top_5", record.data.get("profile"))
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise ConfigError(f"{record.where}: its history is no list of objects")
        style = _style(record, items)
        if "top_5" in record.data:
            kept = items[: reading.history]
        else:
            documents = [f"{item[style.title[1]]} {item[style.text[1]]}" for item in items]
            best = retrieve(query, documents, reading.history, reading.rerank)
            kept = [items[index] for index in best]
        rows.append(
            PromptRow(
                id=_id(record, number),
                input=query,
                personalized_input=_history_prompt(record, style, kept, query),
                output=_reference(record),
            )
        )
    return rows


def _style(record: Record, items: Sequence[Mapping[str, Any]]) -> _History:
    for style in _HISTORIES:
        if items and all(style.title[1] in item and style.text[1] in item for item in items):
            return style
    keys = sorted(items[0]) if items else []
    pairs = "; ".join(f"{style.title[1]} and {style.text[1]}" for style in _HISTORIES)
    raise ConfigError(
        f"{record.where}: records of its history have {', '.join(keys) or 'nothing'}; they need"
        f" one of {pairs}"
    )


def _history_prompt(
    record: Record, style: _History, items: Sequence[Mapping[str, Any]], query: str
) -> str:
    profile = record.data.get("additional_profile")
    parts = [f"## User Profile\n{profile}\n"] if isinstance(profile, str) else []
    parts.append(style.heading)
    parts += [
        f"{style.title[0]}[{number}]: {item[style.title[1]]}\n"
        f"{style.text[0]}[{number}]: {item[style.text[1]]}\n"
        for number, item in enumerate(items, start=1)
    ]
    return "\n".join([*parts, "Now it's your turn\n", query])


def _paired(path: Path, records: Sequence[Record], _: Reading) -> list[PromptRow]:
    """CoGenesis's released pair of files; the one given may be either."""
    stem = path.stem.removesuffix("_wo")
    with_path, without_path = (path.with_name(f"{stem}{end}{path.suffix}") for end in ("", "_wo"))
    for each in (with_path, without_path):
        if not each.exists():
            raise ConfigError(
                f"prompts {path}: CoGenesis's contexts lie in pairs of files, there is no {each};"
                " put both into one folder"
            )
    texts = {
        _id(record, number): _turns(record)
        for number, record in enumerate(read_records(without_path))
    }
    contexts = {
        _id(record, number): _turns(record) for number, record in enumerate(read_records(with_path))
    }
    rows = []
    for number, record in enumerate(records):
        name = _id(record, number)
        if name not in texts or name not in contexts:
            missing = without_path if name not in texts else with_path
            raise ConfigError(f"{record.where}: {missing} has no {name!r}; give one split")
        rows.append(
            PromptRow(
                id=name,
                input=texts[name][0],
                personalized_input=contexts[name][0],
                output=contexts[name][1],
            )
        )
    return rows


def _turns(record: Record) -> tuple[str, str]:
    said = {
        turn.get("from"): turn.get("value")
        for turn in record.data.get("conversations", ())
        if isinstance(turn, dict)
    }
    user, assistant = said.get("user"), said.get("assistant")
    if not isinstance(user, str) or not isinstance(assistant, str):
        raise ConfigError(f"{record.where}: conversations need a turn of user and one of assistant")
    return user, assistant


def _plain(_: Path, records: Sequence[Record], __: Reading) -> list[PromptRow]:
    rows = []
    for number, record in enumerate(records):
        personal = record.data.get("personalized_input")
        if not isinstance(personal, str) or not personal:
            raise ConfigError(f"{record.where}: personalized_input is missing; give it")
        rows.append(
            PromptRow(
                id=_id(record, number),
                input=_query(record),
                personalized_input=personal,
                output=_reference(record),
            )
        )
    return rows


def _questions(path: Path, records: Sequence[Record], reading: Reading) -> list[PromptRow]:
    if reading.preference is None:
        raise ConfigError(
            f"prompts {path}: holds questions without a private context; say which preference"
            " stands in for it, such as workload.preference=concise"
        )
    rows = []
    for number, record in enumerate(records):
        query = _query(record)
        suffix = f"\nYour answer should be as {reading.preference} as possible"
        rows.append(
            PromptRow(
                id=_id(record, number),
                input=query,
                personalized_input=query + suffix,
                output=_reference(record),
            )
        )
    return rows


def _query(record: Record) -> str:
    for key in QUESTION_KEYS:
        value = record.data.get(key)
        if isinstance(value, str) and value.strip():
            return value
    turns = record.data.get("conversations")
    if isinstance(turns, list):
        return _turns(record)[0]
    raise ConfigError(f"{record.where}: has no text in any of {', '.join(QUESTION_KEYS)}")


def _reference(record: Record) -> str:
    for key in _REFERENCES:
        value = record.data.get(key)
        if isinstance(value, str):
            return value
    return _turns(record)[1] if "conversations" in record.data else ""


def _id(record: Record, number: int) -> str:
    for key in _ID_KEYS:
        if key in record.data:
            return str(record.data[key])
    return str(number)
