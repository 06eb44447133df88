"""A few lines on a terminal that say how a run is doing, redrawn in place.

What is shown is counted from the rows as they come (``watch``); drawing happens at most a few
times a second, whatever the speed of the run. The clock is passed in.
"""

from __future__ import annotations

import shutil
import time
from collections import deque
from collections.abc import Callable
from typing import TextIO

import numpy as np

from actors.metrics import DeviceStates
from actors.plan import ArmPlan
from actors.records import ByteMeter, News
from experiments.progress import Stages, Watch, duration
from experiments.results.grid import ABSENT, significant

_EVERY_S = 0.2
_BAR_CELLS = 28
_RECENT_TOKENS = 2_000
"""Tokens that quantiles are of."""
_RECENT_BATCHES = 200
_RATE_OVER_S = 5.0
"""Speeds are of so long."""
_NS_PER_MS = 1e6
_NS = 1e9


class PanelProgress(Stages):
    """The panel, while a stage lasts; its last state in one line when it ends."""

    def __init__(self, out: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        """Draw nothing yet."""
        super().__init__(out, clock, _EVERY_S)
        self._drawn = 0
        self._figures: _Figures | None = None
        self._past: deque[tuple[float, int, int]] = deque()

    def begin(self, title: str, total: int) -> None:
        """See Progress."""
        super().begin(title, total)
        self._figures = None
        self._past = deque([(self._began_s, 0, 0)])
        self._show()

    def watch(self, plan: ArmPlan) -> Watch:
        """See Progress."""
        self._figures = _Figures(plan)
        return self._figures.take

    def end(self) -> None:
        """See Progress."""
        self._erase()
        figures = self._figures
        told = f"{self._title:<24} {self._done:,} tokens, {self._elapsed()}"
        if figures is not None and figures.tokens:
            told += f" · ITL p95 {figures.itl_ms(95)} ms · {figures.bytes_down()} B/token down"
        self._out.write(f"{self._cut(told)}\n")
        self._out.flush()

    def note(self, text: str) -> None:
        """See Progress."""
        self._erase()
        self._out.write(f"{text}\n")
        self._out.flush()

    def _show(self) -> None:
        self._erase()
        lines = [self._cut(line) for line in self._lines()]
        self._out.write("\n".join(lines) + "\n")
        self._out.flush()
        self._drawn = len(lines)

    def _erase(self) -> None:
        if self._drawn:
            # Up to where the panel began, then clear to the end of the screen.
            self._out.write(f"\x1b[{self._drawn}F\x1b[J")
            self._drawn = 0

    def _cut(self, line: str) -> str:
        # A line that wraps would be two on the screen and one when it is erased.
        return line[: max(20, shutil.get_terminal_size().columns - 1)]

    def _lines(self) -> list[str]:
        share = min(self._done / self._total, 1.0) if self._total else 0.0
        filled = round(share * _BAR_CELLS)
        bar = "█" * filled + "░" * (_BAR_CELLS - filled)
        of = f" of {self._total:,}" if self._total else ""
        figures = self._figures
        rate, pace = self._rates()
        lines = [
            self._title,
            f"  tokens   {bar} {self._done:,}{of} · {self._elapsed()}{self._left(rate)}",
        ]
        if figures is not None:
            lines += figures.lines(f"{significant(rate)} tokens/s", pace)
        return lines

    def _rates(self) -> tuple[float | None, float | None]:
        """Tokens, and seconds of the run's own clock, per second of the wall."""
        now_s, now_ns = self._clock(), self._figures.now_ns if self._figures else 0
        past = self._past
        past.append((now_s, self._done, now_ns))
        while len(past) > 2 and now_s - past[1][0] > _RATE_OVER_S:  # noqa: PLR2004 - two ends
            past.popleft()
        since_s, done, then_ns = past[0]
        passed_s = now_s - since_s
        if passed_s <= 0:
            return None, None
        return (self._done - done) / passed_s, (now_ns - then_ns) / _NS / passed_s

    def _left(self, rate: float | None) -> str:
        if not rate or not self._total or self._done >= self._total:
            return ""
        # Texts may end before their limit, so this is the most that it can take at this speed.
        return f", at most {duration((self._total - self._done) / rate)} left"


class _Figures:
    """What the rows of one arm come to."""

    def __init__(self, plan: ArmPlan) -> None:
        self._states = DeviceStates(plan)
        self._steered = plan.arm.method.steered
        self._itl_ns: deque[int] = deque(maxlen=_RECENT_TOKENS)
        self._batches: deque[int] = deque(maxlen=_RECENT_BATCHES)
        self._moved = ByteMeter()
        self._certified = 0
        self._cloud = ""
        self._late_ns: deque[int] = deque(maxlen=_RECENT_TOKENS)
        self.tokens = 0
        self.now_ns = 0

    def take(self, news: News) -> None:
        self._states.take(news)
        self.tokens += len(news.tokens)
        for row in news.tokens:
            if row.record.position:
                self._itl_ns.append(row.record.latency_ns)
            self._certified += row.record.certified
        for _, meter in news.moved():
            self._moved.add(meter)
        sight = news.sight
        self.now_ns = max(self.now_ns, sight.now_ns)
        self._late_ns.extend(sight.lateness_ns)
        look = sight.cloud
        if look is not None:
            self._batches.extend(look.batches)
            rows = f"{np.mean(self._batches):.1f} rows" if self._batches else "no rows yet"
            memory = look.kv_tokens / look.kv_capacity if look.kv_capacity else 0.0
            self._cloud = (
                f"batch {rows} · sessions {look.running:,} running, {look.waiting:,} waiting"
                f" · KV {100 * memory:.0f} %"
            )

    def itl_ms(self, percentile: int) -> str:
        if not self._itl_ns:
            return ABSENT
        return significant(float(np.percentile(list(self._itl_ns), percentile)) / _NS_PER_MS)

    def bytes_down(self) -> str:
        return significant(self._moved.frame_bytes_down / self.tokens if self.tokens else None)

    def lines(self, rate: str, pace: float | None) -> list[str]:
        states = "  ".join(f"{count:,} {name}" for name, count in self._states.counts.items())
        up = significant(self._moved.frame_bytes_up / self.tokens if self.tokens else None)
        clock = f" · clock {self.now_ns / _NS:,.1f} s"
        if pace is not None:
            clock += f" (×{significant(pace)})"
        lines = [
            f"  devices  {states}",
            f"  speed    {rate}{clock} · ITL p50 {self.itl_ms(50)} ms, p95 {self.itl_ms(95)} ms",
            f"  bytes    {self.bytes_down()} down, {up} up per token" + self._proved(),
        ]
        if self._cloud:
            lines.append(f"  cloud    {self._cloud}")
        if self._late_ns:
            late = float(np.percentile(list(self._late_ns), 95)) / _NS_PER_MS
            lines.append(f"  driver   frames late by {significant(late)} ms (p95)")
        return lines

    def _proved(self) -> str:
        if not self._steered or not self.tokens:
            return ""
        return f" · {100 * self._certified / self.tokens:.0f} % certified"
