"""Prompt rows: where they come from, and which device asks for which.

A row is what users hand in as JSONL and what the shipped corpus makes: the public query, the same
with the private context in front, and a reference text with the facts that it should contain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from costeer.errors import ConfigError
from experiments.problems import describe
from experiments.splits import SPLITS


class PromptRow(BaseModel):
    """One row of prompts."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    id: str = Field(min_length=1)
    """Unique in its file."""
    input: str = Field(min_length=1)
    """The public query, without the private context."""
    personalized_input: str = Field(min_length=1)
    """The complete prompt, private context included."""
    output: str
    """Reference text."""
    profile_facts: tuple[str, ...] = ()
    """Words of the private context that a personal text uses."""
    thing_facts: tuple[str, ...] = ()
    """Facts that everybody may know and a good text uses."""


def load_rows(prompts: str, limit: int | None = None) -> tuple[PromptRow, ...]:
    """The rows that a scenario's `workload.prompts` names: a held-out split, or a JSONL file.

    Args:
        prompts: `held-out`, `dev`, `test`, `test-templates`, or a path.
        limit: rows to take, from the first; all if None.

    Raises:
        ConfigError: there is no such file, a row in it is not valid (file and line), an id is
            there twice, or there are no rows.
    """
    split = SPLITS.get(prompts)
    if split is None:
        return _read_jsonl(Path(prompts), limit)
    from experiments.pair.corpus import rows  # noqa: PLC0415 - builds its tables at import

    return tuple(
        PromptRow(
            id=row.id,
            input=row.input,
            personalized_input=row.personalized_input,
            output=row.output,
            profile_facts=row.profile_facts,
            thing_facts=row.thing_facts,
        )
        for row in rows(split, limit)
    )


def assign_rows(
    rows: Sequence[PromptRow], devices: int, requests_per_device: int
) -> tuple[tuple[PromptRow, ...], ...]:
    """Rows of each device, in the order in which its user asks.

    Request r of device d gets row (r · devices + d) modulo the number of rows: first requests
    use the first rows, every row is used before one is used again, and no arm, seed or number of
    shards changes it.
    """
    return tuple(
        tuple(
            rows[(request * devices + device) % len(rows)] for request in range(requests_per_device)
        )
        for device in range(devices)
    )


def _read_jsonl(path: Path, limit: int | None) -> tuple[PromptRow, ...]:
    try:
        with path.open(encoding="utf-8") as file:
            rows = tuple(_parse_rows(path, file, limit))
    except OSError as error:
        names = ", ".join(SPLITS)
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(
            f"prompts {path}: {reason}; give a JSONL file or one of {names}"
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompts {path}: not UTF-8 text at byte {error.start}") from error
    if not rows:
        raise ConfigError(f"prompts {path}: holds no rows; give one JSON object per line")
    return rows


def _parse_rows(path: Path, lines: Iterable[str], limit: int | None) -> Iterable[PromptRow]:
    first_line: dict[str, int] = {}
    for number, line in enumerate(lines, start=1):
        if limit is not None and len(first_line) == limit:
            return
        if not line.strip():
            continue
        where = f"{path}:{number}"
        row = _parse_row(where, line)
        if row.id in first_line:
            raise ConfigError(
                f"{where}: id {row.id!r} is already used in line {first_line[row.id]}; "
                "give each row its own"
            )
        first_line[row.id] = number
        yield row


def _parse_row(where: str, line: str) -> PromptRow:
    try:
        data: Any = json.loads(line)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON ({error}); give one object per line") from None
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: is no JSON object; give one with {', '.join(_needed())}")
    try:
        return PromptRow.model_validate_json(line)
    except ValidationError as error:
        raise ConfigError(describe(error, PromptRow, data, where)) from None


def _needed() -> list[str]:
    return [name for name, field in PromptRow.model_fields.items() if field.is_required()]
