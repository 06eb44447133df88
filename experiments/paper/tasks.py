"""The paper's tasks: which file of its eight each reads, and what it is scored by."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from costeer.errors import ConfigError

PREFERENCES = ("creative", "verbose", "concise", "uplifting")

_WORDS = ("rouge_1", "rouge_l", "meteor")
_RATINGS = ("judge_overall", "judge_personal")
_REWARD = ("reward",)


@dataclass(frozen=True, slots=True)
class Task:
    """One run of a table.

    Args:
        name: as the published figures call it.
        title: over its table.
        prompts: for `workload.prompts`.
        metrics: columns of the scores.
        preference: for `workload.preference`.
        compared: metrics published under other names: (task, metric) by column.
    """

    name: str
    title: str
    prompts: str
    metrics: tuple[str, ...]
    preference: str | None = None
    compared: tuple[tuple[str, str], ...] = ()

    @property
    def published_as(self) -> tuple[tuple[str, str], ...]:
        """(task, metric) of the published figure beside each metric."""
        return self.compared or tuple((self.name, metric) for metric in self.metrics)


_TEXTS = (
    ("cogenesis", "CoGenesis", "cogenesis.jsonl", _RATINGS),
    ("abstract", "LongLaMP, abstracts", "longlamp_abstract.jsonl", _WORDS),
    ("review", "LongLaMP, reviews", "longlamp_review.jsonl", _WORDS),
    ("topic", "LongLaMP, topic writing", "longlamp_writing.jsonl", _WORDS),
)
_QUESTIONS = (
    ("helpsteer", "HelpSteer", "helpsteer.jsonl"),
    ("personal_eval", "Personal Preference Eval", "personal_preference_eval.jsonl"),
    ("truthfulqa", "TruthfulQA", "truthfulqa.jsonl"),
    ("ultrachat", "UltraChat", "ultrachat.jsonl"),
)


def shipped_task() -> Task:
    """Return the shipped corpus as a task; the paper's abstracts stand beside it."""
    return Task(
        "shipped",
        "the shipped corpus (held-out rows; published: LongLaMP, abstracts)",
        "held-out",
        (*_WORDS, "profile_recall", "fact_recall"),
        compared=tuple(("abstract", metric) for metric in _WORDS),
    )


def text_tasks(folder: Path, only: tuple[str, ...] = ()) -> list[Task]:
    """Return the tasks with private contexts whose files lie in a folder."""
    return [
        Task(name, title, str(folder / file), metrics)
        for name, title, file, metrics in _TEXTS
        if (folder / file).is_file() and (not only or name in only)
    ]


def preference_tasks(folder: Path) -> list[Task]:
    """Return one task per question file in a folder and preference."""
    return [
        Task(
            name,
            f"{title}, {preference}",
            str(folder / file),
            _REWARD,
            preference,
            ((name, preference),),
        )
        for name, title, file in _QUESTIONS
        if (folder / file).is_file()
        for preference in PREFERENCES
    ]


def check_found(tasks: list[Task], folder: Path, table: str) -> None:
    """Refuse a folder in which a table finds nothing.

    Raises:
        ConfigError: no file of the table's tasks is there.
    """
    if not tasks:
        wanted = [file for *_, file, _ in _TEXTS] if table != "table5" else []
        wanted += [file for *_, file in _QUESTIONS] if table in {"table1", "table5"} else []
        raise ConfigError(
            f"--data {folder}: has none of {', '.join(wanted)}; fetch the paper's files from its"
            " authors' repository (USTC-StarTeam/CoSteer, datasets/), or leave --data out for the"
            " shipped corpus"
        )
