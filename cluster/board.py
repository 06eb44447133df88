"""What cells tell while they run, and how they learn that they are to stop.

One small actor beside the caller keeps a number for each cell. A cell sends its own at most once in
``_EVERY_S`` and never waits for the answer; the answer, whenever it is there, says whether to stop.
So what a run's cells send is bounded by their number at a time, not by what they do.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, TypeVar, cast

import ray
from ray.exceptions import RayError
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

Told = Callable[[int], None]
Stopped = Callable[[], bool]

_EVERY_S = 0.5


class _Board:
    """The actor."""

    def __init__(self) -> None:
        self._units: dict[int, int] = {}
        self._stop = False

    def tell(self, cell: int, units: int) -> bool:
        """Take how far a cell is; return whether it is to stop."""
        self._units[cell] = units
        return self._stop

    def take(self) -> dict[int, int]:
        """Return what was told since the last time."""
        taken, self._units = self._units, {}
        return taken

    def stop(self) -> None:
        """Have all cells stop."""
        self._stop = True


class _Sent:
    """Sends one message at a time, and takes its answer when it is there."""

    def __init__(self, send: Callable[[], Any]) -> None:
        self._send = send
        self._pending: Any = None
        self._sent_s = -_EVERY_S

    def answer(self) -> Any:  # noqa: ANN401 - Ray's references are untyped
        """Send again if it is time to; return an answer that has come, or None."""
        found = None
        if self._pending is not None:
            done, _ = ray.wait([self._pending], timeout=0)
            if not done:
                return None
            self._pending = None
            try:
                found = ray.get(done[0])
            except RayError:
                # The board died with its node: nothing is told any more, the cells go on.
                found = None
        now_s = time.monotonic()
        if now_s - self._sent_s >= _EVERY_S:
            self._sent_s = now_s
            self._pending = self._send()
        return found


class _Line:
    """A cell's end of the line."""

    def __init__(self, board: Any, cell: int) -> None:  # noqa: ANN401 - Ray's actors are untyped
        self.units = 0
        self._stop = False
        self._sent = _Sent(lambda: board.tell.remote(cell, self.units))

    def told(self, units: int) -> None:
        """Take how many units more there are."""
        self.units += units

    def stopped(self) -> bool:
        """Whether to stop."""
        self._stop = bool(self._sent.answer()) or self._stop
        return self._stop


def run_watched(
    function: Callable[[_Given, Told, Stopped], _Made],
    given: _Given,
    board: Any,  # noqa: ANN401 - Ray's actors are untyped
    cell: int,
) -> tuple[int, _Made]:
    """Carry a cell out; return the units that it told and its value.

    Args:
        function: asks now and then whether to stop, and tells how far it is.
        given: its argument.
        board: the actor.
        cell: the cell's number.
    """
    line = _Line(board, cell)
    made = function(given, line.told, line.stopped)
    return line.units, made


class Board:
    """The caller's end of all lines."""

    def __init__(self, told: Told) -> None:
        """Start the actor on this node.

        Args:
            told: told how many units more there are, of all cells together; those of a cell that
                is run again are told once.
        """
        here = ray.get_runtime_context().get_node_id()
        # Ray's overloads do not know the options of an actor's decorator.
        decorate = cast("Any", ray.remote)(
            num_cpus=0, scheduling_strategy=NodeAffinitySchedulingStrategy(here, soft=True)
        )
        self.actor = decorate(_Board).remote()
        self._told = told
        self._known: dict[int, int] = {}
        self._taken = _Sent(self.actor.take.remote)

    def look(self) -> None:
        """Tell what cells have told."""
        for cell, units in (self._taken.answer() or {}).items():
            self.count(cell, units)

    def count(self, cell: int, units: int) -> None:
        """Tell that a cell has come so far."""
        more = units - self._known.get(cell, 0)
        if more > 0:
            self._known[cell] = units
            self._told(more)

    def stop(self) -> None:
        """Have all cells stop."""
        self.actor.stop.remote()

    def end(self) -> None:
        """End the actor."""
        ray.kill(self.actor)
