"""Ctrl-C as a question that a run asks between two events, so that it cuts nothing in half."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from actors.port import never


@contextmanager
def deferred_interrupt() -> Iterator[Callable[[], bool]]:
    """Yield whether Ctrl-C was pressed; the first press does nothing else, the second interrupts.

    Outside the main thread Python delivers no signals, and nothing is deferred.
    """
    if threading.current_thread() is not threading.main_thread():
        yield never
        return
    pressed = threading.Event()
    usual = signal.getsignal(signal.SIGINT)

    def press(*_: object) -> None:
        pressed.set()
        signal.signal(signal.SIGINT, usual)

    signal.signal(signal.SIGINT, press)
    try:
        yield pressed.is_set
    finally:
        signal.signal(signal.SIGINT, usual)
