"""Progress: a bar that stays on its line, or plain lines; never too many of either."""

from __future__ import annotations

import io
from collections.abc import Callable

from experiments.progress import BarProgress, LineProgress, NoProgress, Progress, progress_for


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
    assert lines[0] == "costeer: 10 of 200 tokens"
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
