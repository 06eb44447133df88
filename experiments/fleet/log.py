"""How far an arm of a large fleet is, in ``log.jsonl``."""

from __future__ import annotations

import time

from actors.sink import RunSink

_EVERY_S = 1.0
_NOT_YET = 0.99
"""The most that an arm has done before its last cell is."""


class CellLog:
    """Tells how far an arm is, now and then, and at its last cell."""

    def __init__(self, sink: RunSink, arm: int, cells: int, expected: int) -> None:
        """Begin an arm.

        Args:
            sink: has the log.
            arm: its number.
            cells: how many it has.
            expected: about how many tokens it will have.
        """
        self._sink = sink
        self._arm = arm
        self._cells = cells
        self._expected = expected
        self._done = self._tokens = 0
        self._simulated = False
        self._began_s = self._told_s = time.monotonic()
        self._first_s, self._before = self._began_s, 0.0

    def take(self, tokens: int) -> None:
        """One cell was done before, by a run that was cut off."""
        self._done += 1
        self._tokens += tokens

    def cell(self) -> None:
        """One cell more is done."""
        self._done += 1
        self._tell(last=self._done == self._cells)

    def advance(self, tokens: int) -> None:
        """So many tokens more were simulated."""
        if not self._simulated:
            # Workers start, and may have machine code to make: no measure of what is left.
            self._first_s, self._before, self._simulated = time.monotonic(), self._share(), True
        self._tokens += tokens
        self._tell(last=False)

    def _share(self) -> float:
        if self._done == self._cells:
            return 1.0
        # How many tokens there will be is an estimate, how many cells is not.
        share = max(self._done / self._cells, self._tokens / max(1, self._expected))
        return min(share, _NOT_YET)

    def _tell(self, *, last: bool) -> None:
        now_s = time.monotonic()
        if now_s - self._told_s < _EVERY_S and not last:
            return
        self._told_s = now_s
        elapsed_s = now_s - self._began_s
        share = self._share()
        mine, mine_s = share - self._before, now_s - self._first_s
        self._sink.log(
            event="cells",
            arm=self._arm,
            done=self._done,
            of=self._cells,
            tokens=self._tokens,
            elapsed_s=round(elapsed_s, 3),
            eta_s=round(mine_s * (1 - share) / mine, 3) if mine > 0 else None,
        )
