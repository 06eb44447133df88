"""What a run had committed before it was cut off, read back from its pieces.

Rows come back as they were handed on: in the order of commits, every figure that a digest knows.
What the end of a stopped run cut off (censored requests) is no row of a run that goes on.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc
import pyarrow.parquet as pq

from actors.records import CENSORED, ByteMeter, Earlier, RequestRow, TokenRow
from actors.run_tables import METER_COLUMNS, STAGE_COLUMNS
from costeer.token_record import TokenRecord

_TABLES = ("tokens", "requests")


def reopen_pieces(path: Path) -> int:
    """Make a run directory's rows pieces again, whatever state its run was left in.

    Args:
        path: a run directory that is not complete.

    Returns:
        The number of the next piece.
    """
    for torn in [*path.glob(".piece-*"), path / ".pieces-merged"]:
        shutil.rmtree(torn, ignore_errors=True)
    pieces = path / "pieces"
    if not pieces.exists():
        # The run was closed: its tables become the first piece, there with both or not at all.
        first = path / ".pieces-reopened"
        shutil.rmtree(first, ignore_errors=True)
        (first / "000000").mkdir(parents=True)
        for name in _TABLES:
            table = path / f"{name}.parquet"
            if table.exists():
                rows = pq.ParquetFile(table).read()
                if name == "requests" and rows.num_rows:
                    rows = rows.filter(pc.not_equal(rows["reason"], CENSORED))
                pq.write_table(rows, first / "000000" / table.name)
        first.rename(pieces)
    for name in _TABLES:
        (path / f"{name}.parquet").unlink(missing_ok=True)
    return max((int(piece.name) for piece in pieces.iterdir()), default=-1) + 1


def read_earlier(path: Path) -> dict[int, Earlier]:
    """Return the rows in a run directory's pieces, by arm."""
    found: dict[int, Earlier] = {}
    for piece in sorted((path / "pieces").iterdir()):
        for row in _rows(piece / "tokens.parquet"):
            found.setdefault(row["arm"], Earlier()).tokens.append(_token(row))
        for row in _rows(piece / "requests.parquet"):
            if row["reason"] != CENSORED:
                found.setdefault(row["arm"], Earlier()).requests.append(_request(row))
    return found


def _rows(file: Path) -> Iterator[dict[str, Any]]:
    if file.exists():
        yield from pq.ParquetFile(file).read().to_pylist()


def _token(row: Mapping[str, Any]) -> TokenRow:
    record = TokenRecord(
        row["session"],
        row["position"],
        row["token"],
        row["latency_ns"],
        tuple(row[name] for name in STAGE_COLUMNS),
        row["busy_edge_ns"],
        row["rounds"],
        row["certified"],
        row["margin"],
        row["drafted"],
        tuple(row["refuted_tokens"] or ()),
        row["unsent_drafts"],
        fallback=row["fallback"],
        repeats=row["repeats"],
        payload_bytes=tuple(row["round_payload_bytes"] or ()),
    )
    return TokenRow(
        row["device"],
        row["request"],
        row["chosen_at_ns"],
        record,
        _meter(row),
        row["replica"],
    )


def _request(row: Mapping[str, Any]) -> RequestRow:
    return RequestRow(
        device=row["device"],
        request=row["request"],
        session=row["session"],
        prompt_id=row["prompt_id"],
        link_class=row["link_class"],
        device_class=row["device_class"],
        arrival_ns=row["arrival_ns"],
        finished_ns=row["finished_ns"],
        tokens=tuple(row["tokens"]),
        reason=row["reason"],
        failed=row["failed"],
        moved=_meter(row),
        replica=row["replica"],
    )


def _meter(row: Mapping[str, Any]) -> ByteMeter:
    return ByteMeter(**{name: row[name] for name in METER_COLUMNS})
