"""Records of a file, whatever its notation: JSON lines, a JSON list, or CSV with a heading."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from costeer.errors import ConfigError

_MAX_CELL = 10**8
"""Characters of one CSV cell; the library's own limit is shorter than some dialogues."""


@dataclass(frozen=True, slots=True)
class Record:
    """One record.

    Args:
        where: file and line (or number, in a JSON list), for messages.
        data: its fields.
    """

    where: str
    data: dict[str, Any]


def read_records(path: Path, limit: int | None = None) -> list[Record]:
    """Read a file's records, from the first.

    Args:
        path: a `.jsonl`, `.json` or `.csv` file.
        limit: as many as that; all if None.

    Raises:
        ConfigError: it cannot be read, or is not what its name says.
    """
    text = read_text(path)
    if path.suffix.lower() == ".csv":
        found = _csv(path, text)
    elif text.lstrip().startswith("["):
        found = _json_list(path, text)
    else:
        found = _json_lines(path, text)
    return list(islice(found, limit))


def read_text(path: Path) -> str:
    """Return the text of a file, without a byte-order mark.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8.
    """
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"prompts {path}: {reason}; give a file that exists") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"prompts {path}: not UTF-8 text at byte {error.start}") from error


def _json_lines(path: Path, text: str) -> Iterator[Record]:
    for number, line in enumerate(text.splitlines(), start=1):
        if line.strip():
            yield _record(f"{path}:{number}", _parsed(f"{path}:{number}", line))


def _json_list(path: Path, text: str) -> Iterator[Record]:
    items = _parsed(str(path), text)
    return (_record(f"{path}: item {number}", item) for number, item in enumerate(items, start=1))


def _csv(path: Path, text: str) -> Iterable[Record]:
    csv.field_size_limit(_MAX_CELL)
    rows = csv.DictReader(io.StringIO(text))
    return (_record(f"{path}: row {number}", dict(row)) for number, row in enumerate(rows, start=1))


def _parsed(where: str, text: str) -> Any:  # noqa: ANN401 - JSON
    try:
        return json.loads(text)
    except ValueError as error:
        raise ConfigError(f"{where}: not JSON ({error}); give one object per line") from None


def _record(where: str, data: object) -> Record:
    if not isinstance(data, dict):
        raise ConfigError(f"{where}: is no JSON object; give one with id, input, …")
    return Record(where, data)
