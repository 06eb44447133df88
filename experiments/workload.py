"""Prompt rows: where they come from, and which device asks for which.

A row is what users hand in as JSONL and what the shipped corpus makes: the public query, the same
with the private context in front, and a reference text with the facts that it should contain.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from costeer.errors import ConfigError
from experiments.datasets.files import Record, read_records, read_text
from experiments.datasets.kinds import Reading, is_own, to_rows
from experiments.datasets.noise import with_noise
from experiments.datasets.row import PromptRow
from experiments.problems import describe
from experiments.splits import SPLITS, Split

_AS_IT_IS = Reading()
_OTHER_NOTATIONS = {".csv", ".json"}


def load_rows(
    prompts: str,
    limit: int | None = None,
    reading: Reading = _AS_IT_IS,
    *,
    noise: float = 0.0,
    seed: int = 0,
) -> tuple[PromptRow, ...]:
    """The rows that a scenario's `workload.prompts` names: a held-out split, or a file.

    Args:
        prompts: `held-out`, `dev`, `test`, `test-templates`, or a path.
        limit: rows to take, from the first; all if None.
        reading: what is done with files of other projects (`experiments.datasets.kinds`).
        noise: irrelevant units per unit of a private context.
        seed: of the noise.

    Raises:
        ConfigError: there is no such file, a row in it is not valid (file and line), an id is
            there twice, or there are no rows.
    """
    split = SPLITS.get(prompts)
    rows = _of_file(Path(prompts), limit, reading) if split is None else _of_corpus(split, limit)
    return with_noise(rows, noise, seed)


def _of_corpus(split: Split, limit: int | None) -> tuple[PromptRow, ...]:
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


def count_rows(prompts: str) -> int:
    """Return how many rows there are where `prompts` says.

    Raises:
        ConfigError: there is no such file, or none of its notation.
    """
    split = SPLITS.get(prompts)
    return len(read_records(Path(prompts)) if split is None else _of_corpus(split, None))


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


def _of_file(path: Path, limit: int | None, reading: Reading) -> tuple[PromptRow, ...]:
    if not path.is_file():
        names = ", ".join(SPLITS)
        raise ConfigError(f"prompts {path}: no such file; give a JSONL file or one of {names}")
    text = read_text(path)
    if not text.strip():
        raise ConfigError(f"prompts {path}: holds no rows; give one JSON object per line")
    if path.suffix.lower() not in _OTHER_NOTATIONS and _is_own(text):
        rows = tuple(_parse_rows(path, text.splitlines(), limit))
    else:
        records = read_records(path, limit)
        rows = to_rows(path, records, reading) if records else ()
    if not rows:
        raise ConfigError(f"prompts {path}: holds no rows; give one JSON object per line")
    return rows


def _is_own(text: str) -> bool:
    """Whether the first line says that this is a file of rows, even of faulty ones."""
    line = next(line for line in text.splitlines() if line.strip())
    try:
        data = json.loads(line)
    except ValueError:
        return not line.lstrip().startswith("[")
    return not isinstance(data, dict) or is_own(Record("", data))


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
