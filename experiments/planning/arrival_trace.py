"""Requests of a served model, as public traces tell of them: when each came, and how long it was.

Formats
-------
* ``azure``: the Azure LLM inference traces (github.com/Azure/AzurePublicDataset; Patel et al. 2024,
  Stojkovic et al. 2025): CSV with the columns TIMESTAMP (date and time, down to 100 ns),
  ContextTokens and GeneratedTokens.
* ``mooncake``: the Mooncake traces (github.com/kvcache-ai/Mooncake; Qin et al. 2025): JSON lines
  with timestamp (ms), input_length, output_length and hash_ids. Which prefixes requests share is
  not used: every session here has a cache of its own.

Neither says who asked, nor what: requests are dealt out to the devices in turn.

Legend: N requests, in the order in which they came.
"""

from __future__ import annotations

import csv
import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from actors.fleet.cell import Int64s
from costeer.errors import ConfigError
from experiments.scenario import Scenario, TraceArrivals
from netsim.random import Integers

_AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
_MOONCAKE = ("timestamp", "input_length", "output_length")
_TICK_DIGITS = 9
_MOST_TOKENS = 1_000_000
_LONGEST_NS = 10 * 365 * 86_400 * 10**9

Row = tuple[int, int, int]
"""When it came, ns on the trace's own clock; tokens of the prompt and of the answer."""


@dataclass(frozen=True, slots=True)
class ArrivalTrace:
    """What a trace says of its requests.

    Args:
        at_ns_N: when each came, from the first one.
        prompt_N: tokens of its prompt.
        answer_N: tokens of its answer.
    """

    at_ns_N: Int64s
    prompt_N: Int64s
    answer_N: Int64s

    @property
    def requests(self) -> int:
        """N."""
        return len(self.at_ns_N)


def dealt_request(devices: int, device_S: Integers, request_S: Integers) -> Int64s:
    """Return which request of a trace is a device's n-th, where they are dealt out in turn.

    Args:
        devices: of the whole fleet.
        device_S: numbers of devices.
        request_S: n, from 0.
    """
    return np.asarray(request_S, np.int64) * devices + np.asarray(device_S, np.int64)


def lengths_from_trace(scenario: Scenario) -> ArrivalTrace | None:
    """Return the trace that says how long a scenario's requests are; None where none does.

    Raises:
        ConfigError: the file cannot be read, or a row in it is no request (file and line).
    """
    arrivals = scenario.fleet.arrivals
    if not isinstance(arrivals, TraceArrivals) or not arrivals.lengths:
        return None
    return read_trace(arrivals)


def read_trace(arrivals: TraceArrivals) -> ArrivalTrace:
    """Read a trace: requests in order of time, from 0, as fast as the scenario says.

    Raises:
        ConfigError: the file cannot be read, or a row in it is no request (file and line).
    """
    path = Path(arrivals.path)
    read: Callable[[str, Iterable[str]], Iterator[Row]] = (
        _azure_rows if arrivals.format == "azure" else _mooncake_rows
    )
    rows: list[Row] = []
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for row in read(str(path), file):
                rows.append(row)
                if len(rows) == arrivals.limit:
                    break
    except OSError as error:
        reason = (error.strerror or "cannot be read").lower()
        raise ConfigError(f"fleet.arrivals.path: {path}: {reason}; give a trace's file") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: not UTF-8 text at byte {error.start}") from error
    if not rows:
        raise ConfigError(f"{path}: holds no requests; give a trace that has some")
    at_N, prompt_N, answer_N = np.array(sorted(rows, key=lambda row: row[0]), np.int64).T
    at_ns_N = np.rint((at_N - at_N[0]) / arrivals.speed).astype(np.int64)
    if at_ns_N[-1] > _LONGEST_NS:
        raise ConfigError(f"{path}: spans more than ten years; look at its times, or raise speed")
    return ArrivalTrace(at_ns_N, prompt_N, answer_N)


def _azure_rows(where: str, lines: Iterable[str]) -> Iterator[Row]:
    reader = csv.reader(lines)
    head = [name.strip() for name in next(reader, [])]
    missing = [name for name in _AZURE if name not in head]
    if missing:
        raise ConfigError(
            f"{where}:1: no column {missing[0]}; an Azure trace begins with {','.join(_AZURE)}"
        )
    columns = [head.index(name) for name in _AZURE]
    try:
        for cells in reader:
            if not any(cell.strip() for cell in cells):
                continue
            line = f"{where}:{reader.line_num}"
            if len(cells) <= max(columns):
                raise ConfigError(f"{line}: {len(cells)} values for {len(head)} columns")
            when, prompt, answer = (cells[column].strip() for column in columns)
            lengths = _tokens(line, _AZURE[1], prompt), _tokens(line, _AZURE[2], answer)
            yield _instant_ns(line, when), *lengths
    except csv.Error as error:
        raise ConfigError(f"{where}:{reader.line_num}: not CSV ({error})") from error


def _mooncake_rows(where: str, lines: Iterable[str]) -> Iterator[Row]:
    for number, text in enumerate(lines, start=1):
        if not text.strip():
            continue
        line = f"{where}:{number}"
        try:
            row: Any = json.loads(text)
        except ValueError as error:
            raise ConfigError(f"{line}: not JSON ({error})") from None
        if not isinstance(row, dict):
            raise ConfigError(f"{line}: is no JSON object; give {', '.join(_MOONCAKE)}")
        for name in _MOONCAKE:
            if name not in row:
                raise ConfigError(f"{line}: has no {name}")
        at_ms = row["timestamp"]
        if isinstance(at_ms, bool) or not isinstance(at_ms, int | float) or not at_ms >= 0:
            raise ConfigError(f"{line}: timestamp: {at_ms!r} is no time in milliseconds")
        if at_ms * 1e6 > _LONGEST_NS:
            raise ConfigError(f"{line}: timestamp: {at_ms!r} ms is more than ten years")
        prompt, answer = (_tokens(line, name, row[name]) for name in _MOONCAKE[1:])
        yield round(at_ms * 1_000_000), prompt, answer


def _tokens(line: str, name: str, given: object) -> int:
    """Return a number of tokens, written as text or as a JSON number."""
    if isinstance(given, str) and given.isascii() and given.isdecimal():
        given = int(given)
    if isinstance(given, bool) or not isinstance(given, int):
        raise ConfigError(f"{line}: {name}: {given!r} is no number of tokens")
    if not 1 <= given <= _MOST_TOKENS:
        raise ConfigError(f"{line}: {name}: {given} tokens; from 1 to {_MOST_TOKENS:,} are served")
    return given


def _instant_ns(line: str, when: str) -> int:
    """Return an instant in ns; its fraction may be finer than ``datetime`` keeps."""
    stamp, _, rest = when.partition(".")
    digits = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    try:
        instant = datetime.fromisoformat(stamp + rest[len(digits) :])
    except ValueError:
        raise ConfigError(
            f"{line}: TIMESTAMP: {when!r} is no date and time; write 2023-11-16 18:17:03.9799600"
        ) from None
    if instant.tzinfo is None:
        instant = instant.replace(tzinfo=UTC)
    fraction_ns = int(digits[:_TICK_DIGITS].ljust(_TICK_DIGITS, "0"))
    return int(instant.timestamp()) * 10**9 + fraction_ns
