"""The two tables of a run directory, ``tokens`` and ``requests``, column by column."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import fields
from typing import Any

import pyarrow as pa

from actors.records import UNANSWERED, ByteMeter, RequestRow, TokenRow
from costeer.errors import LocalProtocolError
from costeer.token_record import STAGES

SCHEMA_VERSION = 5
"""Version of the run directory: names and meanings of its files and columns."""

READABLE_VERSIONS = (1, 2, 3, 4, SCHEMA_VERSION)
"""Versions that this program reads; 1 has no ``round_payload_bytes``, 1 and 2 have no drafts, 1 to
3 have no ``replica`` and no ``fallback``, 1 to 4 no ``refuted_tokens``."""

LATER_COLUMNS = {
    "drafted": False,
    "refuted_drafts": 0,
    "unsent_drafts": 0,
    "replica": 0,
    "fallback": False,
    "repeats": 0,
    "refuted_tokens": None,
}
"""Columns that runs of some earlier version do not have, and what would stand there."""

STAGE_COLUMNS = tuple(f"stage_{stage}_ns" for stage in STAGES)
"""Columns of ``tokens`` whose sum is ``latency_ns``."""

METER_COLUMNS = tuple(item.name for item in fields(ByteMeter))
"""Columns of both tables that hold bytes and packets."""

TOKEN_COLUMNS = (
    "arm",
    "device",
    "request",
    "session",
    "replica",
    "position",
    "token",
    "chosen_at_ns",
    "latency_ns",
    *STAGE_COLUMNS,
    "busy_edge_ns",
    "rounds",
    "certified",
    "margin",
    "drafted",
    "refuted_drafts",
    "unsent_drafts",
    "fallback",
    "repeats",
    *METER_COLUMNS,
    "round_payload_bytes",
    "refuted_tokens",
)
"""Columns of ``tokens`` that every run has; the arm's keys come after them."""

REQUEST_COLUMNS = (
    "arm",
    "device",
    "request",
    "session",
    "replica",
    "prompt_id",
    "link_class",
    "device_class",
    "arrival_ns",
    "finished_ns",
    "tokens",
    "reason",
    "failed",
    "censored",
    *METER_COLUMNS,
)
"""Columns of ``requests`` that every run has; the arm's keys and the extra columns come after."""

_TEXT = {"prompt_id", "link_class", "device_class", "reason"}
_FLAG = {"certified", "drafted", "fallback", "failed", "censored"}
_LISTS = {"tokens", "round_payload_bytes", "refuted_tokens"}

Columns = dict[str, list[Any]]


def token_columns(arm: int, keys: Mapping[str, str], rows: Sequence[TokenRow]) -> Columns:
    """Return an arm's token rows column by column.

    Args:
        arm: index of the arm in its run.
        keys: what distinguishes the arm (method, codec, ...), repeated in every row.
        rows: the rows, in any order.
    """
    _refuse_reserved(keys, TOKEN_COLUMNS, "arm keys")
    columns: Columns = {name: [] for name in TOKEN_COLUMNS}
    for row in rows:
        record = row.record
        values = (
            arm,
            row.device,
            row.request,
            record.session,
            row.replica,
            record.position,
            record.token,
            row.chosen_at_ns,
            record.latency_ns,
            *record.stages_ns,
            record.busy_edge_ns,
            record.rounds,
            record.certified,
            record.margin,
            record.drafted,
            len(record.refuted),
            record.unsent,
            record.fallback,
            record.repeats,
            *(getattr(row.moved, name) for name in METER_COLUMNS),
            record.payload_bytes,
            record.refuted,
        )
        for name, value in zip(TOKEN_COLUMNS, values, strict=True):
            columns[name].append(value)
    for name, value in keys.items():
        columns[name] = [value] * len(rows)
    return columns


def request_columns(
    arm: int,
    keys: Mapping[str, str],
    rows: Sequence[RequestRow],
    extra: Mapping[int, Mapping[str, Any]] | None = None,
) -> Columns:
    """Return an arm's request rows column by column.

    Args:
        arm: index of the arm in its run.
        keys: what distinguishes the arm, repeated in every row.
        rows: the rows, in any order.
        extra: session -> further columns (``text``, ``prompt``, ``reference``, ``rouge_l``, ...);
            a session without one has null there.
    """
    extra = extra or {}
    names = list(dict.fromkeys(name for row in rows for name in extra.get(row.session, ())))
    _refuse_reserved(keys, REQUEST_COLUMNS, "arm keys")
    _refuse_reserved(names, (*REQUEST_COLUMNS, *keys), "extra columns")
    columns: Columns = {name: [] for name in REQUEST_COLUMNS}
    for row in rows:
        values = (
            arm,
            row.device,
            row.request,
            row.session,
            row.replica,
            row.prompt_id,
            row.link_class,
            row.device_class,
            row.arrival_ns,
            row.finished_ns,
            list(row.tokens),
            row.reason,
            row.failed,
            row.reason in UNANSWERED,
            *(getattr(row.moved, name) for name in METER_COLUMNS),
        )
        for name, value in zip(REQUEST_COLUMNS, values, strict=True):
            columns[name].append(value)
    for name, value in keys.items():
        columns[name] = [value] * len(rows)
    for name in names:
        columns[name] = [extra.get(row.session, {}).get(name) for row in rows]
    return columns


def _refuse_reserved(
    names: Mapping[str, str] | Sequence[str], taken: Sequence[str], what: str
) -> None:
    clash = sorted(set(names) & set(taken))
    if clash:
        raise LocalProtocolError(f"{what}: {', '.join(clash)} would overwrite columns of that name")


def _type_of(name: str, text: frozenset[str]) -> pa.DataType | None:
    """Return a column's type; None where it is left to its values."""
    if name in text or name in _TEXT:
        return pa.string()
    if name in _FLAG:
        return pa.bool_()
    if name == "margin":
        return pa.float64()
    if name in _LISTS:
        return pa.list_(pa.int64())
    if name in TOKEN_COLUMNS or name in REQUEST_COLUMNS:
        return pa.int64()
    return None


def table_of(columns: Columns, keys: Collection[str]) -> pa.Table:
    """Return columns as a table of their types.

    Args:
        columns: of either table.
        keys: names of the arm's keys, which are text.
    """
    text = frozenset(keys)
    return pa.table({name: pa.array(col, _type_of(name, text)) for name, col in columns.items()})
