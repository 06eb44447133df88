"""What cells tell while they run, and how they learn that they are to stop.

Each cell writes one number, and reads one, in Ray's own key-value store (its GCS), at most once in
``_EVERY_S``; the caller reads those of the cells that run. So what a run's cells send is bounded by
their number at a time, not by what they do. The store is Ray's internal one, since an actor would
be one more process of 60 MB for a few bytes; where it cannot be reached nothing is told, cells go
on, and whoever wants to stop them cancels them.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable
from typing import TypeVar

from ray.exceptions import RayError
from ray.experimental.internal_kv import (
    _internal_kv_del,
    _internal_kv_get,
    _internal_kv_put,
)

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

Told = Callable[[int], None]
Stopped = Callable[[], bool]

_EVERY_S = 0.5
_NAMESPACE = "costeer"
_STOP = "stop"


def _write(key: str, value: str) -> None:
    try:
        _internal_kv_put(key, value, namespace=_NAMESPACE)
    except RayError:
        return


def _read(key: str) -> str | None:
    try:
        found: bytes | None = _internal_kv_get(key, namespace=_NAMESPACE)
    except RayError:
        return None
    return None if found is None else found.decode()


class _Often:
    """Says whether it is time again."""

    def __init__(self) -> None:
        self._last_s = -_EVERY_S

    def due(self) -> bool:
        now_s = time.monotonic()
        if now_s - self._last_s < _EVERY_S:
            return False
        self._last_s = now_s
        return True


class _Line:
    """A cell's end of the line."""

    def __init__(self, run: str, cell: int) -> None:
        self.units = 0
        self._run = run
        self._cell = cell
        self._stop = False
        self._often = _Often()

    def told(self, units: int) -> None:
        """Take how many units more there are."""
        self.units += units

    def stopped(self) -> bool:
        """Whether to stop."""
        if self._often.due():
            _write(f"{self._run}/{self._cell}", str(self.units))
            self._stop = _read(f"{self._run}/{_STOP}") is not None
        return self._stop


def run_watched(
    function: Callable[[_Given, Told, Stopped], _Made], given: _Given, run: str, cell: int
) -> tuple[int, _Made]:
    """Carry a cell out; return the units that it told and its value.

    Args:
        function: asks now and then whether to stop, and tells how far it is.
        given: its argument.
        run: the caller's name in the store.
        cell: the cell's number.
    """
    line = _Line(run, cell)
    made = function(given, line.told, line.stopped)
    return line.units, made


class Board:
    """The caller's end of all lines."""

    def __init__(self, told: Told) -> None:
        """Take a name in the store.

        Args:
            told: told how many units more there are, of all cells together; those of a cell that
                is run again are told once.
        """
        self.run = f"cells-{uuid.uuid4().hex}"
        self._told = told
        self._known: dict[int, int] = {}
        self._often = _Often()

    def look(self, running: Iterable[int]) -> None:
        """Tell what cells that run have told."""
        if not self._often.due():
            return
        for cell in running:
            units = _read(f"{self.run}/{cell}")
            if units is not None:
                self.count(cell, int(units))

    def count(self, cell: int, units: int) -> None:
        """Tell that a cell has come so far."""
        more = units - self._known.get(cell, 0)
        if more > 0:
            self._known[cell] = units
            self._told(more)

    def stop(self) -> None:
        """Have all cells stop."""
        _write(f"{self.run}/{_STOP}", "1")

    def end(self) -> None:
        """Leave nothing in the store."""
        try:
            _internal_kv_del(f"{self.run}/", del_by_prefix=True, namespace=_NAMESPACE)
        except RayError:
            return
