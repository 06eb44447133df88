"""Progress: a panel or a bar that stays on its line, or plain lines; never too many of either."""

from __future__ import annotations

import io
import re
from collections.abc import Callable

import pytest

from actors.plan import ArmPlan
from actors.records import ByteMeter, News, TokenRow
from actors.sight import CloudLook, Sight
from costeer.token_record import STAGES, TokenRecord
from experiments.panel import PanelProgress
from experiments.planning import plan_arm, plan_workload
from experiments.progress import BarProgress, LineProgress, NoProgress, Progress, progress_for
from tests.experiments.small_runs import scenario


class Clock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def shown_by(make: Callable[[io.StringIO, Clock], Progress]) -> str:
    """What 100 tokens look like, one every second."""
    out, clock = io.StringIO(), Clock()
    progress = make(out, clock)
    progress.begin("costeer", 200)
    for _ in range(100):
        clock.now_s += 1.0
        progress.advance()
    progress.note("halfway")
    progress.end()
    return out.getvalue()


def test_lines_are_few() -> None:
    lines = shown_by(LineProgress).splitlines()
    assert lines[0] == "costeer: 10 of 200 tokens, 3 min 10 s left"
    assert len(lines) == 12
    assert lines[-2:] == ["halfway", "costeer: 100 tokens, 1 min 40 s"]


def test_a_bar_is_redrawn_and_left_behind_once() -> None:
    shown = shown_by(BarProgress)
    assert shown.count("\n") == 2
    assert "░" in shown
    assert shown.splitlines()[-1].endswith("100 tokens, 1 min 40 s")


def test_a_bar_is_not_drawn_for_every_token() -> None:
    out, clock = io.StringIO(), Clock()
    progress = BarProgress(out, clock)
    progress.begin("costeer", 0)
    for _ in range(1000):
        clock.now_s += 0.001
        progress.advance()
    assert out.getvalue().count("\r") < 15


def test_a_file_gets_lines_and_silence_is_silent() -> None:
    out = io.StringIO()
    assert isinstance(progress_for(out), LineProgress)
    silent = NoProgress()
    silent.begin("costeer", 1)
    silent.advance()
    silent.note("text")
    silent.end()


class Screen:
    """A terminal of one column of lines: enough to see what a panel leaves on it."""

    def __init__(self) -> None:
        self.lines = [""]

    def feed(self, text: str) -> None:
        for part in re.split(r"(\x1b\[\d*[FJ]|\n)", text):
            if part == "\n":
                self.lines.append("")
            elif part.endswith("F") and part.startswith("\x1b"):
                self._up = int(part[2:-1])
            elif part == "\x1b[J":
                del self.lines[len(self.lines) - 1 - self._up :]
                self.lines.append("")
            else:
                self.lines[-1] += part


def news(plan: ArmPlan, position: int, latency_ms: int) -> News:
    rows = [
        TokenRow(
            device.device,
            0,
            position * 1_000_000,
            TokenRecord(0, position, 1, latency_ms * 1_000_000, (0,) * len(STAGES), certified=True),
            ByteMeter(100, 165, 250, 1, 15, 160, 1),
        )
        for device in plan.devices
    ]
    look = CloudLook(3, 1, 50, 200, (3, 3), 0, 0, 0, 0, 0)
    return News(rows, [], Sight(position * 100_000_000, look))


def panel() -> tuple[PanelProgress, io.StringIO, Clock, ArmPlan]:
    out, clock = io.StringIO(), Clock()
    given = scenario()
    plan = plan_arm(given, plan_workload(given), given.arms[2])
    return PanelProgress(out, clock), out, clock, plan


def test_a_panel_says_how_the_run_is_doing_and_leaves_one_line() -> None:
    progress, out, clock, plan = panel()
    progress.begin("costeer", 24)
    watch = progress.watch(plan)
    for position in range(4):
        clock.now_s += 1.0
        watch(news(plan, position, 40))
        progress.advance(3)
    screen = Screen()
    screen.feed(out.getvalue())
    text = "\n".join(screen.lines)
    assert len(screen.lines) == 7
    for said in (
        "12 of 24 · 4.0 s, at most 4.0 s left",
        "at most 4.0 s left",
        "0 waiting  3 decoding  0 done",
        "3.00 tokens/s",
        "ITL p50 40.0 ms, p95 40.0 ms",
        "165 down, 15.0 up per token · 100 % certified",
        "batch 3.0 rows · sessions 3 running, 1 waiting · KV 25 %",
    ):
        assert said in text, said
    progress.note("halfway")
    progress.end()
    screen = Screen()
    screen.feed(out.getvalue())
    assert screen.lines[0] == "halfway"
    assert screen.lines[1].startswith("costeer                  12 tokens, 4.0 s · ITL p95 40.0 ms")
    assert screen.lines[2:] == [""]


def test_a_panel_is_not_drawn_for_every_token() -> None:
    progress, out, clock, plan = panel()
    progress.begin("costeer", 10_000)
    watch = progress.watch(plan)
    for position in range(1_000):
        clock.now_s += 0.001
        watch(news(plan, position, 1))
        progress.advance(3)
    assert out.getvalue().count("\x1b[J") < 8


def test_no_line_of_a_panel_wraps(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    progress, out, clock, plan = panel()
    progress.begin("costeer", 24)
    watch = progress.watch(plan)
    clock.now_s += 1
    watch(news(plan, 1, 40))
    progress.advance(3)
    progress.end()
    shown = re.sub(r"\x1b\[\d*[FJ]", "", out.getvalue())
    assert max(map(len, shown.splitlines())) <= 43


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_a_terminal_that_cannot_move_its_cursor_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert isinstance(progress_for(Terminal(), panel=True), PanelProgress)
    assert isinstance(progress_for(Terminal()), BarProgress)
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_for(Terminal(), panel=True), BarProgress)
    assert isinstance(progress_for(io.StringIO(), panel=True), LineProgress)
