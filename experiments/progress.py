"""Progress on standard error: a panel or a bar on a terminal, plain lines otherwise.

A run tells of its stages (an arm, say) and of the tokens done in each; nothing here knows what a
stage is. The clock is passed in, so that tests need not wait.
"""

from __future__ import annotations

import os
import shutil
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO, TypeAlias

if TYPE_CHECKING:
    from actors.plan import ArmPlan
    from actors.records import News

_BAR_EVERY_S = 0.1
_LINE_EVERY_S = 10.0
_BAR_CELLS = 28
_MINUTE_S = 60
_WORTH_SAYING = 0.02
"""Before so much is done, nobody knows how long the rest takes."""


Watch: TypeAlias = "Callable[[News], None]"
"""Told of an arm's rows while they come."""


def duration(seconds: float) -> str:
    """Format a time that people wait for."""
    if seconds < _MINUTE_S:
        return f"{seconds:.1f} s"
    return f"{int(seconds) // _MINUTE_S} min {int(seconds) % _MINUTE_S:02d} s"


class Progress(Protocol):
    """What a run tells of itself while it runs."""

    def begin(self, title: str, total: int) -> None:
        """A stage begins.

        Args:
            title: what it is called.
            total: units (tokens) that it has at most; 0 if that is not known.
        """

    def advance(self, units: int = 1) -> None:
        """So many more units of the present stage are done."""

    def end(self) -> None:
        """The present stage is over, whether or not all its units were needed."""

    def note(self, text: str) -> None:
        """Say something, on a line of its own."""

    def watch(self, plan: ArmPlan) -> Watch | None:
        """Return what is to be told of the rows of the stage that has just begun; None: nothing."""


class NoProgress:
    """Says nothing."""

    def watch(self, plan: ArmPlan) -> Watch | None:
        """See Progress."""

    def begin(self, title: str, total: int) -> None:
        """See Progress."""

    def advance(self, units: int = 1) -> None:
        """See Progress."""

    def end(self) -> None:
        """See Progress."""

    def note(self, text: str) -> None:
        """See Progress."""


class Stages(ABC):
    """Counts a stage's units and shows them from time to time."""

    def __init__(self, out: TextIO, clock: Callable[[], float], every_s: float) -> None:
        self._out = out
        self._clock = clock
        self._every_s = every_s
        self._title = ""
        self._total = 0
        self._done = 0
        self._began_s = 0.0
        self._shown_s = 0.0

    def begin(self, title: str, total: int) -> None:
        """See Progress."""
        self._title, self._total, self._done = title, total, 0
        self._began_s = self._shown_s = self._clock()

    def advance(self, units: int = 1) -> None:
        """See Progress."""
        self._done += units
        now_s = self._clock()
        if now_s - self._shown_s >= self._every_s:
            self._shown_s = now_s
            self._show()

    def watch(self, plan: ArmPlan) -> Watch | None:  # noqa: ARG002 - for those who show more
        """See Progress."""
        return None

    @abstractmethod
    def _show(self) -> None:
        """Tell how far the stage is."""

    def _elapsed(self) -> str:
        return duration(self._clock() - self._began_s)

    def _still(self) -> str:
        """Return how long the stage still takes, if it goes on as it went so far."""
        if not _WORTH_SAYING * self._total < self._done < self._total:
            return ""
        elapsed_s = self._clock() - self._began_s
        return f", {duration(elapsed_s * (self._total - self._done) / self._done)} left"


class LineProgress(Stages):
    """A line when a stage ends, and now and then while it lasts."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(out, clock, _LINE_EVERY_S)

    def end(self) -> None:
        """See Progress."""
        print(f"{self._title}: {self._done} tokens, {self._elapsed()}", file=self._out, flush=True)

    def note(self, text: str) -> None:
        """See Progress."""
        print(text, file=self._out, flush=True)

    def _show(self) -> None:
        of = f" of {self._total}" if self._total else ""
        text = f"{self._title}: {self._done}{of} tokens{self._still()}"
        print(text, file=self._out, flush=True)


class BarProgress(Stages):
    """A bar that is redrawn in place."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(out, clock, _BAR_EVERY_S)

    def begin(self, title: str, total: int) -> None:
        """See Progress."""
        super().begin(title, total)
        self._show()

    def end(self) -> None:
        """See Progress."""
        self._write(f"{self._title:<24} {self._done} tokens, {self._elapsed()}")
        self._out.write("\n")

    def note(self, text: str) -> None:
        """See Progress."""
        self._write(text)
        self._out.write("\n")

    def _show(self) -> None:
        share = min(self._done / self._total, 1.0) if self._total else 0.0
        filled = round(share * _BAR_CELLS)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        of = f"/{self._total}" if self._total else ""
        self._write(
            f"{self._title:<24} {bar} {self._done}{of} tokens, {self._elapsed()}{self._still()}"
        )

    def _write(self, text: str) -> None:
        width = shutil.get_terminal_size().columns - 1
        self._out.write(f"\r\x1b[2K{text[:width]}")
        self._out.flush()


def progress_for(out: TextIO | None = None, *, panel: bool = False) -> Progress:
    """The bar if `out` is a terminal, plain lines otherwise.

    Args:
        out: where it goes; what is standard error now, if None.
        panel: several lines on a terminal that can show them, for runs whose rows can be watched.
    """
    out = sys.stderr if out is None else out
    if not out.isatty():
        return LineProgress(out)
    if panel and os.environ.get("TERM", "dumb") != "dumb":
        from experiments.panel import PanelProgress  # noqa: PLC0415 - brings numpy in

        return PanelProgress(out)
    return BarProgress(out)
