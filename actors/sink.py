"""Writes a run directory, in pieces that survive whatever stops the run.

Rules
-----
* ``manifest.json`` is written first with ``complete: false`` and last with the truth: whoever
  finds a directory can tell whether its run ended.
* Rows are committed in pieces. A piece is a folder with one file per table; it is written beside
  and renamed into ``pieces/``, so that it is there with both tables or not at all.
* While ``pieces/`` exists it is the truth. Closing merges it into ``tokens.parquet`` and
  ``requests.parquet`` and then renames it away in one step.
* Nothing is ever overwritten: a directory that holds a run is refused.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from actors.records import RequestRow, TokenRow
from actors.run_tables import SCHEMA_VERSION, request_columns, table_of, token_columns
from costeer.errors import ConfigError


class RunSink:
    """A run directory being written; use it as a context manager.

    Leaving the block by an exception (Ctrl-C too) closes the directory as incomplete. Leaving it
    without one and without ``close`` does the same: only ``close(complete=True)`` says complete.

    Args:
        out_dir: the directory; made with its parents where it does not exist.
        scenario: text of the resolved scenario.
        manifest: versions, git commit, seed, hardware, argv, ...; ``schema_version`` and
            ``complete`` are added here.
        pieces: of a run that goes on: how many there are; None for a new run.
        keep_pieces: whether an incomplete run needs its pieces to go on, not its rows alone.

    Raises:
        ConfigError: the directory cannot be written or holds a run already.
    """

    def __init__(
        self,
        out_dir: Path | str,
        scenario: str,
        manifest: Mapping[str, Any],
        *,
        pieces: int | None = None,
        keep_pieces: bool = False,
    ) -> None:
        self.path = Path(out_dir)
        self._keep_pieces = keep_pieces
        self._manifest: dict[str, Any] = {"schema_version": SCHEMA_VERSION, **manifest}
        self._count = pieces or 0
        self._closed = False
        if pieces is None and (self.path / "manifest.json").exists():
            raise ConfigError(
                f"{self.path}: holds a run already; choose another --out or remove it first"
            )
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            self._write_manifest(complete=False)
            self.write_text("scenario.yaml", scenario)
            self._pieces.mkdir(exist_ok=True)
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"{self.path}: cannot be written ({reason}); choose another --out"
            ) from error

    @property
    def _pieces(self) -> Path:
        return self.path / "pieces"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if not self._closed:
            self.close(complete=False)

    def write(
        self,
        arm: int,
        keys: Mapping[str, str],
        tokens: Sequence[TokenRow],
        requests: Sequence[RequestRow],
        extra: Mapping[int, Mapping[str, Any]] | None = None,
        *,
        name: str | None = None,
        beside: Callable[[Path], None] | None = None,
    ) -> None:
        """Commit rows of one arm; both tables' rows appear together or not at all.

        Args:
            arm: index of the arm in its run.
            keys: what distinguishes the arm (method, codec, ...).
            tokens: token rows, in any order.
            requests: request rows, in any order.
            extra: session -> further columns of ``requests``.
            name: of the piece: tables hold pieces in the order of their names; a number that
                grows if None.
            beside: writes more files into the piece's folder; they appear with the rows.
        """
        if not tokens and not requests and beside is None:
            return
        if name is None:
            name = f"{self._count:06d}"
            self._count += 1
        piece = self.path / f".piece-{name}"
        piece.mkdir()
        if tokens:
            columns = token_columns(arm, keys, tokens)
            pq.write_table(table_of(columns, keys), piece / "tokens.parquet")
        if requests:
            columns = request_columns(arm, keys, requests, extra)
            pq.write_table(table_of(columns, keys), piece / "requests.parquet")
        if beside is not None:
            beside(piece)
        piece.rename(self._pieces / name)

    def log(self, **entry: object) -> None:
        """Append one line to ``log.jsonl``."""
        with (self.path / "log.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(entry, ensure_ascii=False, default=str) + "\n")

    def write_text(self, name: str, text: str) -> Path:
        """Write a further file of the run, whole or not at all; returns its path."""
        return write_atomically(self.path / name, text)

    def write_frame(self, name: str, columns: Mapping[str, Any]) -> Path:
        """Write a further table of the run, ``name``.parquet, whole or not at all; return its path.

        Args:
            name: without suffix.
            columns: name -> values, all of one length.
        """
        path = self.path / f"{name}.parquet"
        partial = path.with_name(f".{path.name}.partial")
        pq.write_table(pa.table(dict(columns)), partial, compression="zstd")
        return partial.replace(path)

    def write_summary(self, summary: Mapping[str, Any]) -> Path:
        """Write ``summary.json``; returns its path."""
        return self.write_text("summary.json", _json(summary))

    def close(self, *, complete: bool, **more: object) -> None:
        """Merge the pieces and write the manifest for the last time; a second call does nothing.

        Args:
            complete: whether the run reached its end.
            more: further manifest entries, known only now.
        """
        if self._closed:
            return
        self._closed = True
        self._manifest.update(more)
        for torn in self.path.glob(".piece-*"):
            shutil.rmtree(torn)
        pieces = sorted(self._pieces.iterdir())
        for table in ("tokens", "requests"):
            _merge(pieces, table, self.path)
        if complete or not self._keep_pieces:
            self._drop_pieces()
        self._write_manifest(complete=complete)

    def _drop_pieces(self) -> None:
        merged = self.path / ".pieces-merged"
        self._pieces.rename(merged)
        shutil.rmtree(merged)

    def _write_manifest(self, *, complete: bool) -> None:
        self.write_text("manifest.json", _json({**self._manifest, "complete": complete}))


def write_atomically(path: Path, text: str) -> Path:
    """Write a text file so that readers see the old or the new one, never a part."""
    partial = path.with_name(f".{path.name}.partial")
    partial.write_text(text, encoding="utf-8")
    partial.replace(path)
    return path


def _json(value: Mapping[str, Any]) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str) + "\n"


def _merge(pieces: Sequence[Path], table: str, out_dir: Path) -> None:
    """Merge one table's pieces, a piece at a time; a column that a piece lacks is null there."""
    files = [piece / f"{table}.parquet" for piece in pieces]
    files = [file for file in files if file.exists()]
    empty = token_columns(0, {}, ()) if table == "tokens" else request_columns(0, {}, ())
    schema = pa.unify_schemas(
        [table_of(empty, {}).schema, *(pq.read_schema(file) for file in files)],
        promote_options="permissive",
    )
    partial = out_dir / f".{table}.parquet.partial"
    with pq.ParquetWriter(partial, schema, compression="zstd") as writer:
        for file in files:
            piece = pq.read_table(file)
            writer.write_table(
                pa.concat_tables([schema.empty_table(), piece], promote_options="permissive")
            )
    partial.replace(out_dir / f"{table}.parquet")
